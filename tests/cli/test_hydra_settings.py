"""Settings of Hydra in a configuration file cannot call functions, import modules or open other files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from celeba_lab.cli.hydra_settings import check_swept, checked_hydra_settings
from celeba_lab.config import register_schema
from celeba_lab.errors import SettingError, UserError
from celeba_lab.files import config_directory

CALLED = "must not contain an interpolation"
FIXED = "cannot be set in a configuration file"
# An object that a harmless reference to a setting of Hydra would build
EVIL = "${oc.create:{_target_:os.mkdir,path:bad}}"

DANGEROUS: list[tuple[dict[str, Any], str]] = [
    ({"callbacks": {"x": {"_target_": "os.mkdir", "path": "bad"}}}, "hydra.callbacks.x._target_=os.mkdir"),
    ({"callbacks": {"x": {"_target_": "celeba_lab.cli.main.os.mkdir"}}}, "hydra.callbacks.x._target_=celeba_lab.cli"),
    ({"callbacks": {"x": {"_target_": "celeba_lab.cli.resume.write_atomically"}}}, "is not a callback"),
    ({"callbacks": {"x": {"_target_": "hydra.utils.get_class", "path": "evil.X"}}}, "hydra.callbacks.x._target_=hydra"),
    ({"callbacks": {"x": {"_target_": "hydra.utils.call"}}}, "is not a callback"),
    ({"callbacks": {"x": {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}}}, "not a callback"),
    ({"callbacks": {"x": {"_target_": "hydra.experimental.callbacks.Nothing"}}}, "cannot be imported"),
    ({"callbacks": {"x": {"y": {"_target_": "os.mkdir"}}}}, "hydra.callbacks.x.y._target_=os.mkdir is not permitted"),
    ({"callbacks": {"x": {"_target_": "${oc.select:job.name}"}}}, CALLED),
    ({"callbacks": {"x": "${oc.create:{_target_:os.mkdir}}"}}, CALLED),
    ({"callbacks": {"x": "${model}"}}, CALLED),
    ({"callbacks": {"x": "${hydra.runtime.choices.evil}"}, "runtime": {"choices": {"evil": EVIL}}}, CALLED),
    ({"callbacks": {"x": "${hydra.job_logging.evil}"}, "job_logging": {"evil": EVIL}}, CALLED),
    ({"callbacks": {"x": "${hydra.job.env_set}"}, "job": {"env_set": EVIL}}, "hydra.job.env_set"),
    ({"runtime": {"choices": {"evil": EVIL}}}, FIXED),
    ({"launcher": {"_target_": "os.mkdir"}}, "hydra.launcher._target_=os.mkdir"),
    ({"sweeper": {"_target_": "os.mkdir"}}, "hydra.sweeper._target_=os.mkdir"),
    ({"sweeper": {"params": {"hydra.sweep.dir": "precious"}}}, "cannot be a parameter of a sweep"),
    ({"sweeper": {"params": {"+hydra/launcher": "x"}}}, "cannot be a parameter of a sweep"),
    ({"sweeper": {"params": {"resume": "run"}}}, "hydra.sweeper.params=resume cannot be a parameter of a sweep"),
    ({"sweeper": {"params": {"trusted_modules": "[evil]"}}}, "cannot be a parameter of a sweep"),
    ({"sweeper": {"params": {"seed": "range(100000000)"}}}, "starts more than 10,000 runs"),
    ({"sweeper": {"params": {"seed": "shuffle(range(0,1000,0.001))"}}}, "starts more than 10,000 runs"),
    ({"sweeper": {"params": {"name": "'a\x1b[31m',b"}}}, "must not contain control characters"),
    ({"job_logging": {"handlers": {"x": {"()": "os.mkdir"}}}}, "hydra.job_logging.handlers.x.()=os.mkdir"),
    ({"job_logging": {"handlers": {"x": {"class": "shutil.copy"}}}}, "hydra.job_logging.handlers.x.class=shutil.copy"),
    ({"job_logging": {"handlers": {"file": {"filename": "precious"}}}}, "hydra.job_logging.handlers.file.filename"),
    ({"job_logging": {"root": {"level": "ext://evil.X"}}}, "hydra.job_logging.root.level=ext://evil.X"),
    ({"hydra_logging": {"handlers": {"x": {"stream": "ext://os.environ"}}}}, "hydra.hydra_logging.handlers.x.stream="),
    ({"job": {"env_set": {"CELEBA_LAB_TRUSTED_MODULES": "evil"}}}, "hydra.job.env_set"),
    ({"job": {"env_copy": ["NOTHING"]}}, "cannot compose these settings (KeyError: 'NOTHING')"),
    ({"output_subdir": "precious"}, "hydra.output_subdir=precious"),
    ({"runtime": {"output_dir": "precious"}}, "hydra.runtime.output_dir=precious"),
    ({"overrides": {"hydra": ["hydra.run.dir=precious"]}}, "hydra.overrides.hydra.0=hydra.run.dir=precious"),
    ({"verbose": True}, "hydra.verbose=true"),
]


@pytest.mark.parametrize(("settings", "sentence"), DANGEROUS)
def test_a_file_cannot_change_what_hydra_does(settings: dict, sentence: str, own_conf: Path) -> None:
    borrow(own_conf, settings)
    with pytest.raises(UserError) as caught:
        composed(["experiment=borrowed"], own_conf)
    assert sentence in str(caught.value)


ACTING = [*DANGEROUS[::8], *(case for case in DANGEROUS if EVIL in str(case))]


@pytest.mark.parametrize(("settings", "sentence"), ACTING)
def test_nothing_is_called_or_written_before_a_file_is_refused(
    settings: dict, sentence: str, own_conf: Path, command, tmp_path: Path
) -> None:
    borrow(own_conf, settings)
    code, _, err = command("experiment=borrowed", "seed=-1")
    assert (code, sentence in err, "Traceback" in err) == (1, True, False)
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]


def test_a_file_can_describe_a_sweep(own_conf: Path, command) -> None:
    text = OmegaConf.to_yaml({"hydra": {"mode": "MULTIRUN", "sweeper": {"params": {"seed": "-1,-2"}}}})
    (own_conf / "experiment" / "sweep.yaml").write_text(f"# @package _global_\n{text}")
    code, _, err = command("experiment=sweep")
    assert (code, "seed=-1 must be between" in err) == (1, True)


def test_the_values_of_a_search_are_not_counted() -> None:
    """Only Hydra's own sweeper tries every combination."""
    parameters = {f"model.x{number}": "choice(1,2,3,4)" for number in range(7)}
    check_swept(parameters, is_counted=False)
    with pytest.raises(SettingError, match="starts more than 10,000 runs"):
        check_swept(parameters, is_counted=True)


