"""What a job of a sweep records in its folder, while it runs and when it ends: ``job.json``."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from celeba_lab.runs.record import Record

State = Literal["running", "finished", "failed", "stopped", "skipped", "pruned"]


@dataclass(frozen=True, kw_only=True)
class Job(Record):
    """A job of a sweep: one run, with its own values of the settings that the sweep varies.

    Attributes:
        version: Version of the file format.
        number: Number of the job in its sweep, counted from 0.
        varied: The overrides of this job whose values differ within the sweep, by key.
        state: ``running``; ``finished``; ``failed`` because of an error; ``stopped`` by a signal; ``skipped``
            because another job failed before; or ``pruned`` by a search because it was unpromising. A killed job is
            still ``running``, but no process claims its folder.
        score: Value of the metric that ranks the jobs, if the job is finished and its task reports this metric. Of a
            pruned job, the last value.
        seconds: Duration of the job in seconds, without the time of earlier processes that were interrupted.
        reason: Sentence that explains why the job failed, or says when it was pruned.
    """

    FILE: ClassVar[str] = "job.json"

    version: int = 1
    number: int
    varied: dict[str, str] = field(default_factory=dict)
    state: State
    score: float | None = None
    seconds: float | None = None
    reason: str | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The overrides in ``varied``, with numbers as numbers and everything else as text."""
        return {key: parse_value(text) for key, text in self.varied.items()}


def parse_value(text: str) -> Any:
    """Return the number that an override contains, or its text.

    Example:
        >>> parse_value("1e-3"), parse_value("resnet18")
        (0.001, 'resnet18')
    """
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
