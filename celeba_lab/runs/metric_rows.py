"""The table ``metrics.csv`` that the CSV logger writes: count its rows, and remove rows when a run is resumed."""

import csv
from pathlib import Path

from celeba_lab.files import write_atomically

METRICS = "metrics.csv"
"""Name of the table in the run folder."""


def count_rows(folder: Path) -> int:
    """Return the number of complete rows of the table in a run folder, or 0 if there is no table."""
    return max(0, len(_complete_lines(folder / METRICS)) - 1)


def cut_rows(folder: Path, count: int) -> None:
    r"""Remove all rows that were written after a checkpoint, because the resumed run writes them again.

    Args:
        folder: Folder of the run.
        count: Number of rows when the checkpoint was saved. If 0, the table is removed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     _ = (folder / METRICS).write_text("step,val/loss\n1,0.5\n2,0.4\n3,0.")  # killed while writing
        ...     cut_rows(folder, 1)
        ...     (folder / METRICS).read_text()
        'step,val/loss\n1,0.5\n'
    """
    path = folder / METRICS
    if count == 0:
        path.unlink(missing_ok=True)
        return
    kept = _complete_lines(path)[: count + 1]
    if kept:
        write_atomically(path, lambda file: file.write(b"".join(kept)))


def read_header(folder: Path) -> list[str]:
    """Return the names of the columns, or an empty list if there is no table."""
    lines = _complete_lines(folder / METRICS)
    return next(csv.reader([lines[0].decode()])) if lines else []


def _complete_lines(path: Path) -> list[bytes]:
    if not path.is_file():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
