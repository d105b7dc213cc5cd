"""The parts of a GAN's report: how it trained, how far its faces are from real ones, and whether they are copies."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from celeba_lab import figures
from celeba_lab.analyses.neighbours import nearest_images
from celeba_lab.console import console
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.models.distances import Distances
from celeba_lab.run import RunFolder

_PICTURED = 64
_REFERENCE_FACES = 200  # real faces not trained on, whose nearest training faces show what is near by chance


def report_training(run: RunFolder, history: pd.DataFrame, title: str) -> None:
    """Write ``history`` as table and curves: a row per epoch, metrics by their names."""
    if history.empty:
        return
    run.table("history", history)
    run.figure("training", figures.adversarial_curves(history, title=title))


def report_distances(
    run: RunFolder,
    distances: Distances,
    rows: Sequence[Mapping[str, Any]],
    datamodule: CelebADataModule,
    title: str,
) -> dict[str, float]:
    """Write every measurement of a run as a table and, where there are several, as figures; print the last.

    Args:
        run: where they go.
        distances: what they were measured with.
        rows: of :class:`~celeba_lab.generation.DistanceSchedule`, the averaged generator before the last weights.
        datamodule: has the training faces, which show how far real faces are from real ones.
        title: stands above the figures.

    Returns:
        ``heldout/kid`` (times 1,000) and ``heldout/fid``, of the averaged generator where there is one; and
        ``heldout/kid_real`` and ``heldout/fid_real``, the distances of training faces from the same real ones.
    """
    table = pd.DataFrame(rows)
    n = int(table["generated"].iloc[-1])
    with console.status("measuring the distance of real faces from real ones"):
        floor = distances.measure(_training_faces(datamodule, n))
    words = distances.describe(n)
    beside = f"real against real: {floor.images:,} training faces against the same"
    run.table(
        "distances", table.assign(kid_x1000_real=floor.kid, fid_real=floor.fid, real=floor.images, measured_in=words)
    )
    if run.writer is not None:
        run.writer.add_text("distances", f"heldout/kid and heldout/fid: {words}; {beside}")
    names = {"ema": "average of the weights", "raw": "last weights"}
    series = {names[str(name)]: group for name, group in table.groupby("weights", sort=False)}
    several = table["epoch"].nunique() > 1  # one point is no curve, and is printed
    for metric, label, real in (("kid_x1000", "KID x 1,000", floor.kid), ("fid", "FID", floor.fid)) if several else ():
        lines = {name: (group["epoch"].tolist(), group[metric].tolist()) for name, group in series.items()}
        note = f"{words}\n{beside}"
        figure = figures.distance_curves(lines, floor=real, metric=label, title=title, note=note)
        run.figure(metric.removesuffix("_x1000"), figure)
    final = table[table["step"] == table["step"].max()].iloc[0]
    console.print(
        f"KID x 1,000: {final['kid_x1000']:.1f} (standard deviation over subsets {final['kid_std']:.1f}; real against"
        f" real {floor.kid:.1f}); FID: {final['fid']:.1f} ({floor.fid:.1f})\n  in {words}\n  {beside}"
    )
    return {
        "heldout/kid": final["kid_x1000"],
        "heldout/fid": final["fid"],
        "heldout/kid_real": floor.kid,
        "heldout/fid_real": floor.fid,
    }


def _training_faces(datamodule: CelebADataModule, n: int) -> torch.Tensor:
    """Return up to n faces of the training split, evenly over it, uint8 (n, 3, S, S)."""
    rows = datamodule.split_indices("train")
    picked = rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(np.int64)]
    return torch.cat([batch["image"] for batch in datamodule.rows_dataloader(picked)])


def report_nearest(
    run: RunFolder, faces: torch.Tensor, datamodule: CelebADataModule, title: str, split: str = "val"
) -> dict[str, float]:
    """Find for each generated face, uint8 (N, 3, S, S), the training face that is nearest to it, pixel by pixel.

    Training faces are looked at as they are and mirrored, as they may have been trained on. The table has every face,
    the figure the first 64.

    Returns:
        ``nearest/generated``, the median distance of the generated faces from their nearest training faces, of 255; and
        ``nearest/real``, that of real faces that were not trained on, where there are some: a generator that copies is
        much nearer than these.
    """
    n = len(faces)
    others = datamodule.split_indices(split)[:_REFERENCE_FACES]
    heldout = [batch["image"] for batch in datamodule.rows_dataloader(others)] if len(others) else []
    batches = datamodule.rows_dataloader(datamodule.split_indices("train"))
    with console.status("looking for the nearest training faces"):
        found, mirrored, distance = nearest_images(
            torch.cat([faces, *heldout]).numpy(),
            ((batch["index"].numpy(), batch["image"].numpy()) for batch in batches),
        )
    names = datamodule.image_ids(found[:n])
    table = {"face": range(n), "image_id": names, "mirrored": mirrored[:n], "distance": distance[:n]}
    run.table("nearest", pd.DataFrame(table))
    medians = {"nearest/generated": float(np.median(distance[:n]))}
    beside = ""
    if len(others):
        medians["nearest/real"] = float(np.median(distance[n:]))
        beside = f"; of {len(others)} real faces of {split}, which were not trained on, {medians['nearest/real']:.1f}"
    note = (
        "Each generated face with its nearest training face (root mean square of the differences, of 255)"
        f"{f', the first {_PICTURED} of {n:,}' if n > _PICTURED else ''}\n"
        f"Median distance {medians['nearest/generated']:.1f}{beside}"
    )
    pictures, captions = [], []
    shown = faces[:_PICTURED].permute(0, 2, 3, 1).numpy()
    real = datamodule.raw_images(found[: len(shown)], size=faces.shape[-1])
    for k, (face, neighbour) in enumerate(zip(shown, real, strict=True)):
        pictures += [face, neighbour[:, ::-1] if mirrored[k] else neighbour]
        captions += [
            f"generated {k}",
            f"{names[k]}{', mirrored' if mirrored[k] else ''}\ndistance {distance[k]:.1f}",
        ]
    run.figure("nearest", figures.face_grid(pictures, captions, columns=8, title=f"{title}\n{note}"))
    return medians
