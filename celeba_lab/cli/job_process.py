"""The processes in which launchers run the jobs of a sweep: their environment, their signals, and what ends them."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from celeba_lab.cli.quiet import escape_messages
from celeba_lab.cli.targets import trusting
from celeba_lab.data.workers import JOBS_AT_ONCE
from celeba_lab.runs.interrupts import raise_interrupted, raising_interrupts
from celeba_lab.runs.threads import CHOSEN

LOST = "Its process was killed, perhaps because the machine ran out of memory, or the job reached its time limit."
REQUEUED = "It goes back to the queue, and will go on from its checkpoint."
_PACKAGE = Path(__file__).resolve().parents[2]
# Variables that processes on other machines need, without keys and passwords. Other launchers pass all variables.
_PASSED = (
    *("PYTHON", "CELEBA_", "TORCH_HOME", "HF_HOME", "XDG_CACHE_HOME"),
    *("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_BASE_URL"),
)


class LostJob(JobReturn):
    """The result of a job whose process ended without a result. Hydra treats it like a job without a score.

    Args:
        reason: Sentence that explains why there is no result.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(status=JobStatus.COMPLETED)
        self.reason = reason


def worker_environment() -> dict[str, str]:
    """Return environment variables for processes that run jobs, in addition to those that a launcher passes.

    ``python -m`` searches the current folder for modules first. In somebody else's folder, this would run their
    modules; see ``__main__.py``. The processes therefore search only the folder of celeba_lab itself.
    """
    given = [text for text in os.environ.get("PYTHONPATH", "").split(os.pathsep) if text]
    paths = [*given, *([str(_PACKAGE)] if str(_PACKAGE) not in given and str(_PACKAGE) in _search_path() else [])]
    own = (JOBS_AT_ONCE, CHOSEN)  # They describe this machine.
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED) and name not in own}
    return passed | {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}


def _search_path() -> list[str]:
    return [str(Path(entry or ".").resolve()) for entry in sys.path]


@contextmanager
def job_process(folder: str) -> Iterator[None]:
    """Give the process of a job the same signals, messages and trusted modules as the process of the sweep.

    Args:
        folder: The current folder of the sweep, in which trusted modules are searched for.
    """
    escape_messages()
    if threading.current_thread() is not threading.main_thread():  # Other threads cannot receive signals.
        yield
        return
    with trusting((), folder), raising_interrupts(), _receiving_requeue():
        yield


_requeue: dict[int, Callable[[int, Any], None]] = {}  # Submitit's handler, by the number of its signal.


@contextmanager
def _receiving_requeue() -> Iterator[None]:
    """Within this block, the signal with which submitit requeues a job stops the job between two batches first.

    Before a time limit and when a job is preempted, submitit's handler would at once end the process in the middle of a
    batch, whose checkpoint could not be resumed exactly.
    """
    number = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}", None)
    handler = signal.getsignal(number) if number and "SUBMITIT_FOLDER" in os.environ else None
    if number is None or not callable(handler) or number in _requeue:
        yield
        return
    _requeue[number] = handler
    signal.signal(number, raise_interrupted)
    try:
        yield
    finally:
        signal.signal(number, _requeue.pop(number))


def is_requeued(number: int) -> bool:
    """Return whether a signal means that the job goes back to the queue of a scheduler."""
    return number in _requeue


def requeue(number: int) -> str:
    """Send the job of this process back to the queue of the scheduler, and end this process.

    Args:
        number: Number of the signal that has stopped the job.

    Returns:
        Sentence that explains why the job cannot go back to the queue.
    """
    from submitit.core.utils import UncompletedJobError

    try:
        _requeue[number](number, None)
    except UncompletedJobError:
        return (
            "It reached its time limit for the last time. Increase hydra.launcher.timeout_min or"
            " hydra.launcher.max_num_timeout, and resume the sweep."
        )
    return LOST
