"""Train a GAN, then measure, animate and audit what it has learned."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig

from celeba_lab.allocator import keep_freed_memory
from celeba_lab.assembly import (
    build_datamodule,
    build_trainer,
    exit_codes_of_signals,
    flatten,
    open_run,
    read_unfinished,
    show_dataset,
    show_how_to_continue,
    summary_of_data,
    task_name,
    training_seconds,
    write_bad_images,
)
from celeba_lab.callbacks import EpochLog
from celeba_lab.checkpoints import load_classifier
from celeba_lab.config import build
from celeba_lab.console import command_line, console, display_path, override, show_ending, show_metrics
from celeba_lab.data.annotations import SPLITS
from celeba_lab.data.datamodule import CelebADataModule, TrainingFaces
from celeba_lab.errors import UserError, did_you_mean
from celeba_lab.generation import DistanceSchedule, Health, SampleGrid, animate, fixed_samples
from celeba_lab.models.distances import Distances, build_features
from celeba_lab.models.gan import GAN
from celeba_lab.reports.audit import report_audit
from celeba_lab.reports.gan import report_distances, report_nearest, report_training
from celeba_lab.run import RunFolder, device_name

# What a continued run cannot change.
_SAME = ("image_size", "latent_size", "width", "discriminator_width", "normalise", "conditional", "auxiliary", "ema")


def train_gan(
    cfg: DictConfig,
    distances: dict[str, Any] | None = None,
    classifier: str | None = None,
    nearest: int = 16,
) -> dict[str, float]:
    """Fit, then report the last weights: nothing is measured by which a GAN's best epoch could be chosen.

    Args:
        cfg: the configuration.
        distances: ``features`` (see :func:`~celeba_lab.models.distances.build_features`), ``n_images`` to generate,
            ``splits`` of the real faces to measure against, which are not trained on, and ``every_n_epochs``, null for
            once at the end. None for no distances.
        classifier: checkpoint of an attribute classifier that audits the faces; None for no audit.
        nearest: generated faces, at most 64, that are shown beside their nearest training faces; 0 for none.

    Returns:
        ``train/*`` of the last epoch; ``heldout/kid``, ``heldout/fid``, of the averaged generator where there is one;
        ``nearest/*`` and ``audit/*``.

    Raises:
        UserError: data, checkpoint or settings cannot be used, or training diverged.
    """
    if cfg.checkpoint:
        read_unfinished(cfg, _SAME)
    auditor = load_classifier(classifier, "audit the faces") if classifier else None
    model: GAN = build(cfg.model)
    datamodule = build_datamodule(cfg, model.attributes or ["Smiling"], cfg.model.image_size)
    datamodule.setup_split("train")
    if auditor is not None:
        datamodule.setup_split("val")  # that it can be audited is known before hours of training
    show_dataset(datamodule)
    model.trained_on = datamodule.name
    if model.attributes:
        model.training_labels = datamodule.dataset("train").labels
    schedule = _build_schedule(datamodule, **distances) if distances else None
    run = open_run(cfg)
    callbacks: list[Callback] = [build(node) for node in (cfg.callbacks or {}).values() if node]
    trainer = build_trainer(cfg, [*([schedule] if schedule else []), *callbacks], run.logger)
    _refuse_contradictions(cfg, trainer)
    if isinstance(trainer.accelerator, CPUAccelerator):
        keep_freed_memory()
    with run.timed("fit"), exit_codes_of_signals(trainer, show_how_to_continue):
        trainer.fit(
            model,
            datamodule=TrainingFaces(datamodule),
            ckpt_path=cfg.checkpoint,
            weights_only=True if cfg.checkpoint else None,
        )
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
    if not trainer.is_global_zero:
        return metrics
    model.eval()
    source = f"{datamodule.name} · {cfg.name}"
    with run.timed("report"):
        report_training(run, _history(callbacks), source)
        if schedule is not None:
            metrics |= report_distances(
                run, schedule, model, trainer.current_epoch, trainer.global_step, datamodule, source
            )
        if nearest:
            metrics |= report_nearest(run, fixed_samples(model, nearest), datamodule, source)
        if auditor is not None:
            metrics |= report_audit(run, model.sampler(), auditor, datamodule, cfg.seed, source)
        _animate(run, callbacks)
        write_bad_images(run, datamodule)
        settings = {"seed": cfg.seed, "batch_size": cfg.data.batch_size} | flatten(dict(model.hparams))
        run.log_hyperparameters(settings, metrics, trainer.global_step)
    checkpoint = Path(HydraConfig.get().runtime.output_dir) / "checkpoints" / "last.ckpt"
    run.seconds |= training_seconds(trainer)
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=summary_of_data(datamodule),
        metrics=metrics,
        distances=None if schedule is None else schedule.description,
        warnings=[text for callback in callbacks if isinstance(callback, Health) for text in callback.warnings],
        epochs=trainer.current_epoch,
        seed=cfg.seed,
        checkpoint=str(display_path(checkpoint)) if checkpoint.exists() else None,
        device=device_name(trainer.strategy.root_device),
    )
    _show_results(cfg, run, metrics, checkpoint)
    return metrics


def _build_schedule(
    datamodule: CelebADataModule,
    features: str = "auto",
    n_images: int = 2000,
    splits: Sequence[str] = ("val", "test"),
    every_n_epochs: int | None = None,
) -> DistanceSchedule | None:
    """Measure the real faces, before training: a network that cannot be had is said at once; None without one."""
    for split in splits:
        if split not in SPLITS or split == "train":
            hint = did_you_mean(split, SPLITS)
            raise UserError(f"task.distances.splits names '{split}'; faces not trained on are of val or test.{hint}")
    network = build_features(features)
    if network is None:
        console.print(
            "NO DISTANCES: neither Inception's nor MobileNetV2's weights could be had. Name some that you have:"
            " task.distances.features=mobilenet_v2.pth",
            style="bold yellow",
        )
        return None
    used = [split for split in splits if datamodule.counts[split]]
    rows = np.concatenate([np.empty(0, dtype=np.int64), *(datamodule.split_indices(split) for split in used)])
    real = [batch["image"] for batch in datamodule.rows_dataloader(rows)]
    distances = Distances(network, torch.cat(real) if real else torch.empty(0), " + ".join(used) or "val and test")
    return DistanceSchedule(distances, n_images, every_n_epochs)


def _refuse_contradictions(cfg: DictConfig, trainer: L.Trainer) -> None:
    if str(trainer.precision).startswith("16") and (cfg.model.r1 or cfg.model.gradient_penalty):
        raise UserError(
            f"recipe.precision={cfg.trainer.precision} and a gradient penalty contradict: its squares overflow in"
            " float16. Take recipe.precision=bf16-mixed or 32-true."
        )
    if trainer.world_size > 1 and "find_unused" not in str(cfg.trainer.strategy) and "ddp" in str(cfg.trainer.strategy):
        raise UserError(
            f"trainer.strategy={cfg.trainer.strategy} waits in each step for gradients of both networks, and a GAN"
            " trains one at a time. Add trainer.strategy=ddp_find_unused_parameters_true."
        )


def _history(callbacks: Sequence[Callback]) -> pd.DataFrame:
    rows = next((callback.rows for callback in callbacks if isinstance(callback, EpochLog)), {})
    return pd.DataFrame([{"epoch": epoch, **row} for epoch, row in sorted(rows.items())])


def _animate(run: RunFolder, callbacks: Sequence[Callback]) -> None:
    """Make one moving picture of the samples after each epoch."""
    for callback in callbacks:
        if isinstance(callback, SampleGrid):
            animate(callback.folder, run.path / "figures" / "samples.gif")


def _show_results(cfg: DictConfig, run: RunFolder, metrics: dict[str, float], checkpoint: Path) -> None:
    shown = {name: value for name, value in metrics.items() if name.count("/") == 1}
    show_metrics(f"{cfg.name}, {cfg.data.name}: the last weights", {"value": shown})
    console.print(f"training took {run.seconds.get('training', run.seconds['fit']):.0f} s")
    commands = [("watch", f"tensorboard --logdir {display_path(run.path.parent)}")]
    if checkpoint.exists():
        given = override("checkpoint", display_path(checkpoint))
        data = [text for text in HydraConfig.get().overrides.task if text.startswith("data")]
        commands = [
            ("draw faces", command_line(["task=generate", given, *data])),
            ("export the generator", command_line(["task=export", given])),
            *commands,
        ]
    show_ending(run.path, commands)
