"""User errors are explained in one sentence, but bugs are not."""

import errno
import os
from collections.abc import Callable
from logging.config import dictConfig
from pathlib import Path

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from celeba_lab.cli.explain import explain
from celeba_lab.errors import UserError


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("experiment=smlie", "'smlie' is not a choice for experiment. Did you mean 'smile'?"),
        ("model.lrr=1", "There is no setting 'model.lrr'. Did you mean 'lr'?"),
        ("data.in_memory=true", "data.in_memory has been replaced by data.store=memory"),
        ("task/classifier=x", "task/classifier has been replaced by task/estimator."),
        ("task/estimator=logistic", "task/estimator cannot be chosen here, because this task or experiment does not"),
        ("hydra.launcher.n_jobs=2", "hydra.launcher.n_jobs is not a setting of this launcher. Choose another one with"),
        ("modl=x", "There is no setting 'modl'. Did you mean 'model'?"),
        ("seed=abc", "seed: Value 'abc'"),
        ("model.attributes=[a", "'model.attributes=[a' on the command line cannot be parsed. Use key=value."),
    ],
)
def test_a_mistake_on_the_command_line_is_explained(
    override: str, sentence: str, compose: Callable[..., DictConfig]
) -> None:
    with pytest.raises(Exception) as error:  # Hydra and OmegaConf raise many different exception types.
        compose(override)
    found = explain(error.value)
    assert found is not None
    assert found.startswith(sentence)
    assert "\n" not in found


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("???", "b has no value. Set it with b=..."), ("${nothing}", "a cannot be resolved: ")],
)
def test_an_interpolation_without_a_value_is_explained(value: str, sentence: str) -> None:
    cfg = OmegaConf.create({"a": "${b}", "b": value})
    with pytest.raises(Exception) as error:  # OmegaConf raises many different exception types.
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert str(explain(error.value)).startswith(sentence)


def test_errors_of_the_user_are_explained_and_bugs_are_not() -> None:
    assert explain(UserError("The folder is empty.")) == "The folder is empty."
    assert explain(YAMLError("found a tab")) == "Invalid YAML: found a tab."
    assert explain(MisconfigurationException("too many\n devices")) == "too many devices."
    assert explain(ValueError("a bug")) is None


def test_invalid_settings_of_logging_are_explained() -> None:
    with pytest.raises(ValueError) as caught:
        dictConfig({"version": 1, "root": {"level": "LOUD"}})
    sentence = "Unable to configure root logger: Unknown level: 'LOUD'."
    assert explain(caught.value) == f"hydra.job_logging or hydra.hydra_logging is invalid. {sentence}"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.ckpt"), "a.ckpt could not be accessed (No space left"),
        (OSError(errno.EROFS, "Read-only file system", "a.csv"), "a.csv could not be accessed (Read-only file system)"),
        (OSError(errno.EFBIG, "File too large"), "A file of the run could not be accessed (File too large). Raise"),
    ],
)
def test_a_failure_of_the_disk_is_explained(error: OSError, sentence: str) -> None:
    assert str(explain(error)).startswith(sentence)


def test_a_missing_file_is_a_bug_unless_its_folder_is_gone(tmp_path: Path) -> None:
    assert explain(FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / "file"))) is None
    gone = FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / "run" / "file"))
    assert "Its folder was deleted or renamed during the run." in str(explain(gone))


@pytest.mark.parametrize("make", [os.makedirs, lambda folder: Path(folder).mkdir(parents=True)])
def test_a_folder_that_cannot_be_created_is_explained(make: Callable[[str], None], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("/proc/x", str(tmp_path / "file")):
        with pytest.raises(OSError) as error:
            make(folder)
        assert f"{folder} could not be accessed" in str(explain(error.value))
        assert "This folder cannot be created. Choose another folder." in str(explain(error.value))
