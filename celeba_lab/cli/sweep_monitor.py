"""Show the jobs of a sweep in the terminal: a line when each begins and ends, and a bar with the time left."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

from rich.live import Live
from rich.text import Text

from celeba_lab.cli.job_output import keep_terminal
from celeba_lab.console import PlainConsole, draw_bar, format_seconds
from celeba_lab.errors import UserError
from celeba_lab.files import natural_order
from celeba_lab.runs.job import Job


class SweepMonitor:
    """Follow the jobs of a sweep, which can run in this process, in others or on other machines.

    The monitor reads only the records of the jobs, so it does not depend on how they are launched.

    Args:
        folder: Folder of the sweep.
        jobs: Number of jobs, or None if it is unknown.
        score: Metric that ranks the jobs.
        on_end: Function that is called after a job has ended, in another thread than the jobs. If it returns a
            sentence, the sentence is printed once.
    """

    interval = 0.5
    """Number of seconds between successive looks at the records."""

    def __init__(self, folder: Path, jobs: int | None, score: str | None, on_end: Callable[[], str | None]) -> None:
        self._folder, self._jobs, self._score, self._on_end = folder, jobs, score, on_end
        self._states: dict[Path, str] = {}
        self._printed: set[str] = set()
        # The records of an earlier process are shown only when they change.
        self._written: dict[Path, int] = {}
        for path, job in self._read():
            if job.state in ("finished", "pruned"):
                self._states[path] = job.state
        self._kept = len(self._states)
        self._stopped = Event()
        self._began = perf_counter()
        self._console = PlainConsole(file=keep_terminal())
        self._thread = Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        """Start to follow the jobs."""
        self._thread.start()

    def stop(self) -> None:
        """Show the jobs that have ended since the last look, and stop."""
        self._stopped.set()
        self._thread.join()

    def _follow(self) -> None:
        is_live = self._console.is_terminal
        shown = Live(console=self._console, transient=True, get_renderable=lambda: Text(self._bar()))
        if is_live:
            shown.start()
        try:
            while not self._stopped.wait(self.interval):
                self._show_changes()
        finally:
            if is_live:
                shown.stop()
            self._show_changes()

    def _read(self) -> list[tuple[Path, Job]]:
        """Return the records that have not ended when they were last read."""
        found = []
        for path in sorted(self._folder.glob(f"*/{Job.FILE}"), key=natural_order):
            # A job that was stopped may have gone back to the queue of a scheduler.
            if self._states.get(path, "running") not in ("running", "stopped"):
                continue
            with suppress(UserError, OSError):  # The leaderboard explains a damaged record.
                written = path.stat().st_mtime_ns
                if self._written.get(path) != written:
                    found.append((path, Job.read(path.parent)))
                    self._written[path] = written
        return found

    def _show_changes(self) -> None:
        has_ended = False
        for path, job in self._read():
            if self._states.get(path) != job.state:
                self._states[path] = job.state
                self._console.print(describe(job, self._score), soft_wrap=True)
                has_ended |= job.state != "running"
        if has_ended:
            with suppress(UserError, OSError):  # The error occurs again, and is explained, at the end of the sweep.
                sentence = self._on_end()
                if sentence is not None and sentence not in self._printed:
                    self._printed.add(sentence)
                    self._console.print(sentence, soft_wrap=True)

    def _bar(self) -> str:
        """Return the number of jobs that have ended, and the time left."""
        ended = sum(state != "running" for state in self._states.values())
        seconds = perf_counter() - self._began
        if self._jobs is None:
            return f"sweep  {ended} jobs  {format_seconds(seconds)} so far"
        new = ended - self._kept
        left = f"{format_seconds(seconds / new * (self._jobs - ended))} left" if new > 0 else "0:00 so far"
        width = min(30, max(10, self._console.width - 40))
        return f"sweep  {draw_bar(ended / max(1, self._jobs), width)}  {ended}/{self._jobs} jobs  {left}"


def describe(job: Job, score: str | None) -> str:
    """Return a line about a job that has begun or ended.

    Example:
        >>> describe(Job(number=2, state="finished", varied={"seed": "1"}, score=0.9, seconds=61), "val/accuracy")
        'job 2 finished: seed=1  val/accuracy=0.9000  1:01'
        >>> describe(Job(number=3, state="pruned", score=0.6, reason="pruned after epoch 2 of 8"), "val/accuracy")
        'job 3 pruned after epoch 2 of 8  val/accuracy=0.6000'
    """
    varied = " ".join(f"{key}={value}" for key, value in job.varied.items())
    state: str = "started" if job.state == "running" else job.state
    if job.state == "pruned" and job.reason is not None:
        state = job.reason  # "pruned after epoch 2 of 8"
    parts = [f"job {job.number} {state}: {varied}" if varied else f"job {job.number} {state}"]
    if job.score is not None:
        parts.append(f"{score}={job.score:.4f}")
    if job.seconds is not None and job.state == "finished":
        parts.append(format_seconds(job.seconds))
    line = "  ".join(parts)
    return line if job.reason is None or job.state == "pruned" else f"{line}: {job.reason}"
