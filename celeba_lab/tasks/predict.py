"""Give a checkpoint's probabilities for image files of your own."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from omegaconf import DictConfig
from PIL import Image

from celeba_lab import figures
from celeba_lab.console import console
from celeba_lab.data.images import list_images, load_image
from celeba_lab.engine.build import build_datamodule, build_trainer
from celeba_lab.engine.checkpoints import load_classifier
from celeba_lab.engine.measure import CollectPredictions, progress_bar
from celeba_lab.engine.signals import exit_codes_of_signals
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.run import open_run, show_ending, task_name, write_bad_images


def predict(cfg: DictConfig, images: str, max_shown: int = 48) -> dict[str, float]:
    """Write ``tables/predictions.csv`` and a contact sheet of the faces with what is said of them.

    Args:
        cfg: the configuration; ``checkpoint`` names the model.
        images: a file, a folder or a glob.
        max_shown: at most this many faces on the contact sheet.

    Returns:
        ``predict/images``, how many images were used, and ``predict/prevalence/<attribute>``, the fraction of them
        that is said to have the attribute.

    Raises:
        UserError: there are no such images, or the checkpoint cannot be used.
    """
    model = load_classifier(cfg.checkpoint, "predict")
    paths = list_images(images)
    datamodule = build_datamodule(cfg, model.attributes, model.input_size)
    datamodule.predict_dataset(paths)
    run = open_run(cfg)
    collected = CollectPredictions()
    trainer = build_trainer(cfg, [*progress_bar(cfg), collected])
    with run.timed("predict"), exit_codes_of_signals(trainer):
        trainer.predict(model, datamodule=datamodule, return_predictions=False)
    if not trainer.is_global_zero:
        return {}
    used = [paths[index] for index in collected.index]
    table = pd.DataFrame({"image": [str(path) for path in used]})
    for k, name in enumerate(model.attributes):
        table[name] = collected.probability[:, k]
    written = run.table("predictions", table)
    sheet = run.figure("contact_sheet", _contact_sheet(model, table, used, max_shown, datamodule.max_pixels))
    write_bad_images(run, datamodule)
    threshold = model.hparams["threshold"]
    prevalence = {f"predict/prevalence/{name}": float((table[name] >= threshold).mean()) for name in model.attributes}
    metrics = {"predict/images": float(len(used)), **prevalence}
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data={"name": "files", "root": images, "images": {"predict": len(used)}},
        metrics=metrics,
        checkpoint=str(cfg.checkpoint),
        device=device_name(trainer.strategy.root_device),
    )
    console.print(f"{len(used)} images: probabilities in {written.name}, faces in {sheet.name}")
    show_ending(run.path, [])
    return metrics


def _thumbnail(image: np.ndarray, side: int = 400) -> np.ndarray:
    """Shrink an image, uint8 (H, W, 3), to at most ``side`` pixels: a sheet of photographs would fill the memory."""
    picture = Image.fromarray(image)
    picture.thumbnail((side, side))
    return np.asarray(picture)


def _contact_sheet(
    model: AttributeClassifier, table: pd.DataFrame, paths: list[Path], max_shown: int, max_pixels: int
) -> Figure:
    faces = [_thumbnail(load_image(path, max_pixels)) for path in paths[:max_shown]]
    probabilities = table[model.attributes].to_numpy()
    captions = [
        figures.prediction_caption(path.name, row, model.attributes, threshold=model.hparams["threshold"])
        for path, row in zip(paths[:max_shown], probabilities, strict=False)
    ]
    rest = f" (the first {max_shown} of {len(table)})" if len(table) > max_shown else ""
    return figures.face_grid(faces, captions, title=f"predictions for {len(table)} images{rest}")
