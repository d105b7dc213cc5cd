"""What a sweep records in its folder when it starts, so that it can be resumed and ranked: ``sweep.json``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from celeba_lab.runs.record import Record

DIRECTIONS = ("maximize", "minimize")
"""Choices for ``direction``, which determines whether high or low scores are better."""


@dataclass(frozen=True, kw_only=True)
class Sweep(Record):
    """A sweep: several jobs that differ in some settings.

    Attributes:
        version: Version of the file format.
        overrides: Overrides of the sweep as they were typed, excluding those of Hydra itself.
        hydra_overrides: Overrides of Hydra's launcher and sweeper.
        options: Options of the command line that select the configuration, such as ``--config-dir``.
        varied: Keys of the overrides that have several values.
        jobs: Overrides of each job, or None if a search chooses them one after the other.
        score: Metric by which the jobs are ranked.
        direction: Whether high or low scores are better.
    """

    FILE: ClassVar[str] = "sweep.json"

    version: int = 1
    overrides: list[str]
    hydra_overrides: list[str]
    options: list[str]
    varied: list[str]
    jobs: list[list[str]] | None
    score: str | None
    direction: Literal["maximize", "minimize"]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return short names of settings: their last part, or more parts if another setting has the same name.

    Example:
        >>> short_names(["model.lr", "seed", "callbacks.best.filename", "callbacks.last.filename"]).values()
        dict_values(['lr', 'seed', 'best.filename', 'last.filename'])
    """
    words = {key: key.replace("/", ".").split(".") for key in keys}
    short = {}
    for key, own in words.items():
        others = [other for name, other in words.items() if name != key]
        length = next((n for n in range(1, len(own)) if all(o[-n:] != own[-n:] for o in others)), len(own))
        short[key] = ".".join(own[-length:])
    return short