def test_a_chosen_configuration_cannot_import_packages(own_conf: Path, command) -> None:
    (own_conf / "borrowed.yaml").write_text("defaults: [config, _self_]\nhydra: {searchpath: ['pkg://evil']}\n")
    code, _, err = command("--config-name", "borrowed")
    assert (code, "hydra.searchpath=['pkg://evil'] cannot be set in a configuration file" in err) == (1, True)


def borrow(own_conf: Path, settings: dict[str, Any]) -> None:
    """Write an experiment that changes settings of Hydra."""
    text = OmegaConf.to_yaml({"hydra": settings})
    (own_conf / "experiment" / "borrowed.yaml").write_text(f"# @package _global_\n{text}")


def composed(arguments: Sequence[str], folder: Path | None = None) -> None:
    """Compose the configuration in a folder with settings of Hydra on the command line."""
    register_schema()
    with (
        initialize_config_dir(str(folder or config_directory()), version_base="1.3"),
        checked_hydra_settings(arguments),
    ):
        compose("config", list(arguments), return_hydra_config=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["hydra.verbose=true", "hydra.output_subdir=null", "hydra.run.dir=x", "hydra.job.chdir=false"],
        ["+hydra.job.env_set.X=1", "hydra.job_logging.root.level=DEBUG"],
        ["hydra/job_logging=disabled"],
        ["hydra/job_logging=none"],
        ["hydra/job_logging=stdout", "hydra/hydra_logging=none"],
        ["+hydra.callbacks.x._target_=hydra.experimental.callbacks.LogJobReturnCallback"],
        ["hydra.sweeper.max_batch_size=2"],
    ],
)
def test_settings_of_hydra_can_be_given_on_the_command_line(arguments: list[str]) -> None:
    composed(arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hydra.job.name=../precious"], "hydra.job.name=../precious must not contain a slash."),
        (["hydra.verbose={a:1}"], "hydra.verbose={a:1} must be true, false"),
        (["+hydra.job_logging.handlers.x=5"], "hydra.job_logging.handlers.x=5 does not contain settings of logging."),
        (["+hydra.job_logging.handlers.x.queue=a.X"], "hydra.job_logging.handlers.x.queue=a.X is not permitted"),
        (["+hydra.job_logging.filters.x.y=a.X"], "hydra.job_logging.filters.x.y=a.X is not permitted"),
        (["+hydra.job_logging.x='ext://a.X'"], "hydra.job_logging.x=ext://a.X must not import an object."),
        (["hydra.job_logging.handlers.file.filename=x"], "hydra.job_logging.handlers.file.filename=x must be"),
    ],
)
def test_unsafe_settings_are_also_refused_on_the_command_line(arguments: list[str], sentence: str) -> None:
    with pytest.raises((SettingError, UserError)) as caught:
        composed(arguments)
    assert caught.value.sentence.startswith(sentence)


@pytest.mark.parametrize("argument", ["=1", "+=1", "hydra/launcher=[1,2]", "+hydra.sweeper.params.seed=1"])
def test_settings_that_hydra_does_not_expect_are_explained(argument: str, command) -> None:
    code, _, err = command(argument)
    assert (code, "Hydra cannot compose these settings (" in err, "Traceback" in err) == (1, True, False)


def test_an_error_within_hydra_is_explained(own_conf: Path, command) -> None:
    text = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {max_batch_size: 0, params: {seed: '1,2'}}}\n"
    (own_conf / "experiment" / "borrowed.yaml").write_text(text)
    code, _, err = command("experiment=borrowed", "task=compare", "task.runs=x")
    assert code == 1
    assert "Hydra cannot start this run (AssertionError). Check the settings of Hydra" in err


@pytest.mark.parametrize("name", ["..", "../../elsewhere", "/elsewhere", "a/../../b", "", "' '"])
def test_the_name_of_an_experiment_cannot_lead_out_of_the_outputs(name: str, own_conf: Path, command, tmp_path) -> None:
    text = f"# @package _global_\nname: {name if name else repr(name)}\n"
    (own_conf / "experiment" / "borrowed.yaml").write_text(text)
    code, _, err = command("experiment=borrowed", "task=compare", "task.runs=x")
    assert code == 1
    assert "must be the name of a folder, such as smile or paper/smile" in err
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]


def test_the_name_of_an_experiment_can_contain_folders(own_conf: Path, command, tmp_path) -> None:
    (own_conf / "experiment" / "mine.yaml").write_text("# @package _global_\nname: paper/smile\n")
    _, _, err = command("experiment=mine", "task=compare", "task.runs=x")
    assert "task.runs=x matches nothing" in err
