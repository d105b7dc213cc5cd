"""Read the labels for an analysis. This module imports neither torch nor Lightning, whose import takes seconds."""

from collections.abc import Sequence
from copy import copy

from omegaconf import DictConfig

from celeba_lab.analyses.sampling import LabelSample, take_fraction
from celeba_lab.config import build
from celeba_lab.console import console, split_name
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.celeba import CelebA
from celeba_lab.errors import UserError
from celeba_lab.runs.run import Run

# The data modules of celeba_lab, and the classes with the same arguments that do not load batches.
_WITHOUT_LOADERS = {
    "celeba_lab.data.datamodule.CelebADataModule": "celeba_lab.data.celeba.CelebA",
    "celeba_lab.data.synthetic.datamodule.SyntheticDataModule": "celeba_lab.data.synthetic.faces.SyntheticFaces",
}


def build_faces(data: DictConfig, attributes: Sequence[str] | None = None, image_size: int = 128) -> CelebA:
    """Build the labels and image files of the configured data, without loaders.

    The data module of :func:`~celeba_lab.engine.build.build_datamodule` has loaders as well. It is not needed to read
    labels, and torch and Lightning are then not imported. Data modules of the user are built as they are. The arguments
    and errors are the same.
    """
    names = list(ATTRIBUTES if attributes is None else attributes)
    node = copy(data)
    node._target_ = _WITHOUT_LOADERS.get(data._target_, data._target_)
    faces: CelebA = build(node, attributes=names, image_size=image_size)
    return faces


def sample_labels(run: Run, data: CelebA, fraction: float, with_images: bool = False) -> LabelSample:
    """Sample a fraction of the faces in the configured splits, and read their labels.

    Args:
        run: The run, whose seed determines the sample.
        data: Labels and image files.
        fraction: Fraction of the images to sample, greater than 0 and at most 1.
        with_images: If true, the image files are checked as well. If false, only the labels are read.

    Raises:
        UserError: The data cannot be used, or the fraction is invalid.
    """
    names = data.attributes
    annotations = data.annotations
    splits = [split for split in data.partitions if data.counts[split]]
    if not splits:
        raise UserError(f"data.partitions=[{','.join(data.partitions)}] does not select any images in {data.root}.")
    if with_images:
        for split in splits:
            data.setup_split(split)
    rows = take_fraction(data.rows, fraction, run.seed)
    where = " + ".join(split_name(split) for split in splits)
    console.print(f"labels: {len(rows):,} of the {len(data.rows):,} faces in {where}, {len(names)} attributes")
    labels = annotations.labels[rows][:, annotations.columns(names)]
    title = f"{run.title(data.name)} · {len(rows):,} faces from {where}"
    return LabelSample(data, rows, names, labels, title)
