"""Runs in forked processes, which start at once because the slow imports have been done."""

import argparse
import functools
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import lightning.pytorch.loops.evaluation_loop as evaluation
import lightning.pytorch.loops.training_epoch_loop as training
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from celeba_lab.cli.main import main
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.callbacks import LastCheckpoint
from celeba_lab.runs import drawing
from celeba_lab.tasks import train, train_gan

torch.set_num_threads(1)

SMALL = ["trainer=cpu", "data.limit=48", "data.batch_size=8", "callbacks.progress_bar=null", "print_config=none"]
CLASSIFIER = [
    *SMALL, "experiment=smile", "model.backbone=shufflenet_v2_x0_5", "model.image_size=32", "model.weights=null",
    "trainer.max_epochs=3",
]  # fmt: skip
GAN = [*SMALL, "experiment=gan", "model.image_size=16", "model.width=4", "recipe.max_epochs=3"]


LIMIT = 300.0
"""Seconds after which a run is killed together with its workers."""


def draw_blank_figures() -> None:
    """Save a white square instead of every figure, because drawing takes most of the time of a small run."""

    def save(canvas: FigureCanvasAgg, file: Any, **options: Any) -> None:
        Image.new("RGB", (8, 8), "white").save(file, "PNG")

    FigureCanvasAgg.print_png = save
    drawing.usable_cores = lambda: 1  # Figures are drawn in this process.


def parser_of(description: str | None, count: str, default: int, meaning: str) -> argparse.ArgumentParser:
    """Return a parser with the options of all scripts that run each of several cases many times.

    Args:
        description: Docstring of the script.
        count: Name of the option for the number of runs.
        default: Its default.
        meaning: Its description.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of CelebA")
    parser.add_argument(f"--{count}", type=int, default=default, help=meaning)
    parser.add_argument("--cases", nargs="*", default=[""], help="only cases whose names contain one of these texts")
    parser.add_argument("--seed", type=int, default=0, help="seed for the random moments")
    return parser


PHASES = ("training", "validation", "saving", "writing", "reporting")
"""Phases of a run in which it is usually killed. The data are read only at its start."""


def trace_phases(pipe: int) -> None:
    """Make the functions of each phase report through a pipe when they start and end."""

    def traced(phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            os.write(pipe, f"enter {phase}\n".encode())
            try:
                return function(*arguments, **named)
            finally:
                os.write(pipe, f"leave {phase}\n".encode())

        return call

    CelebADataModule.setup_split = traced("reading", CelebADataModule.setup_split)
    training._TrainingEpochLoop.advance = traced("training", training._TrainingEpochLoop.advance)
    evaluation._EvaluationLoop.run = traced("validation", evaluation._EvaluationLoop.run)
    LastCheckpoint._save_checkpoint = traced("saving", LastCheckpoint._save_checkpoint)
    train.report_training = traced("reporting", train.report_training)
    train_gan.report_gan = traced("reporting", train_gan.report_gan)
    os.fsync = traced("writing", os.fsync)  # celeba_lab.files.write_atomically calls it before it replaces a file


Moment = tuple[str, int, float]
"""A moment of a run: a phase, the number of the visit to this phase, and seconds since the start of this visit."""


def choose_moment(
    durations: dict[str, list[float]], generator: random.Random, phases: Sequence[str] = PHASES
) -> Moment:
    """Return a random moment.

    Args:
        durations: Durations of all visits to each phase in seconds.
        generator: Source of the random numbers.
        phases: Phases from which one is chosen.
    """
    phase = generator.choice([phase for phase in phases if durations[phase]])
    visit = generator.randrange(len(durations[phase]))
    return phase, visit, generator.random() * durations[phase][visit]


class Child:
    """A run in a forked process, which reports through a pipe when it enters and leaves a phase."""

    def __init__(
        self, arguments: list[str], folder: Path, log: Path, trace: Callable[[int], None] = lambda pipe: None
    ) -> None:
        self._pipe, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.close(self._pipe)
            _become_run(arguments, folder, log, lambda: trace(theirs))
        os.close(theirs)

    def wait(self, moment: Moment | None = None, number: int = signal.SIGKILL) -> tuple[int, dict[str, list[float]]]:
        """Wait for the end of the run, or send it a signal and then wait.

        Args:
            moment: Moment at which the signal is sent.
            number: Number of the signal.

        Returns:
            The exit code and the durations of all visits to each phase.
        """
        durations: dict[str, list[float]] = defaultdict(list)
        starts: dict[str, float] = {}
        visits: dict[str, int] = defaultdict(int)
        limit = threading.Timer(LIMIT, os.killpg, (self.pid, signal.SIGKILL))
        limit.start()
        with os.fdopen(self._pipe) as lines:
            for line in lines:
                verb, phase = line.split()
                if verb == "leave":
                    durations[phase].append(time.perf_counter() - starts[phase])
                    continue
                starts[phase] = time.perf_counter()
                if moment is not None and (phase, visits[phase]) == moment[:2]:
                    time.sleep(moment[2])
                    os.kill(self.pid, number)
                visits[phase] += 1
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        limit.cancel()
        return code, durations


def _become_run(arguments: list[str], folder: Path, log: Path, trace: Callable[[], None]) -> None:
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    trace()
    sys.argv[1:] = arguments
    code = 1
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
