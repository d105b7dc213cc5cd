"""A workplace whose processes are replaced, so that no test waits for the start of another Python."""

import json
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from celeba_lab.benchmarks import sections, workplace
from celeba_lab.benchmarks.children import Finished, Sample
from celeba_lab.benchmarks.workplace import Sizes, Workplace
from celeba_lab.data.celeba import CelebA
from celeba_lab.runs.summary import Summary


class Recorded(list[list[str]]):
    """Overrides of the commands that would have been run.

    Attributes:
        work: Arguments of the functions that would have been called in other processes, by name.
        precision: Precision that was chosen for training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.work: list[tuple[str, dict[str, object]]] = []
        self.precision = "32-true"

    def run(self, arguments: Sequence[str], log: Path, watch_memory: bool = False) -> Finished:
        """Note a command, and write what it would have written."""
        if arguments[:2] == ["-m", "celeba_lab"] and "--help" not in arguments:
            self.append(list(arguments[2:]))
            values = dict(text.partition("=")[::2] for text in arguments[2:])
            if "+callbacks.clock.path" in values:
                self.write_clock(Path(values["+callbacks.clock.path"]))
            folder = Path(values["hydra.run.dir"])
            (folder / "checkpoints").mkdir(parents=True)
            Summary(
                experiment="fake",
                task="fake",
                metrics={"pack/images_per_second": 2000.0},
                seconds={"predict": 2.0, "train": 4.0},
                data={"name": "fake", "root": "fake", "images": {"train": 80}},
            ).write(folder)
        elif arguments[1] == "celeba_lab.benchmarks.worker":
            self.work.append((arguments[2], json.loads(arguments[3])))
            Path(arguments[-1]).write_text(
                json.dumps({"step": 50.0, "epoch": 9.0, "mirrored": 300.0, "2_workers": 7.0})
            )
        memory = [Sample(float(second), 10**9 + 10**7 * second) for second in range(20)]
        return Finished(started=0.0, seconds=3.0, output="", memory=memory)

    def write_clock(self, path: Path) -> None:
        """Write the clock of two epochs of 80 images."""
        epoch = {"images": 80, "seconds": 1.0, "step_images": 60, "step_seconds": 0.5}
        content = {"first_step": 4.0, "end": 19.0, "device": "cpu", "device_name": "Fast"}
        content |= {
            "precision": self.precision,
            "batch_size": 32,
            "image_size": 128,
            "world_size": 1,
            "epochs": [epoch, epoch],
        }
        path.write_text(json.dumps(content))

    @contextmanager
    def running(self, arguments: Sequence[str], log: Path):
        """Note a command that goes on within the block."""
        if arguments[:2] == ["-m", "celeba_lab"]:
            self.run(arguments, log)
        yield SimpleNamespace()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Overrides of all commands that the test would have run."""
    commands = Recorded()
    monkeypatch.setattr(workplace, "run_python", commands.run)
    monkeypatch.setattr(workplace, "running_python", commands.running)
    monkeypatch.setattr(sections, "running_python", commands.running)
    monkeypatch.setattr(sections, "wait_for", lambda child: Finished(0.0, 3.0, ""))
    return commands


@pytest.fixture
def build_place(tiny_celeba: Path, tmp_path: Path) -> Callable[..., Workplace]:
    """``build_place(overrides, **sizes)`` returns a workplace with the tiny CelebA."""

    folders = (tmp_path / f"place_{k}" for k in count())

    def build(overrides: Sequence[str] = (), **sizes) -> Workplace:
        folder = next(folders)
        folder.mkdir()
        given = {"images": 100, "inference_images": 80, "growth": [40, 60], "repeats": 2, **sizes}
        return Workplace(folder, CelebA(str(tiny_celeba), ["Smiling"]), Sizes(**given), overrides)

    return build


@pytest.fixture(scope="session")
def some_faces(made_once: Callable[..., Path], tiny_celeba: Path) -> Path:
    """A data folder with 320 training faces, which repeat those of the tiny CelebA."""
    from celeba_lab.benchmarks.faces import link_faces

    def make(folder: Path) -> None:
        link_faces(CelebA(str(tiny_celeba), ["Smiling"]), folder / "faces", 400)

    return made_once("some_faces", make) / "faces"
