"""The training curves of a GAN, and the distance of its faces from real ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from celeba_lab import figures
from celeba_lab.console import Progress, console
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.callbacks.images import SAMPLE_FILES
from celeba_lab.files import write_atomically
from celeba_lab.models.gan.distances import Distances
from celeba_lab.runs.run import RunFolder

_COLOURS = 128  # colours of a frame; 32 frames take about 5 MB


def animate(folder: Path, path: Path, seconds: float = 8.0, most: int = 32) -> int:
    """Write an animated GIF of the images in a folder, in the order of their epochs. The last one stays for a second.

    Args:
        folder: Folder of the images.
        path: Path of the GIF.
        seconds: Approximate duration in seconds.
        most: Maximum number of frames. If there are more images, this number is chosen evenly over the epochs,
            including the first and the last.

    Returns:
        Number of frames; 0 if there are fewer than two images, and then no file is written.
    """
    files = sorted(folder.glob(SAMPLE_FILES))
    if len(files) < 2:
        return 0
    shown = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, min(most, len(files))).round().astype(int))]
    frames = [Image.open(file).convert("RGB").quantize(_COLOURS) for file in shown]
    each = max(40, round(1000 * seconds / len(frames)))  # milliseconds
    durations = [each] * (len(frames) - 1) + [1000]
    first, *rest = frames
    write_atomically(
        path,
        lambda file: first.save(
            file, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=False
        ),
    )
    return len(frames)


def report_training(run: RunFolder, history: pd.DataFrame, title: str) -> None:
    """Write the history as a table with one row per epoch, and draw its curves."""
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
    """Write every measurement of a run as a table, draw it if there are several, and print the last one.

    Args:
        run: The run.
        distances: Distances that were measured.
        rows: Rows of :class:`~celeba_lab.engine.distances.DistanceSchedule`, with the averaged generator before the
            weights of the last step.
        datamodule: The training data. Training faces show how far real faces are from other real faces.
        title: Title of the figures.

    Returns:
        ``heldout/kid`` (times 1,000) and ``heldout/fid`` of the averaged generator if there is one; and
        ``heldout/kid_real`` and ``heldout/fid_real``, the distances of training faces from the same real faces.
    """
    table = pd.DataFrame(rows)
    n = int(table["generated"].iloc[-1])
    with Progress("measuring the distance of real faces from real ones"):
        floor = distances.measure(_training_faces(datamodule, n))
    words = distances.describe(n)
    reference = f"real against real: {floor.images:,} training faces against the same"
    run.table(
        "distances", table.assign(kid_x1000_real=floor.kid, fid_real=floor.fid, real=floor.images, measured_in=words)
    )
    if run.writer is not None:
        run.writer.add_text("distances", f"heldout/kid and heldout/fid: {words}; {reference}")
    names = {"ema": "average of the weights", "raw": "last weights"}
    series = {names[str(name)]: group for name, group in table.groupby("weights", sort=False)}
    several = table["epoch"].nunique() > 1  # A single point is not a curve; it is printed below.
    for metric, label, real in (("kid_x1000", "KID x 1,000", floor.kid), ("fid", "FID", floor.fid)) if several else ():
        lines = {name: (group["epoch"].tolist(), group[metric].tolist()) for name, group in series.items()}
        note = f"{words}\n{reference}"
        figure = figures.distance_curves(lines, floor=real, metric=label, title=title, note=note)
        run.figure(metric.removesuffix("_x1000"), figure)
    final = table[table["step"] == table["step"].max()].iloc[0]
    console.print(
        f"KID x 1,000: {final['kid_x1000']:.1f} (standard deviation over subsets {final['kid_std']:.1f}; real against"
        f" real {floor.kid:.1f}); FID: {final['fid']:.1f} ({floor.fid:.1f})\n  in {words}\n  {reference}"
    )
    return {
        "heldout/kid": final["kid_x1000"],
        "heldout/fid": final["fid"],
        "heldout/kid_real": floor.kid,
        "heldout/fid_real": floor.fid,
    }


def _training_faces(datamodule: CelebADataModule, n: int) -> torch.Tensor:
    """Return up to n faces, spread evenly over the training split, uint8 (n, 3, S, S)."""
    rows = datamodule.split_indices("train")
    picked = rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(np.int64)]
    return torch.cat([batch["image"] for batch in datamodule.rows_dataloader(picked)])
