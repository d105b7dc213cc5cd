"""The report for ``task=synthesize``: examples of the synthetic faces, and the prevalence of each attribute."""

import pandas as pd

from celeba_lab import figures
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.celeba import CelebA
from celeba_lab.data.synthetic.gallery import draw_gallery
from celeba_lab.runs.folder import RunFolder

_SHOWN = 32


def report_synthetic(run: RunFolder, data: CelebA, n: int, seed: int) -> None:
    """Write each attribute's prevalence, and draw example faces and the same person with and without each attribute.

    Args:
        run: Run folder for the table and the figures.
        data: The synthetic faces.
        n: Number of synthetic faces.
        seed: Seed for the appearance of the person drawn with and without each attribute.
    """
    labels = data.annotations.labels
    run.table("prevalence", pd.DataFrame({"attribute": ATTRIBUTES, "prevalence": labels.mean(axis=0)}))
    shown = range(min(_SHOWN, n))
    title = f"synthetic: first {len(shown)} of {n:,} faces"
    run.figure("faces", figures.face_grid(data.raw_images(shown), data.image_ids(shown), title=title))
    pairs = draw_gallery(seed)
    title = "synthetic: the same person without (left) and with (right) each attribute"
    captions = ["Attractive (not drawn)" if name == "Attractive" else name for name in pairs]
    run.figure("attributes", figures.face_grid(list(pairs.values()), captions, title=title))
