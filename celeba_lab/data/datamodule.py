"""CelebA as a Lightning data module: which images, in which batches, and what happens to an unusable one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
from typing_extensions import override

from celeba_lab.console import split_name
from celeba_lab.data.annotations import SPLITS, Annotations
from celeba_lab.data.attributes import check_attributes
from celeba_lab.data.checks import ImageChecks
from celeba_lab.data.datasets import FaceDataset
from celeba_lab.data.images import resize_images
from celeba_lab.data.layouts import find_image_folder, holds_images
from celeba_lab.data.loaders import FaceLoader, LoaderSettings, Processes
from celeba_lab.data.stores import STORES, FaceStore, JpegFolder
from celeba_lab.errors import SettingError, UserError, check_at_least, check_choice

_STAGES = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class CelebADataModule(lightning.LightningDataModule):
    """CelebA, or a dataset in the same format, as batches of uint8 images.

    All loaders give a :class:`~celeba_lab.data.batch.Batch`, whose ``index`` is a row of ``annotations``.

    Args:
        root: The data folder, in any layout of :mod:`celeba_lab.data.layouts`.
        attributes: The K attributes whose labels are loaded.
        image_size: Side length of the square images, in pixels.
        batch_size: Number of images in a training batch. The smaller batch at the end of an epoch is left out, because
            batch normalisation fails on a batch of one; a split smaller than one batch is used whole.
        eval_batch_size: Number of images in a batch of validation, test or prediction. Default: twice ``batch_size``,
            because no gradients are stored.
        num_workers: Number of processes that load images. Default: 0 on the CPU, where the model needs all cores, and
            for images in memory; otherwise one for each remaining core, at most 8.
        limit: Largest number of images of each split; the first ones in the table are used.
        partitions: Splits in use, all three by default; the others count as empty.
        on_bad_image: ``raise`` stops at an image that is missing or cannot be decoded. ``skip`` decodes every image
            once before use, leaves out the unusable ones and lists them in ``bad_images``.
        max_bad_fraction: With ``skip``, the largest fraction of a split that may be left out.
        max_pixels: Largest width times height of an image, checked before it is decoded.
        store: Where pixels come from. ``jpeg`` decodes the image files in each epoch. ``memory`` decodes the training
            images once and keeps them: for small images, which take longer to decode than a training step on them.
            200,000 faces of 32 pixels take 0.6 GB and of 64 pixels 2.5 GB; images that would fill more than half of
            the memory are decoded in each epoch.
        seed: Seed of the training order.
        name: Name of the data in reports. Default: ``celeba``.

    Raises:
        SettingError: An argument is out of range.
    """

    default_name = "celeba"
    notice: str | None = None
    """What readers of the results must know about the data."""

    def __init__(
        self,
        root: str,
        attributes: list[str],
        image_size: int = 128,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int | None = None,
        limit: int | None = None,
        partitions: list[str] | None = None,
        on_bad_image: str = "raise",
        max_bad_fraction: float = 0.01,
        max_pixels: int = 50_000_000,
        store: str = "jpeg",
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__()
        check_at_least("image_size", image_size, 1)
        check_at_least("max_pixels", max_pixels, 1)
        check_at_least("limit", limit, 1)
        check_choice("store", store, STORES)
        self.root = Path(root).expanduser()
        self.attributes = check_attributes(attributes)
        self.image_size = image_size
        self.limit = limit
        self.partitions = _check_partitions(list(SPLITS) if partitions is None else partitions)
        self.max_pixels = max_pixels
        self.store = store
        self.name = name or self.default_name
        self._checks = ImageChecks(on_bad_image, max_bad_fraction)
        self._loaders = LoaderSettings(batch_size, eval_batch_size, num_workers, seed)
        self._annotations: Annotations | None = None
        self._image_folder: Path | None = None
        self._faces: FaceStore | None = None
        self._rows: dict[str, np.ndarray] = {}  # rows in use of each split
        self._ready: set[str] = set()  # splits whose images have been checked
        self._predicted: FaceDataset | None = None

    # --------------------------------------------------------------------------------------------------- what there is

    @property
    def annotations(self) -> Annotations:
        """Annotations of ``root``, read on first use; they need no images."""
        if self._annotations is None:
            self._annotations = Annotations.load(self.root)
        return self._annotations

    @property
    def image_folder(self) -> Path:
        """Folder that contains the images."""
        if self._image_folder is None:
            self._image_folder = find_image_folder(self.root)
        return self._image_folder

    @property
    def has_images(self) -> bool:
        """Whether there is an image folder; the annotations alone are enough for an analysis of the labels."""
        return holds_images(self.root)

    @property
    def files(self) -> JpegFolder:
        """Image files of all rows of the annotations."""
        return JpegFolder(self.image_folder, self.annotations.image_ids, self.image_size, self.max_pixels)

    @property
    def faces(self) -> FaceStore:
        """Images of all rows of the annotations, from the place that ``store`` names."""
        if self._faces is None:
            self._faces = STORES[self.store](self.files)
        return self._faces

    def split_indices(self, split: str) -> np.ndarray:
        """Return the rows of the annotations that a split uses, int64 (N,), ascending."""
        if split not in self._rows:
            rows = self.annotations.rows(split)
            self._rows[split] = rows[: self.limit if split in self.partitions else 0]
        return self._rows[split]

    @property
    def rows(self) -> np.ndarray:
        """Rows of the annotations that are in use in any split, int64 (N,), ascending."""
        return np.sort(np.concatenate([self.split_indices(split) for split in SPLITS]))

    @property
    def counts(self) -> dict[str, int]:
        """Number of images used from each split, after ``limit`` is applied, without skipped images."""
        return {split: len(self.split_indices(split)) for split in SPLITS}

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """Return the labels of rows of the annotations, uint8 (N, K), 0 or 1, in the order of ``attributes``."""
        labels: np.ndarray = self.annotations.labels[rows][:, self.annotations.columns(self.attributes)]
        return labels.astype(np.uint8)

    @property
    def bad_images(self) -> pd.DataFrame:
        """Table of the images that were left out so far: ``image_id``, ``split``, ``reason``."""
        return self._checks.left_out

    def image_ids(self, indices: Sequence[int] | np.ndarray) -> list[str]:
        """Return the file names of rows of the annotations."""
        names: list[str] = self.annotations.image_ids[np.asarray(indices, dtype=np.int64)].tolist()
        return names

    def raw_images(self, indices: Sequence[int] | np.ndarray, size: int | None = None) -> list[np.ndarray]:
        """Return images for figures, as they are on disk.

        Args:
            indices: Rows of the annotations.
            size: Side in pixels of squares that the images are resized to; None leaves them as they are.

        Returns:
            One uint8 (H, W, 3) array for each row.
        """
        files = self.files
        images = [files.load(int(row)) for row in indices]
        if size is None or not images:
            return images
        return list(resize_images(images, size).permute(0, 2, 3, 1).numpy())

    # ------------------------------------------------------------------------------------------------ what is reported

    def describe_splits(self) -> str:
        """Return the number of images in use of each split in words: ``48 train + 6 validation + 6 test``."""
        return " + ".join(f"{count:,} {split_name(split)}" for split, count in self.counts.items())

    def describe(self) -> str:
        """Return one line about the images in use, to be printed at the start of a run."""
        limited = f", limited to {self.limit} each" if self.limit else ""
        skipped = f", {len(self.bad_images)} bad images left out" if len(self.bad_images) else ""
        return f"images: {self.describe_splits()} at {self.image_size} x {self.image_size} pixels{limited}{skipped}"

    def facts(self) -> dict[str, Any]:
        """Return what a run records about its data: name, folder, images of each split and provenance."""
        return {"name": self.name, "root": str(self.root), "images": self.counts, **self.provenance}

    @property
    def provenance(self) -> dict[str, Any]:
        """Additional information about the origin of the images, for ``summary.json``."""
        return {}

    # ------------------------------------------------------------------------------------------------------- setting up

    def setup(self, stage: str | None = None) -> None:
        """Read the annotations and check the images of the splits that ``stage`` needs; None needs all splits."""
        if stage == "predict" and self._predicted is not None:
            return
        for split in SPLITS if stage is None else _STAGES.get(str(stage), ("test",)):
            self.setup_split(split)

    def setup_split(self, split: str) -> None:
        """Check the images of one split, once.

        Raises:
            UserError: The split is empty, images are missing, or too many cannot be used.
        """
        if split not in self._ready:
            self._check_split(split)
            self._ready.add(split)

    def _check_split(self, split: str) -> None:
        rows = self.split_indices(split)
        if split not in self.partitions:
            rule = f"leaves out the {split} split, which this task needs"
            raise SettingError("data.partitions", self.partitions, rule, is_absolute=True)
        if len(rows) == 0:
            raise UserError(
                f"The {split} split of {self.root} is empty: no image has partition {SPLITS.index(split)} in"
                " list_eval_partition. Correct the partition or choose another split."
            )
        self._rows[split] = self._checks.check_split(self.files, rows, split)

    def predict_dataset(self, paths: Sequence[Path]) -> FaceDataset:
        """Choose the image files that ``predict_dataloader`` loads; neither ``root`` nor annotations are needed.

        Args:
            paths: The image files. ``index`` in a batch is a position in this list.

        Raises:
            UserError: With ``on_bad_image="skip"``, too many of them cannot be used.
        """
        files = JpegFolder(Path(), [str(path) for path in paths], self.image_size, self.max_pixels)
        self._predicted = FaceDataset(files, self._checks.leave_out(files, np.arange(len(paths)), "predict"))
        return self._predicted

    # ---------------------------------------------------------------------------------------------------------- loading

    def dataset(self, split: str) -> FaceDataset:
        """Return the images of a split in table order; call ``setup`` first, to have them checked."""
        return self._dataset(self.split_indices(split))

    def shuffled_dataloader(self, processes: Processes, epoch: int = 0) -> FaceLoader:
        """Return the training batches, in an order that depends only on (seed, epoch).

        Args:
            processes: The processes that share the images.
            epoch: The epoch that starts next.
        """
        dataset = self.dataset("train")
        dataset.store.prepare(dataset.rows, processes.local)
        return self._loaders.training_loader(dataset, processes, epoch)

    def evaluation_dataloader(self, split: str, processes: Processes | None = None) -> FaceLoader:
        """Return the batches of any split, in table order.

        Args:
            split: Name of the split.
            processes: The processes that share the images, each of which is loaded by one process only. Default: this
                process alone, on the CPU.
        """
        return self._loaders.evaluation_loader(self.dataset(split), processes or Processes())

    def rows_dataloader(self, rows: np.ndarray, processes: Processes | None = None) -> FaceLoader:
        """Return a loader over the given rows of the annotations, int64 (N,), in the order given."""
        return self._loaders.evaluation_loader(self._dataset(rows), processes or Processes())

    @override
    def train_dataloader(self) -> FaceLoader:
        return self.shuffled_dataloader(self._processes, self.trainer.current_epoch if self.trainer else 0)

    @override
    def val_dataloader(self) -> FaceLoader:
        return self.evaluation_dataloader("val", self._processes)

    @override
    def test_dataloader(self) -> FaceLoader:
        return self.evaluation_dataloader("test", self._processes)

    @override
    def predict_dataloader(self) -> FaceLoader:
        """Return the files given to ``predict_dataset``, or else the test split, in order."""
        dataset = self.dataset("test") if self._predicted is None else self._predicted
        return self._loaders.evaluation_loader(dataset, self._processes)

    def _dataset(self, rows: np.ndarray) -> FaceDataset:
        return FaceDataset(self.faces, rows, self.labels(rows))

    @property
    def _processes(self) -> Processes:
        """Processes of the Trainer, which Lightning sets before it requests the loaders."""
        return Processes() if self.trainer is None else Processes.of(self.trainer)


class TrainingFaces(lightning.LightningDataModule):
    """The training split alone, for a model without validation: the images of the other splits are never needed.

    Args:
        data: The dataset.
    """

    def __init__(self, data: CelebADataModule) -> None:
        super().__init__()
        self.data = data

    @override
    def train_dataloader(self) -> FaceLoader:
        assert self.trainer is not None
        return self.data.shuffled_dataloader(Processes.of(self.trainer), self.trainer.current_epoch)


def _check_partitions(names: list[str]) -> list[str]:
    """Return the names of splits in the order of ``SPLITS``."""
    for name in names:
        check_choice("partitions", name, SPLITS)
    if not names:
        raise SettingError("partitions", names, "must name at least one split", "For example data.partitions=[train].")
    return [split for split in SPLITS if split in names]
