"""Checks that find missing and unusable image files."""

import os
from collections.abc import Mapping, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pandas as pd

from celeba_lab.console import Progress, console, split_name
from celeba_lab.data.stores import JpegFolder
from celeba_lab.errors import UserError, check_choice, check_fraction, enumerate_names

ON_BAD_IMAGE = ("raise", "skip")
LEFT_OUT = ("image_id", "split", "reason")
"""Columns of the table of images that were left out."""

_CHUNK = 64  # number of images per call in a thread; 200,000 calls with one image each would use too much memory


class ImageChecks:
    """Checks the image files of a dataset before they are used, one split at a time.

    Args:
        on_bad_image: ``raise`` only checks that every file exists. ``skip`` decodes every image once and leaves out
            unusable images.
        max_bad_fraction: Maximum fraction of a split that ``skip`` may leave out.

    Attributes:
        left_out: Table of the images that were left out, with the columns ``LEFT_OUT``.

    Raises:
        SettingError: An argument is out of range.

    Example:
        >>> checks = ImageChecks(on_bad_image="skip", max_bad_fraction=0.01)
        >>> len(checks.left_out)
        0
    """

    def __init__(self, on_bad_image: str, max_bad_fraction: float) -> None:
        check_choice("on_bad_image", on_bad_image, ON_BAD_IMAGE)
        check_fraction("max_bad_fraction", max_bad_fraction)
        self.on_bad_image = on_bad_image
        self.max_bad_fraction = max_bad_fraction
        self.left_out = pd.DataFrame(columns=LEFT_OUT, dtype=str)
        self._listed: set[str] | None = None  # file names in the image folder, or None if it has not been listed yet

    def usable_rows(self, files: JpegFolder, rows: np.ndarray, split: str) -> np.ndarray:
        """Check the images of a split, and return the rows of the usable images, int64 (M,).

        Args:
            files: The image files, all in ``files.folder``.
            rows: Row indices of the split's images, int64 (N,).
            split: Name of the split.

        Raises:
            UserError: Images are missing (``raise``), or too many images are missing or unusable (``skip``).
        """
        if self.on_bad_image == "skip":
            return self.leave_out(files, rows, split)
        if self._listed is None:
            with Progress("listing the images"):
                self._listed = list_files(files.folder)
            if links := describe_links(files.folder):
                console.print(links, style="yellow", soft_wrap=True)
        check_listed(files.names[rows].tolist(), self._listed, files.folder, split)
        return rows

    def leave_out(self, files: JpegFolder, rows: np.ndarray, split: str) -> np.ndarray:
        """Return the rows of usable images and record the others. If ``on_bad_image`` is ``raise``, return all rows."""
        if self.on_bad_image != "skip":
            return rows
        usable, left_out = leave_out_unusable(files, rows, split, self.max_bad_fraction)
        others = self.left_out[self.left_out["split"] != split]
        self.left_out = pd.concat([others, left_out], ignore_index=True)
        return usable


def find_unusable(files: JpegFolder, rows: np.ndarray, description: str) -> dict[int, str]:
    """Decode each image once to find the unusable ones.

    Args:
        files: The image files.
        rows: Rows of the images to check, int64 (N,).
        description: Text before the progress bar, for example ``Checking the train images``.

    Returns:
        Dictionary that maps the row of each unusable image to its error message, in the order of ``rows``.
    """

    def check(chunk: np.ndarray) -> dict[int, str]:
        faults = {}
        for row in chunk.tolist():
            try:
                files.load(row)
            except UserError as error:
                faults[row] = error.sentence
        return faults

    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    reasons: dict[int, str] = {}
    with ThreadPool() as pool, Progress(description, len(rows), "images") as progress:  # simplejpeg releases the GIL
        for chunk, faults in zip(chunks, pool.imap(check, chunks), strict=True):
            reasons |= faults
            progress.advance(len(chunk))
    return reasons


def leave_out_unusable(
    files: JpegFolder, rows: np.ndarray, split: str, max_fraction: float
) -> tuple[np.ndarray, pd.DataFrame]:
    """Separate usable from unusable images.

    Args:
        files: The image files.
        rows: Row indices of the split's images, int64 (N,).
        split: Name of the split.
        max_fraction: Maximum fraction of images that may be left out.

    Returns:
        The rows of the usable images in the same order, int64 (M,), and a table of the unusable images with the columns
        ``LEFT_OUT``.

    Raises:
        UserError: All images are unusable, or the unusable fraction exceeds ``max_fraction``.
    """
    reasons = find_unusable(files, rows, f"Checking the {split_name(split)} images")
    check_few_unusable(reasons, len(rows), max_fraction, split)
    left_out = [(str(files.names[row]), split, reason) for row, reason in reasons.items()]
    usable = rows[np.array([row not in reasons for row in rows.tolist()], dtype=bool)]
    return usable, pd.DataFrame(left_out, columns=LEFT_OUT, dtype=str)


def check_few_unusable(reasons: Mapping[int, str], total: int, max_fraction: float, split: str) -> None:
    """Check that enough images remain after unusable images are left out.

    Args:
        reasons: Result of :func:`find_unusable`.
        total: Number of images that were checked.
        max_fraction: Maximum fraction of images that may be left out.
        split: Name of the split.

    Raises:
        UserError: All images are unusable, or the unusable fraction exceeds ``max_fraction``.
    """
    if reasons and (len(reasons) == total or len(reasons) > max_fraction * total):
        first = next(iter(reasons.values()))
        raise UserError(
            f"{len(reasons)} of the {total} {split_name(split)} images cannot be used, more than"
            f" data.max_bad_fraction={max_fraction:g} allows. Replace them or raise the limit. First error: {first}"
        )


def list_files(folder: Path) -> set[str]:
    """Return the names of all entries in a folder. A single scan is much faster than 200,000 calls to ``exists``."""
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries}


def describe_links(folder: Path) -> str | None:
    """Return a sentence about links in an image folder that lead out of it, or None if there are none."""
    home = folder.resolve()
    with os.scandir(folder) as entries:
        links = [Path(entry.path) for entry in entries if entry.is_symlink()]
    outside = [link for link in links if not link.resolve().is_relative_to(home)]
    if not outside:
        return None
    example = f"{outside[0].name} to {outside[0].resolve()}"
    return f"{len(outside):,} of the images are links to files outside {folder}, such as {example}"


def check_listed(names: Sequence[str], listed: set[str], folder: Path, split: str) -> None:
    """Check that all images of a split exist, without opening the files.

    Args:
        names: File names of the images.
        listed: Result of :func:`list_files` for the image folder.
        folder: The image folder.
        split: Name of the split.

    Raises:
        UserError: Images are missing. The message names the first five missing images.
    """
    missing = [name for name in names if name not in listed]
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(names)} images of the {split_name(split)} split are missing from {folder}:"
            f" {enumerate_names(missing)}. Add them to the folder, or leave them out with data.on_bad_image=skip."
        )
