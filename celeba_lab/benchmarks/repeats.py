"""Candidates that are measured alternately, so that a slow minute of the machine affects all of them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from celeba_lab.benchmarks.machine import Watch
from celeba_lab.benchmarks.results import Result
from celeba_lab.console import Progress


class NotMeasuredError(Exception):
    """Raised if a candidate cannot be measured. The message is a sentence that says why."""


@dataclass(frozen=True)
class Candidate:
    """Something that can be measured several times.

    Attributes:
        name: Name of the candidate, such as ``celeba_lab`` or ``reference``.
        measure: Function that returns one value per measurement, by the name of the measurement.
    """

    name: str
    measure: Callable[[], Mapping[str, float]]


def alternate(
    section: str, units: Mapping[str, str], candidates: Sequence[Candidate], repeats: int, what: str = ""
) -> list[Result]:
    """Measure each candidate once, then each one again, and so on.

    A candidate that cannot be measured is left out of the later rounds.

    Args:
        section: Section of the benchmark.
        units: Units by the name of the measurement.
        candidates: The candidates, in the order in which they are measured.
        repeats: Number of rounds.
        what: Description of the work. Default: the name of the section.

    Returns:
        One result for each measurement of each candidate, ordered by measurement.

    Example:
        >>> fast, slow = (Candidate(name, lambda n=n: {"step": n}) for name, n in (("fast", 9.0), ("slow", 3.0)))
        >>> [result.values for result in alternate("demo", {"step": "images/s"}, [fast, slow], repeats=2)]
        [(9.0, 9.0), (3.0, 3.0)]
    """
    values, loads = defaultdict[tuple[str, str], list[float]](list), defaultdict[str, list[float]](list)
    failed: dict[str, str] = {}
    with Progress(f"measuring {what or section}", repeats * len(candidates), "measurements") as progress:
        for _ in range(repeats):
            for candidate in candidates:
                progress.update(progress.done, candidate.name)
                if candidate.name not in failed:
                    try:
                        with Watch() as watch:
                            measured = candidate.measure()
                        loads[candidate.name].append(watch.load)
                        for name, value in measured.items():
                            values[name, candidate.name].append(value)
                    except NotMeasuredError as error:
                        failed[candidate.name] = str(error)
                progress.advance()
    results = []
    for measurement, unit in units.items():
        for name in [candidate.name for candidate in candidates]:
            found = tuple(values[measurement, name])
            if found:
                load = tuple(loads[name])
                results.append(Result(section, measurement, name, unit, found, load, failed.get(name, "")))
            elif name in failed:
                results.append(Result(section, measurement, name, unit, note=failed[name]))
    return results
