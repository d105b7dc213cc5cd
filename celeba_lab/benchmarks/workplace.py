"""The temporary folder of a benchmark, and the commands and functions that it measures."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from celeba_lab.benchmarks.children import Child, Finished, run_python, running_python
from celeba_lab.benchmarks.faces import link_faces, link_torchvision, write_tables
from celeba_lab.benchmarks.repeats import NotMeasuredError
from celeba_lab.benchmarks.worker import MODULE
from celeba_lab.console import format_override
from celeba_lab.data.celeba import CelebA
from celeba_lab.errors import check_above, check_at_least

_CLOCK = "celeba_lab.engine.callbacks.clock.StepClock"
# Fewest faces with which a classifier is trained only to have a checkpoint.
_SMALL_RUN = 400
# What a run writes after training is not part of any measurement.
_SHORT_REPORT = ("task.report.page=false", "task.report.tune=null", "task.report.estimator=null")


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurements.

    Args:
        images: Number of faces in the measurements of training, input and packing. Faces are repeated if there are
            fewer.
        epochs: Number of epochs of a measured training run.
        steps: Number of batches of the reference loops and of the bare training steps.
        inference_images: Number of faces that are classified.
        growth: Numbers of faces with which the time per face is measured.
        workers: Number of worker processes that load images, which is compared with none.
        repeats: Number of times that everything is measured.
        seconds: Duration of each measurement of an input pipeline in seconds.
        image_size: Side length of the images in pixels. Default: that of each recipe.
        backbone: Name of the backbone. Default: that of the recipes.
        initial_weights: Origin of the initial weights of classifiers. Without weights, no layers are frozen.

    Raises:
        SettingError: A number is out of range.
    """

    images: int = 2000
    epochs: int = 4
    steps: int = 50
    inference_images: int = 8000
    growth: Sequence[int] = (1000, 2000, 4000, 8000)
    workers: int = 2
    repeats: int = 3
    seconds: float = 2.0
    image_size: int | None = None
    backbone: str | None = None
    initial_weights: str | None = "auto"

    def __post_init__(self) -> None:
        check_at_least("images", self.images, 40)
        check_at_least("epochs", self.epochs, 1)
        check_at_least("steps", self.steps, 4)
        check_at_least("inference_images", self.inference_images, 40)
        check_at_least("workers", self.workers, 1)
        check_at_least("repeats", self.repeats, 1)
        check_above("seconds", self.seconds, 0)
        for n in self.growth:
            check_at_least("growth", n, 40)


@dataclass(frozen=True)
class Training:
    """A training run that has ended.

    Attributes:
        folder: Run folder.
        clock: Content of the file that :class:`~celeba_lab.engine.callbacks.clock.StepClock` has written.
        process: The process.
    """

    folder: Path
    clock: dict[str, Any]
    process: Finished

    @property
    def images_per_second(self) -> float:
        """Training images per second of all epochs, without the first steps of each epoch."""
        epochs = self.clock["epochs"]
        return float(sum(each["step_images"] for each in epochs) / sum(each["step_seconds"] for each in epochs))

    @property
    def epoch_seconds(self) -> float:
        """Mean duration of an epoch in seconds, including validation."""
        epochs = self.clock["epochs"]
        return float(sum(each["seconds"] for each in epochs) / len(epochs))

    @property
    def images(self) -> int:
        """Number of training images in an epoch."""
        return int(self.clock["epochs"][0]["images"])

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def config(self) -> dict[str, Any]:
        """Settings of the run that a plain loop needs: the batch size, the device and the precision."""
        return {name: self.clock[name] for name in ("batch_size", "device", "precision")}


