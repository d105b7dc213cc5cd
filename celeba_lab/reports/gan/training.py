"""GAN training curves, and the distance between generated and real faces."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from celeba_lab import figures
from celeba_lab.console import Progress, console, display_path
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.images import load_image
from celeba_lab.engine.callbacks.images import SAMPLE_FILES
from celeba_lab.errors import UserError
from celeba_lab.files import write_atomically
from celeba_lab.models.gan.distances import Distances
from celeba_lab.runs.folder import RunFolder

_COLORS = 128  # Number of colours per frame. An animation with 32 frames takes up about 5 MB.
# Maximum number of pixels per frame. A grid of 64 faces of the largest size has 4 million pixels.
_MOST_PIXELS = 2**24


def animate(folder: Path, path: Path, seconds: float = 8.0, most: int = 32) -> int:
    """Combine a folder's sample images into an animated GIF, in epoch order.

    The last frame is shown for one second. Images that cannot be read are left out. The folder of a resumed run may
    come from another person, so its images are read with the checks for images of a dataset.

    Args:
        folder: Folder that contains the images.
        path: Path to the GIF file to write.
        seconds: Approximate duration of the animation in seconds.
        most: Maximum number of frames. If the folder contains more images, evenly spaced images are used, including
            the first and the last.

    Returns:
        Number of frames. If there are fewer than two, no file is written and 0 is returned.
    """
    files = sorted(folder.glob(SAMPLE_FILES))
    if len(files) < 2:
        return 0
    shown = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, min(most, len(files))).round().astype(int))]
    frames = [frame for file in shown if (frame := _read_frame(file)) is not None]
    if len(frames) < 2:
        return 0
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


def _read_frame(path: Path) -> Image.Image | None:
    try:
        return Image.fromarray(load_image(path, _MOST_PIXELS)).quantize(_COLORS)
    except UserError:
        rule = f"is damaged, is not an image or has more than {_MOST_PIXELS:,} pixels"
        console.print(
            f"{display_path(path)} {rule}, so it is not part of the animation", style="yellow", soft_wrap=True
        )
        return None


def report_training(run: RunFolder, history: pd.DataFrame, title: str) -> None:
    """Write the history as a table with one row per epoch, and draw the training curves."""
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
    """Write all measured distances as a table, draw their curves, and print the final distances.

    The curves are not drawn if the distances were measured after only one epoch.

    Args:
        run: Run folder for the table and the figures.
        distances: Distance measures that were used during training.
        rows: Rows recorded by :class:`~celeba_lab.engine.callbacks.distances.DistanceSchedule`. For each step, the row
            for the averaged weights comes before the row for the last weights.
        datamodule: Data module with the training faces. The distance between training faces and held-out real faces
            serves as a reference.
        title: Title for the figures.

    Returns:
        ``heldout/kid`` (times 1,000) and ``heldout/fid`` for the averaged weights, or for the last weights if the model
        does not average its weights. ``heldout/kid_real`` and ``heldout/fid_real`` are the distances between training
        faces and the same held-out faces.
    """
    table = pd.DataFrame(rows)
    n = int(table["generated"].iloc[-1])
    with Progress("measuring the distance between real faces"):
        floor = distances.measure(_training_faces(datamodule, n))
    words = distances.describe(n)
    reference = f"real vs. real: {floor.images:,} training faces compared with the same held-out faces"
    run.table(
        "distances", table.assign(kid_x1000_real=floor.kid, fid_real=floor.fid, real=floor.images, measured_in=words)
    )
    run.loggers.send_text("distances", f"heldout/kid and heldout/fid: {words}; {reference}")
    names = {"ema": "averaged weights", "raw": "last weights"}
    series = {names[str(name)]: group for name, group in table.groupby("generator_weights", sort=False)}
    several = table["epoch"].nunique() > 1  # A single value is printed below, but not drawn as a curve.
    for metric, label, real in (("kid_x1000", "KID x 1,000", floor.kid), ("fid", "FID", floor.fid)) if several else ():
        lines = {name: (group["epoch"].tolist(), group[metric].tolist()) for name, group in series.items()}
        note = f"{words}\n{reference}"
        figure = figures.distance_curves(lines, floor=real, metric=label, title=title, note=note)
        run.figure(metric.removesuffix("_x1000"), figure)
    final = table[table["step"] == table["step"].max()].iloc[0]
    console.print(
        f"KID x 1,000: {final['kid_x1000']:.1f} (standard deviation over subsets {final['kid_std']:.1f}; real vs. real"
        f" {floor.kid:.1f}); FID: {final['fid']:.1f} (real vs. real {floor.fid:.1f})\n  {words}\n  {reference}"
    )
    return {
        "heldout/kid": final["kid_x1000"],
        "heldout/fid": final["fid"],
        "heldout/kid_real": floor.kid,
        "heldout/fid_real": floor.fid,
    }


def _training_faces(datamodule: CelebADataModule, n: int) -> torch.Tensor:
    """Return up to n evenly spaced faces from the training split, uint8 (n, 3, S, S)."""
    rows = datamodule.split_indices("train")
    picked = rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(np.int64)]
    return datamodule.read_faces(picked)
