"""Batches of faces: which images, in which order, and what becomes of a bad one."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler, SequentialSampler

from celeba_lab.console import console
from celeba_lab.data.annotations import SPLITS, Annotations
from celeba_lab.data.attributes import check_attributes
from celeba_lab.data.checks import find_unusable
from celeba_lab.data.datasets import FaceDataset, ImageFiles
from celeba_lab.data.images import load_image, resize_images
from celeba_lab.data.layouts import find_image_folder, holds_images
from celeba_lab.data.loaders import EpochSampler, memory_bytes, spare_cores
from celeba_lab.errors import UserError, did_you_mean, enumerate_names

ON_BAD_IMAGE = ("raise", "skip")
_STAGES = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class CelebADataModule(lightning.LightningDataModule):
    """CelebA, or anything in its layout, as uint8 batches.

    A batch is ``{"image": uint8 (B, 3, size, size), "label": uint8 (B, K), "index": int64 (B,)}`` with labels 0 or 1 in
    the order of ``attributes`` and ``index`` a row of ``annotations``.

    Args:
        root: The data folder, in any layout that ``Annotations.load`` and ``find_image_folder`` know.
        attributes: The K attributes to learn.
        image_size: Side of the square images, in pixels.
        batch_size: Images in a training batch. The last, smaller batch of an epoch is left out, because a batch of
            one breaks batch normalisation; a split smaller than one batch is used whole.
        eval_batch_size: Images in a batch of validation, test and prediction; twice ``batch_size`` by default, as
            no gradients are kept.
        num_workers: Processes that load images; by default none when training on the CPU, whose cores are better
            spent on the model, else one for each other core, at most 8.
        limit: Use at most this many images of each split, the first in the table.
        partitions: The splits to use, all three by default; the others count as empty.
        on_bad_image: "raise" stops at an image that is missing or unreadable; "skip" decodes every image once before
            use, leaves the bad ones out and keeps them in ``bad_images``.
        max_bad_fraction: With "skip", the fraction of a split that may be bad before the run stops all the same.
        max_pixels: Largest width times height of an image, checked before it is decoded.
        in_memory: Decode each image of the training split once and keep it, shrunk to ``image_size``: for small
            images, whose decoding takes longer than a step on them. 200,000 faces of 32 pixels take 0.6 GB, of 64
            pixels 2.5 GB; those that would fill more than half of the memory are read from the disk all the same.
        seed: Of the training order.
        name: What to call the data in reports.

    Attributes:
        bad_images: A table of what was left out: image_id, split, reason.

    Raises:
        UserError: An argument is out of range.
    """

    default_name = "celeba"
    notice: str | None = None  # what a reader of the results must know about the data

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
        in_memory: bool = False,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.root = Path(root).expanduser()
        self.attributes = check_attributes(attributes)
        self.image_size = _at_least("image_size", image_size, 1)
        self.batch_size = _at_least("batch_size", batch_size, 1)
        self.eval_batch_size = _at_least(
            "eval_batch_size", 2 * batch_size if eval_batch_size is None else eval_batch_size, 1
        )
        self.num_workers = None if num_workers is None else _at_least("num_workers", num_workers, 0)
        self.limit = None if limit is None else _at_least("limit", limit, 1)
        self.partitions = _check_partitions(list(SPLITS) if partitions is None else partitions)
        if on_bad_image not in ON_BAD_IMAGE:
            hint = did_you_mean(on_bad_image, ON_BAD_IMAGE)
            raise UserError(f"data.on_bad_image is '{on_bad_image}'; it can be {' or '.join(ON_BAD_IMAGE)}.{hint}")
        self.on_bad_image = on_bad_image
        if not 0 <= max_bad_fraction <= 1:
            raise UserError(f"data.max_bad_fraction is {max_bad_fraction}; give a fraction from 0 to 1.")
        self.max_bad_fraction = max_bad_fraction
        self.max_pixels = _at_least("max_pixels", max_pixels, 1)
        self.in_memory = in_memory
        self.seed = _at_least("seed", seed, 0)
        self.name = name or self.default_name
        self.bad_images = pd.DataFrame(columns=["image_id", "split", "reason"], dtype=str)
        self._annotations: Annotations | None = None
        self._image_folder: Path | None = None
        self._listed: set[str] | None = None  # the files in the image folder
        self._indices: dict[str, np.ndarray] = {}  # split -> rows in use
        self._ready: set[str] = set()  # splits whose images were checked
        self._files: ImageFiles | None = None
        self._kept: FaceDataset | None = None  # the training split, in memory

    # ------------------------------------------------------------------------------------------------- what there is

    @property
    def annotations(self) -> Annotations:
        """The annotations of ``root``, read when first asked for; they need no images."""
        if self._annotations is None:
            self._annotations = Annotations.load(self.root)
        return self._annotations

    @property
    def image_folder(self) -> Path:
        """The folder with the images."""
        if self._image_folder is None:
            self._image_folder = find_image_folder(self.root)
        return self._image_folder

    @property
    def counts(self) -> dict[str, int]:
        """Images in use of each split, after ``limit``, and after skipping in the splits that were set up."""
        return {split: len(self.split_indices(split)) for split in SPLITS}

    @property
    def provenance(self) -> dict[str, Any]:
        """What else ``summary.json`` should say of where the images come from."""
        return {}

    @property
    def has_images(self) -> bool:
        """Whether there is an image folder; the annotations alone are enough for an analysis of the labels."""
        return holds_images(self.root)

    def split_indices(self, split: str) -> np.ndarray:
        """Return the int64 rows of the annotations that ``split`` uses, ascending."""
        if split not in self._indices:
            rows = self.annotations.rows(split)
            self._indices[split] = rows[: self.limit if split in self.partitions else 0]
        return self._indices[split]

    @property
    def rows(self) -> np.ndarray:
        """The int64 rows of the annotations that are in use, of all splits together, ascending."""
        return np.sort(np.concatenate([self.split_indices(split) for split in SPLITS]))

    def image_ids(self, indices: Sequence[int] | np.ndarray) -> list[str]:
        """Return the file names of the annotation rows ``indices``."""
        return self.annotations.image_ids[np.asarray(indices, dtype=np.int64)].tolist()

    def raw_images(self, indices: Sequence[int] | np.ndarray, size: int | None = None) -> list[np.ndarray]:
        """Return the images of the annotation rows ``indices``, for figures.

        Args:
            indices: Rows of the annotations.
            size: Squash to this many pixels a side; as they are on disk by default.

        Returns:
            One ``(H, W, 3)`` uint8 array for each, with H = W = ``size`` where it is given.
        """
        images = [load_image(self.image_folder / name, self.max_pixels) for name in self.image_ids(indices)]
        if size is None or not images:
            return images
        return list(resize_images(images, size).permute(0, 2, 3, 1).numpy())

    # ------------------------------------------------------------------------------------------------------- setting up

    def setup(self, stage: str | None = None) -> None:
        """Read the annotations and check the images of the splits that ``stage`` needs."""
        if stage == "predict" and self._files is not None:
            return
        for split in SPLITS if stage is None else _STAGES.get(str(stage), ("test",)):
            self.setup_split(split)

    def setup_split(self, split: str) -> None:
        """Check the images of one split, once.

        Raises:
            UserError: The split is empty, images are missing, or too many are bad.
        """
        if split not in self._ready:
            self._check_split(split)
            self._ready.add(split)

    def _check_split(self, split: str) -> None:
        indices = self.split_indices(split)
        if split not in self.partitions:
            raise UserError(
                f"data.partitions=[{','.join(self.partitions)}] leaves out the {split} split, which this task needs."
            )
        if len(indices) == 0:
            raise UserError(
                f"The {split} split of {self.root} is empty: no image has partition {SPLITS.index(split)} in"
                f" list_eval_partition, and this task needs some; correct the partition or choose another split."
            )
        names = self.image_ids(indices)
        if self.on_bad_image == "skip":
            paths = [self.image_folder / name for name in names]
            self._indices[split] = indices[self._leave_out_bad(paths, names, split)]
        else:
            self._check_listed(names, split)

    def _check_listed(self, names: Sequence[str], split: str) -> None:
        if self._listed is None:  # one pass over the folder, where a stat for each image would be 200,000
            with os.scandir(self.image_folder) as entries:
                self._listed = {entry.name for entry in entries}
        missing = [name for name in names if name not in self._listed]
        if missing:
            raise UserError(
                f"{len(missing)} of the {len(names)} images of the {split} split are not in {self.image_folder}:"
                f" {enumerate_names(missing)}; complete the folder, or leave them out with data.on_bad_image=skip."
            )

    def _leave_out_bad(self, paths: Sequence[Path], names: Sequence[str], split: str) -> np.ndarray:
        """Decode ``paths`` once, record the bad ones and return the positions of the good."""
        reasons = find_unusable(paths, self.max_pixels, f"Checking the {split} images")
        if not reasons:
            return np.arange(len(paths))
        if len(reasons) == len(paths) or len(reasons) > self.max_bad_fraction * len(paths):
            first = next(iter(reasons.values()))
            raise UserError(
                f"{len(reasons)} of the {len(paths)} {split} images cannot be used, more than"
                f" data.max_bad_fraction={self.max_bad_fraction:g} allows; replace them or raise it. The first: {first}"
            )
        rows = [{"image_id": names[p], "split": split, "reason": reason} for p, reason in reasons.items()]
        others = self.bad_images[self.bad_images["split"] != split]
        self.bad_images = pd.DataFrame([*others.to_dict("records"), *rows], columns=self.bad_images.columns)
        return np.array([position for position in range(len(paths)) if position not in reasons], dtype=np.int64)

    # ---------------------------------------------------------------------------------------------------------- loading

    def train_dataloader(self) -> DataLoader:
        """Return the training batches, in an order that depends only on (seed, epoch)."""
        dataset = self._training_dataset()
        sampler = self._train_sampler(len(dataset))
        return self._loader(dataset, self.batch_size, sampler, drop_last=len(sampler) > self.batch_size)

    def _training_dataset(self) -> FaceDataset:
        if not self.in_memory:
            return self.dataset("train")
        if self._kept is None:
            dataset = self.dataset("train")
            processes = 1 if self.trainer is None else self.trainer.num_devices
            if processes * dataset.bytes_in_memory > memory_bytes() / 2:
                console.print(
                    f"data.in_memory: {len(dataset):,} faces of {self.image_size} x {self.image_size} pixels would fill"
                    " more than half of the memory, so they are read from the disk in each epoch",
                    style="yellow",
                )
                return dataset
            dataset.keep_in_memory()
            self._kept = dataset
        return self._kept

    def val_dataloader(self) -> DataLoader:
        """Return the validation batches, in table order."""
        return self.evaluation_dataloader("val")

    def test_dataloader(self) -> DataLoader:
        """Return the test batches, in table order."""
        return self.evaluation_dataloader("test")

    def evaluation_dataloader(self, split: str) -> DataLoader:
        """Return the batches of any split, in table order; with several processes every image goes to one of them."""
        return self._evaluation_loader(self.dataset(split))

    def rows_dataloader(self, rows: np.ndarray) -> DataLoader:
        """Return the batches of any rows of the annotations, (N,), in the order given."""
        return self._evaluation_loader(self._dataset(rows))

    def predict_dataloader(self) -> DataLoader:
        """Return the files given to ``predict_dataset``, else the test split, in order."""
        return self._evaluation_loader(self.dataset("test") if self._files is None else self._files)

    def dataset(self, split: str) -> FaceDataset:
        """Return the images of ``split`` in table order; call ``setup`` first, to have them checked."""
        return self._dataset(self.split_indices(split))

    def _dataset(self, rows: np.ndarray) -> FaceDataset:
        dataset = FaceDataset(
            self.image_folder, self.annotations, rows, self.attributes, self.image_size, self.max_pixels
        )
        if self._kept is not None:
            dataset.share(self._kept)
        return dataset

    def predict_dataset(self, paths: Sequence[Path]) -> ImageFiles:
        """Choose the image files that ``predict_dataloader`` loads; neither ``root`` nor annotations are needed.

        Raises:
            UserError: With ``on_bad_image="skip"``, too many of them are bad.
        """
        indices = None
        if self.on_bad_image == "skip":
            indices = self._leave_out_bad(list(paths), [str(path) for path in paths], "predict")
        self._files = ImageFiles(paths, self.image_size, self.max_pixels, indices)
        return self._files

    def _evaluation_loader(self, dataset: FaceDataset | ImageFiles) -> DataLoader:
        sampler = None
        if self.trainer is not None and self.trainer.world_size > 1:
            if len(dataset) < self.trainer.world_size:
                raise UserError(
                    f"{len(dataset)} images cannot be shared among {self.trainer.world_size} processes."
                    " Take fewer processes (trainer.devices) or more images."
                )
            # Lightning's own would repeat images to fill the last round, and the metrics would count them twice.
            sampler = UnrepeatedDistributedSampler(
                dataset, num_replicas=self.trainer.world_size, rank=self.trainer.global_rank, shuffle=False
            )
        return self._loader(dataset, self.eval_batch_size, sampler)

    def _train_sampler(self, n: int) -> EpochSampler | DistributedSampler:
        sampler: EpochSampler | DistributedSampler
        if self.trainer is not None and self.trainer.world_size > 1:
            # Lightning would wrap an EpochSampler in one of these and no longer tell it the epoch.
            sampler = DistributedSampler(
                range(n),  # type: ignore[arg-type]  # only its length is used
                num_replicas=self.trainer.world_size,
                rank=self.trainer.global_rank,
                seed=self.seed,
            )
        else:
            sampler = EpochSampler(n, self.seed)
        if self.trainer is not None:  # a resumed run's workers prefetch before Lightning sets the epoch
            sampler.set_epoch(self.trainer.current_epoch)
        return sampler

    def _loader(
        self, dataset: Dataset, batch_size: int, sampler: Sampler[int] | None = None, drop_last: bool = False
    ) -> DataLoader:
        accelerator = None if self.trainer is None else self.trainer.accelerator
        workers = self.num_workers
        if workers is None:
            on_cpu = accelerator is None or isinstance(accelerator, CPUAccelerator)
            workers = (
                0 if on_cpu or dataset is self._kept else spare_cores(self.trainer.num_devices if self.trainer else 1)
            )
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=SequentialSampler(dataset) if sampler is None else sampler,  # type: ignore[arg-type]
            num_workers=workers,
            drop_last=drop_last,
            pin_memory=isinstance(accelerator, CUDAAccelerator),
            persistent_workers=workers > 0,
            # Its own, so that building a loader leaves the global generator, and with it the model, as it was.
            generator=torch.Generator().manual_seed(self.seed),
        )


class TrainingFaces(lightning.LightningDataModule):
    """The training split alone, for a model that is not validated: nothing asks for the other splits' images."""

    def __init__(self, faces: CelebADataModule) -> None:
        super().__init__()
        self.faces = faces

    def train_dataloader(self) -> DataLoader:
        """Return the training batches."""
        self.faces.trainer = self.trainer
        return self.faces.train_dataloader()


def _check_partitions(names: list[str]) -> list[str]:
    for name in names:
        if name not in SPLITS:
            hint = did_you_mean(name, SPLITS)
            raise UserError(f"data.partitions names '{name}'; the splits are {', '.join(SPLITS)}.{hint}")
    if not names:
        raise UserError("data.partitions is an empty list; name at least one, for example data.partitions=[train].")
    return [split for split in SPLITS if split in names]


def _at_least(key: str, value: int, least: int) -> int:
    if value < least:
        raise UserError(f"data.{key} is {value}; it must be at least {least}.")
    return value
