"""How a GAN trained, and how far its faces are from real ones."""

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

_COLOURS = 128  # of a frame, of 256: with 32 frames a file of about 5 MB


def animate(folder: Path, path: Path, seconds: float = 8.0, most: int = 32) -> int:
    """Make an animated GIF of the pictures in a folder, in the order of their epochs; the last stays for a second.

    Args:
        folder: has them.
        path: of the GIF.
        seconds: that it takes, about.
        most: frames; of more pictures, so many are shown, evenly over the epochs, the first and the last among them.

    Returns:
        The number of its frames; 0, and no file, where there are fewer than two.
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
        rows: of :class:`~celeba_lab.engine.distances.DistanceSchedule`, the averaged generator before the last
            weights.
        datamodule: has the training faces, which show how far real faces are from real ones.
        title: stands above the figures.

    Returns:
        ``heldout/kid`` (times 1,000) and ``heldout/fid``, of the averaged generator where there is one; and
        ``heldout/kid_real`` and ``heldout/fid_real``, the distances of training faces from the same real ones.
    """
    table = pd.DataFrame(rows)
    n = int(table["generated"].iloc[-1])
    with Progress("measuring the distance of real faces from real ones"):
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
