"""The report of ``task=synthesize``: what the drawn faces look like and which attributes they have."""

import pandas as pd

from celeba_lab import figures
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.synthetic.gallery import draw_gallery
from celeba_lab.runs.run import RunFolder

_SHOWN = 32


def report_synthetic(run: RunFolder, datamodule: CelebADataModule, n: int, seed: int) -> None:
    """Write the prevalence of every attribute, the first faces, and each attribute absent and present.

    Args:
        run: Folder of the tables and figures.
        datamodule: Data module that reads the drawn faces.
        n: Number of drawn faces.
        seed: Seed of the person who shows each attribute.
    """
    labels = datamodule.annotations.labels
    run.table("prevalence", pd.DataFrame({"attribute": ATTRIBUTES, "prevalence": labels.mean(axis=0)}))
    shown = range(min(_SHOWN, n))
    title = f"synthetic: the first of {n:,} faces"
    run.figure("faces", figures.face_grid(datamodule.raw_images(shown), datamodule.image_ids(shown), title=title))
    pairs = draw_gallery(seed)
    title = "synthetic: each attribute absent (left) and present (right) in the same person"
    captions = ["Attractive (not drawn)" if name == "Attractive" else name for name in pairs]
    run.figure("attributes", figures.face_grid(list(pairs.values()), captions, title=title))
