"""The parts of a GAN's report: how it trained, how far its faces are from real ones, and whether they are copies."""

import numpy as np
import pandas as pd
import torch

from celeba_lab import figures
from celeba_lab.analyses.neighbours import nearest_images
from celeba_lab.console import console
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.generation import DistanceSchedule
from celeba_lab.models.gan import GAN
from celeba_lab.run import RunFolder

_REFERENCE_FACES = 200  # real faces not trained on, whose nearest training faces show what is near by chance


def report_training(run: RunFolder, history: pd.DataFrame, title: str) -> None:
    """Write ``history`` as table and curves: a row per epoch, metrics by their names."""
    if history.empty:
        return
    run.table("history", history)
    run.figure("training", figures.adversarial_curves(history, title=title))


def report_distances(
    run: RunFolder,
    schedule: DistanceSchedule,
    model: GAN,
    epoch: int,
    step: int,
    datamodule: CelebADataModule,
    title: str,
) -> dict[str, float]:
    """Measure at the end, and write every measurement of the run as a table and a figure.

    Returns:
        ``heldout/kid`` and ``heldout/fid``, of the averaged generator where there is one, and ``heldout/kid_real``, the
        distance of training faces from the same real ones.
    """
    with console.status("measuring the distance from real faces"):
        last = schedule.rows[-1]["step"] if schedule.rows else None
        if last != step:
            schedule.measure(model, epoch, step)
        floor = schedule.distances.measure(_training_faces(datamodule, schedule.n_images))
    table = pd.DataFrame(schedule.rows).assign(measured_in=schedule.distances.describe(floor), kid_real=floor.kid)
    run.table("distances", table)
    names = {"ema": "average of the weights", "raw": "last weights"}
    series = {names[str(name)]: rows for name, rows in table.groupby("weights", sort=False)}
    several = table["epoch"].nunique() > 1  # one point is no curve, and is printed
    for metric, label, real in (("kid_x1000", "KID x 1,000", floor.kid), ("fid", "FID", floor.fid)) if several else ():
        lines = {name: (rows["epoch"].tolist(), rows[metric].tolist()) for name, rows in series.items()}
        note = schedule.distances.describe(floor)
        figure = figures.distance_curves(lines, floor=real, metric=label, title=title, note=note)
        run.figure(metric.removesuffix("_x1000"), figure)
    final = table[table["step"] == table["step"].max()].iloc[0]  # the average is measured first
    console.print(
        f"KID x 1,000: {final['kid_x1000']:.1f} (standard deviation over subsets {final['kid_std']:.1f}; real against"
        f" real {floor.kid:.1f}); FID: {final['fid']:.1f} ({floor.fid:.1f})\n  in {schedule.distances.describe(floor)}"
    )
    return {"heldout/kid": final["kid_x1000"], "heldout/fid": final["fid"], "heldout/kid_real": floor.kid}


def _training_faces(datamodule: CelebADataModule, n: int) -> torch.Tensor:
    """Return up to n faces of the training split, evenly over it, uint8 (n, 3, S, S)."""
    rows = datamodule.split_indices("train")
    picked = rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(np.int64)]
    return torch.cat([batch["image"] for batch in datamodule.rows_dataloader(picked)])


def report_nearest(
    run: RunFolder, faces: torch.Tensor, datamodule: CelebADataModule, title: str, split: str = "val"
) -> dict[str, float]:
    """Show each generated face, uint8 (N, 3, S, S), beside the training face that is nearest to it, pixel by pixel.

    Returns:
        ``nearest/generated``, the median distance of the generated faces from their nearest training faces, of 255; and
        ``nearest/real``, that of real faces that were not trained on, where there are some: a generator that copies is
        much nearer than these.
    """
    others = datamodule.split_indices(split)[:_REFERENCE_FACES]
    heldout = [batch["image"] for batch in datamodule.rows_dataloader(others)] if len(others) else []
    queries = torch.cat([faces, *heldout]).numpy()
    batches = datamodule.rows_dataloader(datamodule.split_indices("train"))
    with console.status("looking for the nearest training faces"):
        found, distance = nearest_images(
            queries, ((batch["index"].numpy(), batch["image"].numpy()) for batch in batches)
        )
    names = datamodule.image_ids(found[: len(faces)])
    run.table(
        "nearest", pd.DataFrame({"face": range(len(faces)), "image_id": names, "distance": distance[: len(faces)]})
    )
    pictures, captions = [], []
    real = datamodule.raw_images(found[: len(faces)], size=faces.shape[-1])
    for k, (face, neighbour) in enumerate(zip(faces.permute(0, 2, 3, 1).numpy(), real, strict=True)):
        pictures += [face, neighbour]
        captions += [f"generated {k}", f"{names[k]}\ndistance {distance[k]:.1f}"]
    medians = {"nearest/generated": float(np.median(distance[: len(faces)]))}
    beside = ""
    if len(others):
        medians["nearest/real"] = float(np.median(distance[len(faces) :]))
        beside = f"; of {len(others)} real faces of {split}, which were not trained on, {medians['nearest/real']:.1f}"
    note = (
        "Each generated face with its nearest training face (root mean square of the differences, of 255)\n"
        f"Median distance {medians['nearest/generated']:.1f}{beside}"
    )
    run.figure("nearest", figures.face_grid(pictures, captions, columns=8, title=f"{title}\n{note}"))
    return medians
