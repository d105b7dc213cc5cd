"""Missing files are reported before slow imports."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from celeba_lab.cli.paths import check_paths
from celeba_lab.errors import UserError


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file with the first bytes of a checkpoint."""
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"PK")
    return path


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["task=evaluate", "checkpoint=no.ckpt"], "checkpoint=no.ckpt does not exist. The checkpoints of a run"),
        (["experiment=smile", "model.weights=no.pth"], "model.weights=no.pth does not exist. Check the path."),
        (["experiment=smile", "data=celeba", "data.root=nowhere"], "The data folder nowhere does not exist."),
        (["experiment=smile", "data=celeba", "data.root=."], "There is no table list_attr_celeba"),
        (["task=generate", "checkpoint={checkpoint}", "task.auditor=no.ckpt"], "task.auditor=no.ckpt does not exist."),
        (["experiment=smile", "checkpoint={checkpoint}"], "checkpoint={checkpoint} is not used by task=train."),
        (["experiment=logistic", "checkpoint={checkpoint}"], "checkpoint={checkpoint} is not used by task=logistic."),
    ],
)
def test_a_missing_file_is_named(
    overrides: list[str], sentence: str, checkpoint: Path, compose: Callable[..., DictConfig]
) -> None:
    with pytest.raises(UserError) as error:
        check_paths(compose(*(text.format(checkpoint=checkpoint) for text in overrides)))
    assert str(error.value).startswith(sentence.format(checkpoint=checkpoint))


def test_existing_files_and_names_are_accepted(
    tmp_path: Path, checkpoint: Path, tiny_celeba: Path, compose: Callable[..., DictConfig]
) -> None:
    weights = tmp_path / "weights.pth"
    weights.touch()
    data = ["data=celeba", f"data.root={tiny_celeba}"]
    check_paths(compose("experiment=smile", f"model.weights={weights}", *data))
    check_paths(compose("experiment=smile", "model.weights=IMAGENET1K_V1", *data))
    start = f"checkpoint={checkpoint}"
    check_paths(compose("task=generate", start, "task.nearest=false", "data=celeba", "data.root=nowhere"))
    check_paths(compose("task=compare", f"task.runs={tmp_path}"))
