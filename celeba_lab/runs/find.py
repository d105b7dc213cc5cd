"""Find run folders."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from celeba_lab.errors import SettingError, did_you_mean, enumerate_names
from celeba_lab.files import check_name, natural_order
from celeba_lab.runs.settings import SETTINGS
from celeba_lab.runs.summary import SUMMARY

# Number of folder levels that are searched for runs, as in outputs/<experiment>/<sweep>/<run>.
_DEPTH = 3


def find_runs(patterns: str | Sequence[str], ignore: Path | None = None) -> tuple[list[Path], list[Path]]:
    """Find the run folders that match paths or globs.

    Args:
        patterns: Run folders, folders that contain run folders, or globs that match either.
        ignore: Folder to exclude, such as the run folder of the comparison itself.

    Returns:
        The folders of finished runs, which contain a ``summary.json``, and the folders of unfinished runs. Both lists
        contain absolute paths without duplicates, in natural order (``2_...`` before ``10_...``).

    Raises:
        SettingError: A pattern does not match anything.
        UserError: The name of a run folder is not UTF-8 text.
    """
    finished: dict[Path, None] = {}
    unfinished: dict[Path, None] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        path = Path(pattern).expanduser()
        # The names of sweep folders may contain brackets, so an existing path is not treated as a glob.
        matches = [path] if path.exists() else [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        if not matches:
            raise SettingError("runs", pattern, "matches nothing", _nearest(path))
        for match in sorted(matches, key=natural_order):
            for folder in _runs_below(match.parent if match.name == SUMMARY else match, _DEPTH):
                folder = folder.resolve()
                check_name(folder)
                if ignore is None or folder != ignore.resolve():
                    (finished if os.path.lexists(folder / SUMMARY) else unfinished)[folder] = None
    return list(finished), list(unfinished)


def _runs_below(folder: Path, depth: int) -> Iterator[Path]:
    # A summary that is not a regular file is refused when the run is read, instead of leaving out the run in silence.
    if os.path.lexists(folder / SUMMARY) or (folder / SETTINGS).is_file() or (folder / ".hydra").is_dir():
        yield folder
    elif folder.is_dir() and depth:
        for child in _folders_in(folder):
            yield from _runs_below(child, depth - 1)


def _folders_in(folder: Path) -> list[Path]:
    return sorted((child for child in folder.iterdir() if child.is_dir()), key=natural_order)


def _nearest(path: Path) -> str:
    """Return a sentence that lists the folders in the nearest existing parent of a path."""
    missing = path
    while not missing.parent.is_dir():
        missing = missing.parent
    found = [child.name for child in _folders_in(missing.parent)]
    content = enumerate_names(found) if found else "no folders"
    where = str(missing.parent) if missing.parent.name else str(missing.parent.resolve())
    return f"The nearest existing folder, {where}, contains {content}.{did_you_mean(missing.name, found)}"


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """Return each folder's shortest path suffix that distinguishes it from the other folders."""
    names = []
    for folder in folders:
        others = [other.parts for other in folders if other != folder]
        length = 1
        while length < len(folder.parts) and any(other[-length:] == folder.parts[-length:] for other in others):
            length += 1
        names.append(str(Path(*folder.parts[-length:])))
    return names
