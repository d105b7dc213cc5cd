"""The training face nearest to each generated face, which shows whether a generator copies its training data."""

import numpy as np
import pandas as pd
import torch

from celeba_lab import figures
from celeba_lab.analyses.neighbours import nearest_images
from celeba_lab.console import progress, split_name
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.runs.folder import RunFolder

_SHOWN = 64
_SPLIT = "val"  # Split that provides the held-out real faces.
_REFERENCE_FACES = 200  # Number of held-out real faces used as a reference.


def report_nearest(run: RunFolder, faces: torch.Tensor, datamodule: CelebADataModule, title: str) -> dict[str, float]:
    """For each generated face, find the training face with the smallest pixel difference.

    Training faces are compared both unchanged and mirrored, because they may have been mirrored during training. The
    table contains all generated faces, and the figure shows the first 64.

    Args:
        run: Run folder for the table and the figure.
        faces: Generated faces, uint8 (N, 3, S, S).
        datamodule: Data module with the training faces.
        title: Title for the figure.

    Returns:
        ``nearest/generated``, the median distance between generated faces and their nearest training faces, on a scale
        from 0 to 255, and ``nearest/real``, the corresponding median for held-out real faces. If there are no held-out
        real faces, ``nearest/real`` is omitted. If the generator copies training faces, ``nearest/generated`` is
        much smaller than ``nearest/real``.
    """
    n = len(faces)
    others = datamodule.split_indices(_SPLIT)[:_REFERENCE_FACES]
    queries = torch.cat([faces, datamodule.read_faces(others)]) if len(others) else faces
    loader = datamodule.rows_dataloader(datamodule.split_indices("train"))
    batches = progress(loader, "finding the nearest training faces", unit="batches")
    found, mirrored, distance = nearest_images(
        queries.numpy(), ((batch["index"].numpy(), batch["image"].numpy()) for batch in batches)
    )
    names = datamodule.image_ids(found[:n])
    table = {"face": range(n), "image_id": names, "mirrored": mirrored[:n], "distance": distance[:n]}
    run.table("nearest", pd.DataFrame(table))
    medians = {"nearest/generated": float(np.median(distance[:n]))}
    compared = ""
    if len(others):
        medians["nearest/real"] = float(np.median(distance[n:]))
        compared = f"; for {len(others)} held-out real faces from the {split_name(_SPLIT)} split:"
        compared += f" {medians['nearest/real']:.1f}"
    note = (
        "Each generated face next to its nearest training face (distance: root-mean-square pixel difference, 0 to 255)"
        f"{f', first {_SHOWN} of {n:,} faces' if n > _SHOWN else ''}\n"
        f"Median distance for generated faces: {medians['nearest/generated']:.1f}{compared}"
    )
    pictures, captions = [], []
    shown = faces[:_SHOWN].permute(0, 2, 3, 1).numpy()
    real = datamodule.raw_images(found[: len(shown)], size=faces.shape[-1])
    for k, (face, neighbour) in enumerate(zip(shown, real, strict=True)):
        pictures += [face, neighbour[:, ::-1] if mirrored[k] else neighbour]
        captions += [
            f"generated {k}",
            f"{names[k]}{', mirrored' if mirrored[k] else ''}\ndistance {distance[k]:.1f}",
        ]
    run.figure("nearest", figures.face_grid(pictures, captions, columns=8, title=f"{title}\n{note}"))
    return medians
