"""Small finished runs shared by the tests of the tasks, and fixtures for the tests of the analyses."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.reports.gan import audit

Run = Callable[..., subprocess.CompletedProcess[str]]
Read = Callable[[Path], dict[str, Any]]
SMALL = [
    "experiment=smile",
    "trainer=cpu",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "~callbacks.progress_bar",
    "model.weights=null",
    "model.image_size=32",
    "data.batch_size=8",
]


QUIET_GAN = ["trainer=cpu", "~callbacks.progress_bar", "~callbacks.model_summary"]
SMALL_GAN = [
    "experiment=gan",
    *QUIET_GAN,
    "data.batch_size=8",
    "model.width=4",
    "model.image_size=16",
    "recipe.max_epochs=3",
    "task.distances.n_images=40",
    "task.nearest=8",
]


@dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    Attributes:
        folder: Folder of the run.
        checkpoint: Checkpoint that the run reports on.
        printed: Standard output of the run.
        summary: Content of its ``summary.json``.
    """

    folder: Path
    checkpoint: Path
    printed: str
    summary: dict[str, Any]


def _finish(command: Run, cwd: Path, *arguments: str) -> None:
    result = command(*arguments, cwd=cwd)
    assert result.returncode == 0, result.stderr
    (cwd / "printed.txt").write_text(result.stdout)


def _read(cwd: Path, checkpoint: str, read_summary: Read) -> TrainedRun:
    [path] = cwd.glob("outputs/*/*/summary.json")
    summary = read_summary(path.parent)
    return TrainedRun(path.parent, path.parent / "checkpoints" / checkpoint, (cwd / "printed.txt").read_text(), summary)


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Overrides for training within seconds, with all callbacks, tables and figures."""
    return list(SMALL)


@pytest.fixture(scope="session")
def trained(
    small: list[str], run_command: Run, made_once: Callable[..., Path], tiny_celeba: Path, read_summary: Read
) -> TrainedRun:
    """Run of ``experiment=smile`` for two epochs on the tiny CelebA, with its best checkpoint."""
    arguments = [*small, f"data.root={tiny_celeba}", "seed=3"]
    return _read(made_once("trained", lambda cwd: _finish(run_command, cwd, *arguments)), "best.ckpt", read_summary)


@pytest.fixture(scope="session")
def small_gan() -> list[str]:
    """Overrides for training a GAN within seconds, with all callbacks, tables and figures."""
    return list(SMALL_GAN)


@pytest.fixture(scope="session")
def conditional() -> list[str]:
    """Overrides for a GAN that is conditional on two attributes."""
    return ["model.conditional=true", "model.attributes=[Smiling,Male]"]


@pytest.fixture(scope="session")
def features(made_once: Callable[..., Path]) -> Path:
    """A small classifier with random weights, which is sufficient to compute and describe a distance.

    The Fréchet distance of its 512 features is computed in a tenth of the time that 1,280 features need.
    """

    def write(folder: Path) -> None:
        torch.manual_seed(0)
        trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
        trainer.strategy.connect(AttributeClassifier(["Smiling"], "squeezenet1_1", image_size=32))
        trainer.save_checkpoint(folder / "features.ckpt")

    return made_once("features", write) / "features.ckpt"


@pytest.fixture(scope="session")
def gan(
    small_gan: list[str],
    conditional: list[str],
    features: Path,
    trained: TrainedRun,
    run_command: Run,
    made_once: Callable[..., Path],
    tiny_celeba: Path,
    read_summary: Read,
) -> TrainedRun:
    """A three-epoch run of a small conditional GAN, audited by the shared classifier, and its last checkpoint."""
    arguments = [*small_gan, *conditional, f"data.root={tiny_celeba}", "seed=3", f"task.auditor={trained.checkpoint}"]
    arguments += [f"task.distances.feature_extractor={features}", "task.distances.every_n_epochs=2"]

    def train(cwd: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:  # A run audits thousands of faces.
            patch.setattr(audit, "_FACES", 100)
            patch.setattr(audit, "_REQUESTED", 30)
            _finish(run_command, cwd, *arguments)

    return _read(made_once("gan", train), "last.ckpt", read_summary)


# ------------------------------------------------------------------------------------------------------------- analyses


@pytest.fixture
def labels_only(write_celeba: Callable[..., Path], tmp_path: Path) -> Path:
    """Folder with the labels of 240 faces and no images."""
    return write_celeba(tmp_path / "labels", n=240, images=False)


@pytest.fixture(scope="session")
def quick_clusters() -> list[str]:
    """Overrides for a cluster analysis with few repetitions and a t-SNE with few iterations."""
    quick = ["fraction=1", "report.numbers=[2,3]", "report.seeds=2", "report.tsne.perplexity=5"]
    return [f"task.{override}" for override in [*quick, "report.tsne.max_iter=250"]]


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[[str], Path]:
    """``run_folder("clusters")`` returns the folder of the only finished run of an experiment."""

    def find(name: str) -> Path:
        [summary] = tmp_path.glob(f"outputs/{name}/*/summary.json")
        return summary.parent

    return find


@pytest.fixture(scope="session")
def check_run(read_summary: Read) -> Callable[[Path, str], dict[str, Any]]:
    """``check_run(folder, "clusters")`` checks the files that every analysis writes, and returns the summary."""

    def check(folder: Path, task: str) -> dict[str, Any]:
        summary = read_summary(folder)
        assert summary["task"] == task
        assert summary["data"]["name"] == "celeba"
        assert summary["details"]["rows"]
        drawn = {path.stem for path in (folder / "figures").glob("*.png")}
        assert drawn
        images = EventAccumulator(str(folder)).Reload().Tags()["images"]
        assert {tag.removeprefix("~~figures/") for tag in images} == drawn
        return summary

    return check


@pytest.fixture
def assert_refused(
    command: Callable[..., tuple[int, str, str]], labels_only: Path, tmp_path: Path
) -> Callable[..., None]:
    """``assert_refused(sentence, "experiment=clusters", ...)`` checks for a one-sentence error and no output files."""

    def check(sentence: str, *arguments: str) -> None:
        code, _, err = command(*arguments, f"data.root={labels_only}")
        assert code == 1
        assert sentence in err
        assert len(err.strip().splitlines()) == 1, err
        assert not list(tmp_path.glob("outputs/*/*/summary.json"))

    return check
