"""A folder of drawn faces in Kaggle's layout: whole, or not there."""

import errno
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.synthetic.distribution import AttributeDistribution
from celeba_lab.errors import UserError

# Raise it whenever the same settings give other bytes.
VERSION = 1

DEFAULT_N = 6_000
PROPORTIONS = {"default": (0.8, 0.1, 0.1), "official": (162_770 / 202_599, 19_867 / 202_599, 19_962 / 202_599)}

_RECORD = "synthetic.json"
_CHUNK = 50  # faces a worker draws at a time
_BYTES = 9_000  # of a face on disk, about

NOTICE = "SYNTHETIC faces, drawn by celeba_lab: the results say nothing about CelebA."


@dataclass(frozen=True)
class Settings:
    """What a folder of faces was made from; the same settings give the same bytes.

    Attributes:
        n: faces.
        seed: whole number from 0.
        proportions: a key of ``PROPORTIONS``: how the faces are divided among train, val and test.
        version: of the drawing.
    """

    n: int = DEFAULT_N
    seed: int = 42
    proportions: str = "default"
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.n < 10:
            raise UserError(f"task.n={self.n}: at least 10 faces are needed, so that every split has one.")
        if self.seed < 0:
            raise UserError(f"seed={self.seed}: give a whole number from 0.")
        if self.proportions not in PROPORTIONS:
            raise UserError(f"task.proportions={self.proportions}: it can be {' or '.join(PROPORTIONS)}.")

    def __str__(self) -> str:
        """Say the settings in words."""
        return f"{self.n:,} faces, seed {self.seed}, {self.proportions} proportions, version {self.version}"

    @property
    def image_ids(self) -> list[str]:
        """The file names, as in CelebA."""
        return [f"{k:06d}.jpg" for k in range(1, self.n + 1)]

    def labels(self) -> np.ndarray:
        """Return uint8 (n, 40), 0 or 1."""
        return AttributeDistribution.load().sample(self.n, self.seed)

    def partition(self) -> np.ndarray:
        """Return int8 (n,): 0 train, 1 val, 2 test, in this order as in CelebA."""
        train, val, _ = PROPORTIONS[self.proportions]
        ends = np.maximum(np.rint(np.array([train, train + val]) * self.n), (1, 2)).astype(int)
        return np.searchsorted(ends, np.arange(self.n), side="right").astype(np.int8)


def holds_drawn_faces(root: Path) -> bool:
    """Return whether ``root`` is a folder of faces that :func:`synthesize` made."""
    return (root / _RECORD).is_file()


def find_settings(root: Path) -> Settings | None:
    """Return what the faces in ``root`` were made from; None if there are none of ours.

    Raises:
        UserError: its record is damaged.
    """
    if not holds_drawn_faces(root):
        return None
    record = root / _RECORD
    try:
        values = json.loads(record.read_text())
        if {key: type(value) for key, value in values.items()} != {
            "n": int,
            "seed": int,
            "proportions": str,
            "version": int,
        }:
            raise ValueError(f"unexpected content {values}")
        return Settings(**values)
    except (ValueError, AttributeError, OSError, UserError) as error:
        raise UserError(f"{record} is damaged; delete the folder {root}, and the faces are made anew.") from error


