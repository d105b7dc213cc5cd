"""Functions that draw synthetic faces into a folder in Kaggle's layout."""

import errno
import json
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.synthetic.settings import RECORD, Settings, find_settings
from celeba_lab.data.workers import exit_with_parent, usable_cores
from celeba_lab.errors import SettingError, UserError, check_at_least

_CHUNK = 50  # number of faces that a worker draws at a time
_BYTES = 9_000  # approximate size of a face on disk, in bytes


def synthesize(root: Path, settings: Settings, workers: int | None = None, overwrite: bool = False) -> Iterator[int]:
    """Draw faces into a folder in Kaggle's layout as the returned iterator is consumed.

    The faces are first drawn and saved to a temporary folder next to ``root``. Once all faces have been drawn, this
    folder replaces ``root``. A second process that draws into the same folder waits for the first process and then uses
    its faces.

    Args:
        root: Folder for the faces. Existing faces with the same settings are kept.
        settings: Settings of the faces to draw.
        workers: Number of processes. Default: one process per core.
        overwrite: If true, existing synthetic faces are replaced.

    Yields:
        Number of faces drawn so far.

    Raises:
        SettingError: ``workers`` is below 1, or the folder contains different faces and ``overwrite`` is false.
        UserError: The folder contains other files, or is not writable.
    """
    check_at_least("workers", workers, 1)
    root = root.expanduser().resolve()
    if root.is_mount():
        raise UserError(f"data.root={root} is a mount point, which cannot be replaced. Choose a folder inside it.")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root.with_name(f".{root.name}.lock")):
            if _is_made(root, settings, overwrite):
                yield settings.n
                return
            for abandoned in root.parent.glob(f".{root.name}.*.partial"):  # left behind by killed runs
                shutil.rmtree(abandoned, ignore_errors=True)
            # Unlike a folder from tempfile.mkdtemp, this folder has the permissions of any new folder.
            staged = root.with_name(f".{root.name}.{secrets.token_hex(4)}.partial")
            staged.mkdir()
            try:
                yield from _draw(staged, settings, workers or usable_cores())
                _take_place(staged, root)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
    except BrokenProcessPool as error:
        raise UserError(
            "A process that was drawing faces was killed, perhaps because the machine ran out of memory. Use fewer"
            " workers."
        ) from error
    except OSError as error:
        raise UserError(_explain(error, root, settings)) from error


def _is_made(root: Path, settings: Settings, overwrite: bool) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    if not root.is_dir() or (found := find_settings(root)) is None:
        raise UserError(
            f"{root} exists but is not a folder of synthetic faces, so it was not changed. Choose another data.root."
        )
    if found == settings and not overwrite:
        return True
    if not overwrite:
        rule = f"keeps the faces in {root} ({found}), which differ from the requested faces ({settings})"
        hint = "Choose another data.root, or set overwrite=true to replace the faces."
        raise SettingError("overwrite", overwrite, rule, hint)
    return False


def _draw(folder: Path, settings: Settings, workers: int) -> Iterator[int]:
    images = folder / "img_align_celeba" / "img_align_celeba"
    images.mkdir(parents=True)
    free = shutil.disk_usage(folder).free
    if free < _BYTES * settings.n:
        raise OSError(errno.ENOSPC, "No space left on device")
    labels, done = settings.labels(), 0
    starts = range(0, settings.n, _CHUNK)
    # Processes are spawned, not forked, because torch may already have started threads.
    with ProcessPoolExecutor(workers, get_context("spawn"), _prepare_worker) as pool:
        try:
            jobs = [
                pool.submit(_draw_chunk, images, settings.seed, start, labels[start : start + _CHUNK])
                for start in starts
            ]
            for job in as_completed(jobs):
                done += job.result()
                yield done
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _write_tables(folder, settings, labels)


def _draw_chunk(folder: Path, seed: int, start: int, labels: np.ndarray) -> int:
    """Draw consecutive faces into a folder.

    Args:
        folder: Folder for the images.
        seed: Seed for drawing the faces.
        start: Index of the first face, counted from 0.
        labels: Binary labels of the faces, uint8 (B, 40).

    Returns:
        Number of faces drawn, B.
    """
    from celeba_lab.data.synthetic.portrait import draw_portrait, encode_portrait

    for k, row in enumerate(labels, start=start):
        names = [name for name, present in zip(ATTRIBUTES, row, strict=True) if present]
        data = encode_portrait(draw_portrait(names, seed, k), seed, k)
        (folder / f"{k + 1:06d}.jpg").write_bytes(data)
    return len(labels)


def _prepare_worker() -> None:
    """Use one thread for drawing, and exit when the parent process ends, even if the parent is killed."""
    import cv2

    cv2.setNumThreads(1)
    exit_with_parent()


def _write_tables(folder: Path, settings: Settings, labels: np.ndarray) -> None:
    table = pd.DataFrame(2 * labels.astype(np.int8) - 1, columns=list(ATTRIBUTES))
    table.insert(0, "image_id", settings.image_ids)
    table.to_csv(folder / "list_attr_celeba.csv", index=False)
    partition = pd.DataFrame({"image_id": settings.image_ids, "partition": settings.partition()})
    partition.to_csv(folder / "list_eval_partition.csv", index=False)
    (folder / RECORD).write_text(json.dumps(asdict(settings)) + "\n")


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


def _explain(error: OSError, root: Path, settings: Settings) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        need = _BYTES * settings.n / 2**20
        return (
            f"The disk that contains {root.parent} is full: {settings.n:,} synthetic faces take about {need:,.0f} MB."
            " Free some space, draw fewer faces or choose another data.root. No files"
            " were left behind."
        )
    what = f"The synthetic faces cannot be written to {root} ({error.strerror or error})"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return f"{what}. Choose a data.root that you are allowed to write to."
    return f"{what}. No files were left behind."
