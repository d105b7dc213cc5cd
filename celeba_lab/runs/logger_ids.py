"""The ids that services such as W&B and MLflow have given to a run: ``loggers.json`` in the run folder."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from celeba_lab.files import unusable
from celeba_lab.runs.job import Job
from celeba_lab.runs.record import Record

_ID = re.compile(r"[\w-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class LoggerIds(Record):
    """The ids under which services know a run, so that a resumed run goes on in the same place.

    Attributes:
        version: Version of the file format.
        ids: Ids by the name of the service.
    """

    FILE: ClassVar[str] = "loggers.json"

    version: int = 1
    ids: dict[str, str] = field(default_factory=dict)


def read_id(folder: Path, service: str) -> str | None:
    """Return the id of a run, or None if the service does not know it yet.

    Raises:
        UserError: The file is damaged.
    """
    if not (folder / LoggerIds.FILE).is_file():
        return None
    found = LoggerIds.read(folder).ids.get(service)
    if found is not None and not _ID.fullmatch(found):
        raise unusable(folder / LoggerIds.FILE, f"{found!r} is not the id of a run")
    return found


def write_id(folder: Path, service: str, value: str) -> None:
    """Store the id of a run."""
    ids = LoggerIds.read(folder).ids if (folder / LoggerIds.FILE).is_file() else {}
    if ids.get(service) != value:
        LoggerIds(ids=ids | {service: value}).write(folder)


def remove_id(folder: Path, service: str) -> None:
    """Remove the id of a run, and the file if it contains no other ids.

    Raises:
        UserError: The file is damaged.
    """
    if not (folder / LoggerIds.FILE).is_file():
        return
    ids = {name: value for name, value in LoggerIds.read(folder).ids.items() if name != service}
    if ids:
        LoggerIds(ids=ids).write(folder)
    else:
        (folder / LoggerIds.FILE).unlink(missing_ok=True)


def sweep_of(folder: Path) -> str | None:
    """Return the name of the sweep to which the run in a folder belongs, or None if it is a single run."""
    return folder.resolve().parent.name if (folder / Job.FILE).is_file() else None