def synthesize(root: Path, settings: Settings, workers: int | None = None, overwrite: bool = False) -> Iterator[int]:
    """Draw faces into a folder, in Kaggle's layout; exhaust the iterator to have them.

    They are drawn in a folder beside it, which takes its place when it is complete. A second process that wants the
    same folder waits, and finds the faces there.

    Args:
        root: the folder; faces with these settings that it holds already are left as they are.
        settings: what to draw.
        workers: processes; one for each core by default.
        overwrite: draw again whatever faces of ours are there.

    Yields:
        How many faces there are so far.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    if workers is not None and workers < 1:
        raise UserError(f"task.workers={workers}: give at least one, or null for a process on each core.")
    root = root.expanduser().resolve()
    if root.is_mount():
        raise UserError(f"data.root={root} is where a disk is mounted and cannot be replaced; name a folder in it.")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root.with_name(f".{root.name}.lock")):
            if _is_made(root, settings, overwrite):
                yield settings.n
                return
            for abandoned in root.parent.glob(f".{root.name}.*.partial"):  # by runs that were killed: we hold the lock
                shutil.rmtree(abandoned, ignore_errors=True)
            staged = Path(tempfile.mkdtemp(prefix=f".{root.name}.", suffix=".partial", dir=root.parent))
            staged.chmod(0o755)  # mkdtemp keeps everyone else out
            try:
                yield from _draw(staged, settings, workers or _cores())
                _take_place(staged, root)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
    except BrokenProcessPool as error:
        raise UserError(
            "A process that drew faces was killed, perhaps for want of memory; try task.workers=1."
        ) from error
    except OSError as error:
        raise UserError(_explain(error, root, settings)) from error


def _is_made(root: Path, settings: Settings, overwrite: bool) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    if not root.is_dir() or (found := find_settings(root)) is None:
        raise UserError(
            f"{root} exists and is no folder of synthetic faces: it is left alone; choose another data.root."
        )
    if found == settings and not overwrite:
        return True
    if not overwrite:
        raise UserError(
            f"{root} holds other faces ({found}) than were asked for ({settings}): choose another data.root, or replace"
            " them with task=synthesize task.overwrite=true."
        )
    return False


def _draw(folder: Path, settings: Settings, workers: int) -> Iterator[int]:
    images = folder / "img_align_celeba" / "img_align_celeba"
    images.mkdir(parents=True)
    free = shutil.disk_usage(folder).free
    if free < _BYTES * settings.n:
        raise OSError(errno.ENOSPC, "No space left on device")
    labels, done = settings.labels(), 0
    starts = range(0, settings.n, _CHUNK)
    # Not fork: torch may hold threads by now.
    with ProcessPoolExecutor(workers, get_context("spawn"), _prepare_worker) as pool:
        try:
            jobs = [
                pool.submit(draw_faces, images, settings.seed, start, labels[start : start + _CHUNK])
                for start in starts
            ]
            for job in as_completed(jobs):
                done += job.result()
                yield done
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _write_tables(folder, settings, labels)


def draw_faces(folder: Path, seed: int, start: int, labels: np.ndarray) -> int:
    """Draw faces ``start``, ``start + 1``, ... with these labels, uint8 (B, 40); return how many."""
    from celeba_lab.data.synthetic.portrait import draw_portrait, encode_portrait

    for k, row in enumerate(labels, start=start):
        names = [name for name, present in zip(ATTRIBUTES, row, strict=True) if present]
        data = encode_portrait(draw_portrait(names, seed, k), seed, k)
        (folder / f"{k + 1:06d}.jpg").write_bytes(data)
    return len(labels)


def _prepare_worker() -> None:
    """Use one thread for drawing, and end with the process that asked for it, even if that one is killed."""
    import cv2

    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write_tables(folder: Path, settings: Settings, labels: np.ndarray) -> None:
    table = pd.DataFrame(2 * labels.astype(np.int8) - 1, columns=list(ATTRIBUTES))
    table.insert(0, "image_id", settings.image_ids)
    table.to_csv(folder / "list_attr_celeba.csv", index=False)
    partition = pd.DataFrame({"image_id": settings.image_ids, "partition": settings.partition()})
    partition.to_csv(folder / "list_eval_partition.csv", index=False)
    (folder / _RECORD).write_text(json.dumps(asdict(settings)) + "\n")


def _take_place(staged: Path, root: Path) -> None:
    replaced = root.with_name(f".{root.name}.replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if root.exists():
        root.rename(replaced)
    try:
        staged.rename(root)
    except OSError:
        if replaced.exists():
            replaced.rename(root)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _explain(error: OSError, root: Path, settings: Settings) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        need = _BYTES * settings.n / 2**20
        return (
            f"The disk of {root.parent} is full: {settings.n:,} synthetic faces take about {need:,.0f} MB; free some"
            " space, ask for fewer (task=synthesize task.n=...) or choose another data.root. Nothing was left behind."
        )
    what = f"The synthetic faces cannot be written to {root} ({error.strerror or error})"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return f"{what}; choose a data.root that you may write to."
    return f"{what}; nothing was left behind."
