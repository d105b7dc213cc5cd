"""Missing files are reported before slow imports."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from celeba_lab.cli.paths import check_paths
from celeba_lab.errors import SettingError


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["task=evaluate", "checkpoint=no.ckpt"], "checkpoint=no.ckpt does not exist. The checkpoints of a run"),
        (["experiment=smile", "model.weights=no.pth"], "model.weights=no.pth does not exist. Check the path."),
        (["task=generate", "task.auditor=no.ckpt"], "task.auditor=no.ckpt does not exist."),
    ],
)
def test_a_missing_file_is_named(overrides: list[str], sentence: str, compose: Callable[..., DictConfig]) -> None:
    with pytest.raises(SettingError) as error:
        check_paths(compose(*overrides))
    assert str(error.value).startswith(sentence)


def test_existing_files_and_names_are_accepted(tmp_path: Path, compose: Callable[..., DictConfig]) -> None:
    weights = tmp_path / "weights.pth"
    weights.touch()
    check_paths(compose("experiment=smile", f"model.weights={weights}"))
    check_paths(compose("experiment=smile", "model.weights=IMAGENET1K_V1"))
    check_paths(compose("experiment=clusters"))
