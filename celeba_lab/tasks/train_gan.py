"""Train a GAN, then report on the faces that it generates."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from celeba_lab.config import build, flatten
from celeba_lab.console import command_line, console, display_path, format_override
from celeba_lab.data.datamodule import TrainingFaces
from celeba_lab.engine.build import build_callbacks, build_datamodule, choose_device
from celeba_lab.engine.callbacks.distances import DistanceSchedule
from celeba_lab.engine.checkpoints import load_classifier
from celeba_lab.engine.distances import DistanceSettings
from celeba_lab.engine.fit import fit, last_training_metrics
from celeba_lab.engine.gan import build_gan_trainer, check_gan_trainer, set_training_data, setup_references
from celeba_lab.engine.precision import choose_precision, given_precision
from celeba_lab.engine.resume import load_resumable
from celeba_lab.errors import check_between, settings_of
from celeba_lab.models.gan.module import GAN
from celeba_lab.reports.gan.report import describe_training, report_gan, show_results
from celeba_lab.runs.run import Run

# Model settings that must be the same as in the checkpoint of a resumed run.
_FIXED = ["image_size", "latent_size", "width", "discriminator_width", "normalization", "conditional"]
_FIXED += ["auxiliary", "ema"]


def train_gan(
    cfg: DictConfig, distances: DistanceSettings | None = None, auditor: str | None = None, nearest: int = 16
) -> dict[str, float]:
    """Train a GAN, and report the results at the end of training.

    Args:
        cfg: Configuration of the run.
        distances: Settings for the distances between generated and real faces. If None, no distances are measured.
        auditor: Path to the checkpoint of the attribute classifier that audits the faces. If None, the faces are not
            audited.
        nearest: Number of generated faces to show next to their nearest training faces, from 0 to 64.

    Returns:
        The metrics: ``train/*`` for the last epoch, ``heldout/kid`` (multiplied by 1,000), ``heldout/fid``,
        ``nearest/*`` and ``audit/*``. If the weights are averaged, ``heldout/*`` is computed with the averaged weights.

    Raises:
        UserError: The data, a checkpoint or a setting cannot be used, or training diverged.
    """
    check_between("nearest", nearest, 0, 64)
    run = Run.open(cfg)
    resumable = load_resumable(run, "gan", [*_FIXED, "attributes"] if cfg.model.conditional else _FIXED)
    device = choose_device(cfg.trainer)
    classifier = load_classifier(auditor, "audit the faces", "auditor").to(device) if auditor else None
    model: GAN = build(cfg.model)
    # The settings and all images that the run will read are checked now, because training can take hours.
    check_gan_trainer(build_gan_trainer(cfg.trainer, precision=given_precision(cfg)), model, cfg.callbacks, distances)
    datamodule = build_datamodule(cfg.data, model.attributes or ["Smiling"], cfg.model.image_size)
    datamodule.setup_split("train")
    setup_references(datamodule, nearest > 0, classifier)
    console.print(datamodule.describe())
    set_training_data(model, datamodule)
    with settings_of("distances"):
        schedule = distances.schedule(datamodule, device, cfg.callbacks) if distances else None
    # The distances are measured last, so that the epoch timings do not include the measurements.
    callbacks = [*build_callbacks(cfg.callbacks), *([schedule] if schedule else [])]
    trainer = build_gan_trainer(cfg.trainer, callbacks, run.loggers, precision=choose_precision(run, cfg))
    fit(run, trainer, model, TrainingFaces(datamodule), resumable)

    metrics = last_training_metrics(trainer)
    if not trainer.is_global_zero:
        return metrics
    with run.reporting():
        metrics |= report_gan(run, trainer, model.eval(), datamodule, classifier, nearest)
    show_results(run, datamodule.name, metrics)
    last = run.last_checkpoint
    return run.finish(
        metrics,
        data=datamodule.facts(),
        checkpoint=last if last.exists() else None,
        device=trainer.strategy.root_device,
        details=describe_training(trainer),
        hyperparameters=_hyperparameters(run, model, datamodule.batch_size, schedule),
        step=trainer.global_step,
        next_commands=_next_commands(run, last),
    )


def _hyperparameters(run: Run, model: GAN, size: int, schedule: DistanceSchedule | None) -> dict[str, Any]:
    """Return the hyperparameters that a sweep is likely to vary."""
    settings = {"seed": run.seed, "batch_size": size, **flatten(dict(model.hparams))}
    return settings if schedule is None else settings | {"distances": schedule.distances.feature_extractor.name}


def _next_commands(run: Run, last: Path) -> list[tuple[str, str]]:
    if not last.exists():
        return []
    checkpoint = format_override("checkpoint", display_path(last))
    return [
        ("generate faces", command_line(["task=generate", checkpoint, *run.data_overrides])),
        ("export the generator", command_line(["task=export", checkpoint])),
    ]
