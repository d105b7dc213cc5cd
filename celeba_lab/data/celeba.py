"""CelebA, or a dataset in the same format: labels, splits and image files. This module does not import torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from celeba_lab.console import Progress, split_name
from celeba_lab.data.annotations import SPLITS, Annotations
from celeba_lab.data.attributes import check_attributes
from celeba_lab.data.checks import ImageChecks
from celeba_lab.data.images import resize_images
from celeba_lab.data.layouts import find_image_folder, holds_images
from celeba_lab.data.loader_settings import LoaderSettings
from celeba_lab.data.packed import STORES, build_store
from celeba_lab.data.shards import ShardFolder, Shards
from celeba_lab.data.stores import FaceStore, JpegFolder
from celeba_lab.data.synthetic.settings import holds_drawn_faces
from celeba_lab.errors import SettingError, UserError, check_at_least, check_between, check_choice

_LARGEST = 4096  # Maximum side length of the images in pixels.
_STAGES = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class CelebA:
    """CelebA, or a dataset in the same format: its labels, its splits and its image files.

    This class is all that analyses of the labels need. Its subclass
    :class:`~celeba_lab.data.datamodule.CelebADataModule` also loads batches of images, for which it needs torch and
    Lightning, whose import takes seconds.

    Args:
        root: The data folder, in any layout supported by :mod:`celeba_lab.data.layouts`.
        attributes: Names of the K attributes whose labels are loaded.
        image_size: Side length of the square images, in pixels.
        batch_size: Number of images in a training batch. Default: 32. An incomplete last batch is dropped, because
            batch normalisation fails on a single image. A split smaller than ``batch_size`` is used as one batch.
        eval_batch_size: Number of images in a validation, test or prediction batch. Default: four times
            ``batch_size``, because evaluation stores no gradients, or on a GPU 16 times, up to 512.
        num_workers: Number of worker processes that load images. Default: 0 if the images are in memory, or if the
            model runs on the CPU and therefore needs all cores. Otherwise, the default is one worker per spare core,
            but at most 8.
        limit: Maximum number of images in each split. The first images in the table are used. Default: no limit.
        partitions: Splits to use. The other splits are treated as empty. Default: all three.
        on_bad_image: ``raise`` stops with an error if an image is missing or cannot be decoded. ``skip`` decodes every
            image once before use, leaves out unusable images and lists them in ``bad_images``.
        max_bad_fraction: Maximum fraction of a split that ``skip`` may leave out.
        max_pixels: Maximum number of pixels in an image (width times height), checked before decoding.
        store: Source of the pixels. ``packed`` decodes the images once, into a file that all runs share. ``auto`` does
            so if the run itself becomes faster, and always reads the faces that have been packed before. ``memory``
            decodes the training and validation images once in every run and keeps them in memory. ``jpeg`` decodes the
            image files whenever they are read. ``shards`` does so if ``root`` is a folder or an address of shards; see
            :mod:`celeba_lab.data.shards`. At a size of 32 pixels, 200,000 faces take 0.6 GB; at 64 pixels, they take
            2.5 GB; and at 128 pixels, 9.8 GB.
        cache: Folder for the files with packed faces, or for copies of shards. Default: the folder ``packed`` in
            ``root`` for packed faces; see :func:`~celeba_lab.data.packed.pack_folder`. For the default for shards, see
            :class:`~celeba_lab.data.shards.ShardFolder`.
        seed: Seed for shuffling the training images.
        name: Name of the dataset in reports. Default: ``celeba``.

    Raises:
        SettingError: An argument is out of range.

    Example:
        >>> faces = CelebA("data/celeba", ["Smiling", "Male"], image_size=64, limit=1000)
        >>> faces.attributes, faces.image_size
        (['Smiling', 'Male'], 64)
        >>> CelebA("data/celeba", ["Smilling"])
        Traceback (most recent call last):
        ...
        celeba_lab.errors.SettingError: attributes=[Smilling] contains 'Smilling', which is not an attribute ...
    """

    default_name = "celeba"
    notice: str | None = None
    """Warning to print with all results on this data."""

    def __init__(
        self,
        root: str,
        attributes: list[str],
        image_size: int = 128,
        batch_size: int | None = None,
        eval_batch_size: int | None = None,
        num_workers: int | None = None,
        limit: int | None = None,
        partitions: list[str] | None = None,
        on_bad_image: str = "raise",
        max_bad_fraction: float = 0.01,
        max_pixels: int = 50_000_000,
        store: str = "auto",
        cache: str | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__()
        check_between("image_size", image_size, 1, _LARGEST)
        check_at_least("max_pixels", max_pixels, 1)
        check_at_least("limit", limit, 2)
        check_choice("store", store, STORES)
        self.root = Path(root).expanduser()
        self.attributes = check_attributes(attributes)
        self.image_size = image_size
        self.limit = limit
        self.partitions = _check_partitions(list(SPLITS) if partitions is None else partitions)
        self.max_pixels = max_pixels
        self.store = store
        self.cache = None if cache is None else Path(cache).expanduser()
        self._shards = ShardFolder(root, self.cache) if store == "shards" else None
        self.name = name or self.default_name
        self._checks = ImageChecks(on_bad_image, max_bad_fraction)
        self._loader_settings = LoaderSettings(batch_size, eval_batch_size, num_workers, seed)
        self._annotations: Annotations | None = None
        self._image_folder: Path | None = None
        self._faces: FaceStore | None = None
        self._rows: dict[str, np.ndarray] = {}  # rows in use, by split
        self._ready: set[str] = set()  # splits whose images have been checked

    # ------------------------------------------------------------------------------------------- images and annotations

    @property
    def annotations(self) -> Annotations:
        """Annotations in ``root``, read on first use. Images are not needed."""
        if self._annotations is None:
            with Progress("reading the labels"):
                self._annotations = Annotations.load(self.tables_folder)
        return self._annotations

    @property
    def tables_folder(self) -> Path:
        """Folder that contains the tables: ``root``, or a local copy if ``root`` is an address.

        Raises:
            UserError: ``root`` does not contain shards, although ``store`` is ``shards``.
        """
        if self._shards is None:
            return self.root
        folder = self._shards.tables()
        if self.notice is None and holds_drawn_faces(folder):
            raise UserError(f"{self._shards.root} contains synthetic faces. Use data=synthetic.")
        return folder

    @property
    def image_folder(self) -> Path:
        """Folder that contains the images."""
        if self._image_folder is None:
            self._image_folder = find_image_folder(self.root)
        return self._image_folder

    @property
    def has_images(self) -> bool:
        """Whether ``root`` contains an image folder. Analyses of the labels need only the annotations."""
        return self._shards is not None or holds_images(self.root)

    @property
    def files(self) -> JpegFolder:
        """Image files for all rows of the annotations."""
        if self._shards is not None:
            return Shards(self._shards, self.annotations.image_ids, self.image_size, self.max_pixels)
        return JpegFolder(self.image_folder, self.annotations.image_ids, self.image_size, self.max_pixels)

    @property
    def faces(self) -> FaceStore:
        """Images for all rows of the annotations, read from the source that ``store`` selects."""
        if self._faces is None:
            self._faces = build_store(self.store, self.files, self.root, self.cache)
        return self._faces

    def split_indices(self, split: str) -> np.ndarray:
        """Return the annotation rows used for a split, in ascending order, int64 (N,).

        With ``on_bad_image="skip"``, the rows of unusable images are included until ``setup_split`` has checked the
        split.

        Raises:
            UserError: A table is missing or invalid, or ``split`` is not ``train``, ``val`` or ``test``.
        """
        if split not in self._rows:
            rows = self.annotations.rows(split)
            self._rows[split] = rows[: self.limit if split in self.partitions else 0]
        return self._rows[split]

    @property
    def rows(self) -> np.ndarray:
        """Annotation rows used in any split, in ascending order, int64 (N,)."""
        return np.sort(np.concatenate([self.split_indices(split) for split in SPLITS]))

    @property
    def counts(self) -> dict[str, int]:
        """Number of images used in each split, after applying ``limit``.

        With ``on_bad_image="skip"``, the counts include unusable images until ``setup_split`` has checked their split.
        """
        return {split: len(self.split_indices(split)) for split in SPLITS}

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """Return the binary labels of the given rows, with columns in the order of ``attributes``, uint8 (N, K)."""
        labels: np.ndarray = self.annotations.labels[rows][:, self.annotations.columns(self.attributes)]
        return labels.astype(np.uint8)

    @property
    def on_bad_image(self) -> str:
        """What is done with an unusable image, ``raise`` or ``skip``."""
        return self._checks.on_bad_image

    @property
    def bad_images(self) -> pd.DataFrame:
        """Table of the images left out so far, with the columns ``image_id``, ``split`` and ``reason``."""
        return self._checks.left_out

    def image_ids(self, indices: Sequence[int] | np.ndarray) -> list[str]:
        """Return the image file names for the given annotation rows."""
        names: list[str] = self.annotations.image_ids[np.asarray(indices, dtype=np.int64)].tolist()
        return names

    def raw_images(self, indices: Sequence[int] | np.ndarray, size: int | None = None) -> list[np.ndarray]:
        """Return the original images for use in figures.

        Args:
            indices: Rows of the annotations.
            size: Side length of the square to resize each image to, in pixels. By default, images are not resized.

        Returns:
            One uint8 (H, W, 3) array for each row.
        """
        files = self.files
        images = [files.load(int(row)) for row in indices]
        if size is None or not images:
            return images
        return list(resize_images(images, size).permute(0, 2, 3, 1).numpy())

    # ----------------------------------------------------------------------------------------------------- descriptions

    def describe_splits(self) -> str:
        """Return the number of images in each split as text: ``48 train + 6 validation + 6 test``."""
        return " + ".join(f"{count:,} {split_name(split)}" for split, count in self.counts.items())

    def describe(self) -> str:
        """Return a one-line description of the images in use, to print at the start of a run."""
        limited = f", limited to {self.limit} per split" if self.limit else ""
        skipped = f", {len(self.bad_images)} bad images left out" if len(self.bad_images) else ""
        return f"images: {self.describe_splits()} at {self.image_size} x {self.image_size} pixels{limited}{skipped}"

    def facts(self) -> dict[str, Any]:
        """Return the information that a run records: name, folder, images per split, fingerprint and provenance."""
        root = str(self.root) if self._shards is None else self._shards.root
        own = {"name": self.name, "root": root, "images": self.counts}
        return own | {"fingerprint": self.annotations.fingerprint, **self.provenance}

    @property
    def provenance(self) -> dict[str, Any]:
        """Additional information about the origin of the images, for ``summary.json``."""
        return {}

    # ------------------------------------------------------------------------------------------------------------ setup

    def setup(self, stage: str | None = None) -> None:
        """Read the annotations and check the images of all splits used in ``stage`` (default: all stages)."""
        for split in SPLITS if stage is None else _STAGES.get(str(stage), ("test",)):
            self.setup_split(split)

    def setup_split(self, split: str) -> None:
        """Check the images of one split, unless they have already been checked.

        Raises:
            UserError: The split is empty, images are missing, or too many images are unusable.
        """
        if split not in self._ready:
            self._check_split(split)
            self._ready.add(split)

    def _check_split(self, split: str) -> None:
        rows = self.split_indices(split)
        if split not in self.partitions:
            rule = f"leaves out the {split_name(split)} split, which this task needs"
            raise SettingError("data.partitions", self.partitions, rule, is_absolute=True)
        if len(rows) == 0:
            raise UserError(
                f"The {split_name(split)} split of {self.root} is empty: no image has partition {SPLITS.index(split)}"
                " in list_eval_partition. Correct this table or choose another split."
            )
        # Shards contain all images of the tables.
        check = self._checks.usable_rows if self._shards is None else self._checks.leave_out
        self._rows[split] = check(self.files, rows, split)


def _check_partitions(names: list[str]) -> list[str]:
    """Validate split names, and return them in the order of ``SPLITS``."""
    for name in names:
        check_choice("partitions", name, SPLITS)
    if not names:
        hint = "For example, set data.partitions=[train]."
        raise SettingError("partitions", names, "must name at least one split", hint)
    return [split for split in SPLITS if split in names]