class Workplace:
    """A temporary folder with faces, in which commands and functions run.

    Args:
        folder: The folder, which is empty.
        data: Faces to use.
        sizes: Sizes of the measurements.
        overrides: Overrides of the Trainer and of the loaders for all commands, such as ``trainer=gpu``.

    Attributes:
        sizes: Sizes of the measurements.
        devices: Names of the devices on which models have been trained.
    """

    def __init__(self, folder: Path, data: CelebA, sizes: Sizes, overrides: Sequence[str] = ()) -> None:
        self.folder = folder
        self.data = data
        self.sizes = sizes
        self.overrides = list(overrides)
        self.devices: set[str] = set()
        self._numbers = count()
        self._latest: dict[str, Training] = {}
        self._packed: set[tuple[int, int]] = set()

    # -- folders -----------------------------------------------------------------------------------------------------

    def new(self, name: str) -> Path:
        """Return a path in the folder that has not been used yet."""
        return self.folder / f"{name}_{next(self._numbers)}"

    def faces(self, n: int) -> Path:
        """Return a data folder with ``n`` faces."""
        folder = self.folder / f"faces_{n}"
        if not folder.exists():
            link_faces(self.data, folder, n)
        return folder

    def torchvision_faces(self, n: int) -> Path:
        """Return a data folder with ``n`` faces for ``torchvision.datasets.CelebA``."""
        folder = self.folder / f"torchvision_{n}"
        if not folder.exists():
            link_torchvision(self.faces(n), folder)
        return folder

    @cached_property
    def labels(self) -> Path:
        """A data folder with the labels of all faces, without images."""
        annotations, folder = self.data.annotations, self.folder / "labels"
        write_tables(folder, annotations.labels, annotations.partition, annotations.image_ids.tolist())
        return folder

    # -- processes ---------------------------------------------------------------------------------------------------

    def command(self, *overrides: str, watch_memory: bool = False) -> tuple[Path, Finished]:
        """Run a command of celeba_lab, and return its run folder and its process.

        Raises:
            NotMeasuredError: The command has failed.
        """
        run = self.new("run")
        return run, run_python(self._arguments(run, overrides), self.new("log"), watch_memory)

    def _arguments(self, run: Path, overrides: Sequence[str]) -> list[str]:
        return ["-m", "celeba_lab", *overrides, format_override("hydra.run.dir", run)]

    def python(self, *arguments: str) -> float:
        """Run Python with the given arguments, and return the seconds until it has ended."""
        return run_python(arguments, self.new("log")).seconds

    def work(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Call a function of :mod:`~celeba_lab.benchmarks.worker` in a new process, and return its result.

        The seconds until the process has ended are added as ``seconds``.

        Raises:
            NotMeasuredError: The function has failed.
        """
        result = self.new("result")
        process = run_python(self._work(name, result, arguments), self.new("log"))
        content: dict[str, Any] = json.loads(result.read_text())
        return content | {"seconds": process.seconds}

    def working(self, name: str, **arguments: Any) -> AbstractContextManager[Child]:
        """Return a context manager, within which a function runs in another process."""
        return running_python(self._work(name, self.new("result"), arguments), self.new("log"))

    def _work(self, name: str, result: Path, arguments: dict[str, Any]) -> list[str]:
        return ["-m", MODULE, name, json.dumps(arguments), str(result)]

    # -- training ----------------------------------------------------------------------------------------------------

    def pack(self, n: int, image_size: int) -> None:
        """Pack the images of a data folder, so that no measurement includes it."""
        if (n, image_size) not in self._packed:
            self.command("task=pack", *self.read_from(n), f"task.image_size={image_size}")
            self._packed.add((n, image_size))

    def read_from(self, n: int) -> list[str]:
        """Return the overrides with which a command reads ``n`` packed faces."""
        return ["data=celeba", format_override("data.root", self.faces(n)), "data.store=packed"]

    def train(self, experiment: str, n: int, *overrides: str, watch_memory: bool = False) -> Training:
        """Train a model on ``n`` faces with a command. The folder of its previous run is removed.

        Raises:
            NotMeasuredError: The command has failed.
        """
        arguments, clock, run = self._training(experiment, n, overrides)
        process = run_python(arguments, self.new("log"), watch_memory)
        training = Training(run, read_clock(clock), process)
        self.devices.add(training.clock["device_name"])
        if experiment in self._latest:
            shutil.rmtree(self._latest[experiment].folder)
        self._latest[experiment] = training
        return training

    @contextmanager
    def training(self, experiment: str, n: int, *overrides: str) -> Iterator[tuple[Child, Path]]:
        """Train a model within this block, and yield its process and the file that its clock will write."""
        arguments, clock, _ = self._training(experiment, n, overrides)
        with running_python(arguments, self.new("log")) as child:
            yield child, clock

    def _training(self, experiment: str, n: int, overrides: Sequence[str]) -> tuple[list[str], Path, Path]:
        run, clock, sizes = self.new("run"), self.new("clock"), self.sizes
        own = [
            f"experiment={experiment}",
            *self.read_from(n),
            format_override("+callbacks.clock._target_", _CLOCK),
            format_override("+callbacks.clock.path", clock),
            f"trainer.max_epochs={sizes.epochs}",
        ]
        if experiment == "gan":
            own += ["task.distances=null", "task.nearest=0"]
        else:
            weights = "null" if sizes.initial_weights is None else sizes.initial_weights
            own += [*_SHORT_REPORT, format_override("model.weights", weights)]
            own += [] if sizes.backbone is None else [f"model.backbone={sizes.backbone}"]
        own += [] if sizes.image_size is None else [f"model.image_size={sizes.image_size}"]
        return self._arguments(run, [*own, *self.overrides, *overrides]), clock, run

    def latest(self, experiment: str) -> Training:
        """Return the latest run of an experiment that has been trained. If there is none, a small one is trained."""
        if experiment not in self._latest:
            self.train(experiment, min(self.sizes.images, _SMALL_RUN), "trainer.max_epochs=1")
        return self._latest[experiment]

    @cached_property
    def two_runs(self) -> list[Path]:
        """The folders of two small runs that differ in their seed."""
        runs = []
        for seed in (1, 2):
            n = min(self.sizes.images, _SMALL_RUN)
            arguments, _, run = self._training("smile", n, ["trainer.max_epochs=1", f"seed={seed}"])
            run_python(arguments, self.new("log"))
            runs.append(run)
        return runs


def read_clock(path: Path) -> dict[str, Any]:
    """Read the file of a :class:`~celeba_lab.engine.callbacks.clock.StepClock`.

    Raises:
        NotMeasuredError: The file does not exist or contains no epoch.
    """
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if not content.get("epochs"):
        raise NotMeasuredError("The command ended without an epoch of training.")
    return content
