"""Predict the attributes of image files with a trained classifier."""

from omegaconf import DictConfig

from celeba_lab.console import Progress
from celeba_lab.data.listing import list_images
from celeba_lab.data.loaders import Processes
from celeba_lab.engine.build import build_datamodule, build_evaluator
from celeba_lab.engine.checkpoints import load_classifier
from celeba_lab.engine.measure import CollectPredictions
from celeba_lab.engine.signals import stopping_between_batches
from celeba_lab.errors import check_at_least
from celeba_lab.reports.predictions import file_prediction_table, prediction_metrics, report_predictions
from celeba_lab.runs.run import Run, write_bad_images


def predict(cfg: DictConfig, images: str, max_shown: int = 48) -> dict[str, float]:
    """Predict the attributes of images, and write ``tables/predictions.csv`` and a contact sheet.

    Args:
        cfg: Configuration of the run. ``checkpoint`` is the path to the classifier.
        images: Path to an image or to a folder of images, or a glob.
        max_shown: Maximum number of images on the contact sheet.

    Returns:
        The metrics ``predict/images``, the number of images used, and ``predict/prevalence/<attribute>``, the fraction
        of these images that are predicted to have the attribute.

    Raises:
        UserError: No images match, or the checkpoint cannot be used.
    """
    check_at_least("max_shown", max_shown, 1)
    run = Run.open(cfg)
    with Progress("listing the images"):
        paths = list_images(images)
    model = load_classifier(cfg.checkpoint, "predict")
    datamodule = build_datamodule(cfg.data, model.attributes, model.input_size)
    collected = CollectPredictions()
    trainer = build_evaluator(cfg.trainer, cfg.callbacks, collected)
    with run.timed("predict"), stopping_between_batches(trainer):
        loader = datamodule.files_dataloader(paths, Processes.of(trainer))
        trainer.predict(model, dataloaders=loader, return_predictions=False)
    if not trainer.is_global_zero:
        return {}
    threshold = model.hparams["threshold"]
    used = [paths[index] for index in collected.index]
    with Progress("writing the predictions"):
        table = file_prediction_table(used, collected.probability, model.attributes)
        report_predictions(run, table, threshold, max_shown, datamodule.max_pixels)
        write_bad_images(run, datamodule)
    return run.finish(
        prediction_metrics(table, threshold),
        data={"name": "files", "root": images, "images": {"predict": len(used)}},
        checkpoint=cfg.checkpoint,
        device=trainer.strategy.root_device,
    )
