"""The report for ``task=predict``: predicted probabilities for image files, and a contact sheet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from celeba_lab import figures
from celeba_lab.console import console, progress
from celeba_lab.data.images import load_image
from celeba_lab.runs.folder import RunFolder

_THUMBNAIL = 400  # Maximum side length in pixels. A sheet of full-size photographs might not fit in memory.


def file_prediction_table(paths: Sequence[Path], probabilities: np.ndarray, attributes: Sequence[str]) -> pd.DataFrame:
    """Return a table of image paths and predicted probabilities, with one row per image.

    Args:
        paths: Paths to the N images.
        probabilities: Predicted probabilities, float32 (N, K), in [0, 1].
        attributes: Names of the K attributes.
    """
    table = pd.DataFrame({"image": [str(path) for path in paths]})
    for k, name in enumerate(attributes):
        table[name] = probabilities[:, k]
    return table


def prediction_metrics(table: pd.DataFrame, threshold: float) -> dict[str, float]:
    """Return the number of images and, for each attribute, the fraction of images that are predicted to have it.

    Args:
        table: Table from :func:`file_prediction_table`.
        threshold: Probability at or above which an attribute is predicted to be present.
    """
    prevalence = {f"predict/prevalence/{name}": float((table[name] >= threshold).mean()) for name in table.columns[1:]}
    return {"predict/images": float(len(table)), **prevalence}


def report_predictions(run: RunFolder, table: pd.DataFrame, threshold: float, max_shown: int, max_pixels: int) -> None:
    """Write ``tables/predictions.csv`` and ``figures/contact_sheet.png``, and print the file names.

    The contact sheet shows the images with their predictions.

    Args:
        run: Run folder for the table and the figure.
        table: Table from :func:`file_prediction_table`.
        threshold: Probability at or above which an attribute is predicted to be present.
        max_shown: Maximum number of images on the sheet.
        max_pixels: Maximum number of pixels per image. Larger images are rejected.
    """
    written = run.table("predictions", table)
    sheet = run.figure("contact_sheet", _draw(table, threshold, max_shown, max_pixels))
    console.print(f"{len(table)} images: probabilities in {written.name}, faces in {sheet.name}")


def _draw(table: pd.DataFrame, threshold: float, max_shown: int, max_pixels: int) -> Figure:
    paths = [Path(name) for name in table["image"][:max_shown]]
    names = [str(name) for name in table.columns[1:]]
    images = [_thumbnail(load_image(path, max_pixels)) for path in progress(paths, "reading the images", unit="images")]
    captions = [
        figures.prediction_caption(path.name, row, names, threshold=threshold)
        for path, row in zip(paths, table[names].to_numpy()[:max_shown], strict=True)
    ]
    rest = f" (first {max_shown} shown)" if len(table) > max_shown else ""
    return figures.face_grid(images, captions, title=f"predictions for {len(table)} images{rest}")


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """Shrink an image to at most 400 x 400 pixels. The image is uint8 (H, W, 3)."""
    picture = Image.fromarray(image)
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return np.asarray(picture)
