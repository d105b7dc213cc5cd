"""Results of repeated measurements: medians, ranges and ratios."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SECTIONS = (
    *("input", "packing", "smile", "attributes", "gan", "inference"),
    *("analyses", "startup", "memory", "growth", "processes", "neighbours"),
)
"""Names of all sections, in the order in which they run."""
_WITHOUT_REFERENCE = ("startup", "memory", "growth", "processes", "neighbours")
MOST_LOAD = 0.05
"""Largest share of the machine's cores that other processes may use without disturbing a measurement."""
OURS, BARE, REFERENCE = "celeba_lab", "bare", "reference"
"""Candidates to which others are compared: this project, its networks alone, and loops as in a notebook."""


@dataclass(frozen=True)
class Result:
    """Values that one candidate has reached in one measurement.

    Attributes:
        section: Section of the benchmark, such as ``smile``.
        measurement: What was measured, such as ``step``.
        candidate: What was measured, such as ``celeba_lab`` or ``reference``.
        unit: Unit of the values. Units that end with ``/s`` are rates, for which high values are better.
        values: One value per repeat, in order of time. Empty if the candidate could not be measured.
        load: Share of the machine's cores that other processes used during each repeat, from 0 to 1. NaN if unknown.
        note: Why the candidate could not be measured, or an empty string.

    Example:
        >>> result = Result("smile", "step", "celeba_lab", "images/s", (165.0, 171.0, 168.0), (0.0, 0.01, 0.3))
        >>> result.median, result.lowest, result.highest, result.is_disturbed
        (168.0, 165.0, 171.0, True)
    """

    section: str
    measurement: str
    candidate: str
    unit: str
    values: tuple[float, ...] = ()
    load: tuple[float, ...] = ()
    note: str = ""

    @property
    def name(self) -> str:
        """Name of the metric, such as ``smile/step/celeba_lab``."""
        return f"{self.section}/{self.measurement}/{self.candidate}"

    @property
    def is_rate(self) -> bool:
        """Whether high values are better."""
        return self.unit.endswith("/s")

    @property
    def median(self) -> float:
        """Median of the values, or NaN if there are none."""
        return statistics.median(self.values) if self.values else math.nan

    @property
    def lowest(self) -> float:
        """Lowest value, or NaN if there are none."""
        return min(self.values, default=math.nan)

    @property
    def highest(self) -> float:
        """Highest value, or NaN if there are none."""
        return max(self.values, default=math.nan)

    @property
    def other_load(self) -> float:
        """Largest share of the cores that other processes used during a repeat, or NaN if it is unknown."""
        return max((load for load in self.load if not math.isnan(load)), default=math.nan)

    @property
    def is_disturbed(self) -> bool:
        """Whether other processes used more than :data:`MOST_LOAD` of the cores during a repeat."""
        return self.other_load > MOST_LOAD

    def times(self, other: "Result") -> float:
        """Return how many times as good this candidate is as another one, by their medians."""
        own, theirs = (self.median, other.median) if self.is_rate else (other.median, self.median)
        return own / theirs if theirs else math.nan


def results_table(results: Sequence[Result]) -> "pd.DataFrame":
    """Return a table with one row per result.

    The columns ``times_reference`` and ``times_bare`` say how many times as good a candidate is as the reference and as
    the bare network in the same measurement, above 1 if it is better. The sections from ``startup`` on have
    no reference, so their candidates are compared with the first one. The columns are NaN if there is nothing to
    compare with.
    """
    import pandas as pd

    rows = []
    for result in results:
        measured = [other for other in results if _place(other) == _place(result)]
        same = {other.candidate: other for other in measured}
        first = measured[0] if result.section in _WITHOUT_REFERENCE else None
        rows.append(
            {
                "section": result.section,
                "measurement": result.measurement,
                "candidate": result.candidate,
                "unit": result.unit,
                "median": result.median,
                "lowest": result.lowest,
                "highest": result.highest,
                "repeats": len(result.values),
                "times_reference": _compare(result, same.get(REFERENCE, first)),
                "times_bare": _compare(result, same.get(BARE)),
                "other_load": result.other_load,
                "disturbed": result.is_disturbed,
                "note": result.note,
            }
        )
    return pd.DataFrame(rows)


def _place(result: Result) -> tuple[str, str]:
    return result.section, result.measurement


def _compare(result: Result, other: Result | None) -> float:
    return math.nan if other is None or other is result else result.times(other)


def results_metrics(results: Iterable[Result]) -> dict[str, float]:
    """Return the median of each result that has values, by name."""
    return {result.name: result.median for result in results if result.values}
