"""Train a GAN, then measure, animate and audit what it has learned."""

from pathlib import Path
from typing import TypeVar

import lightning as L
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, FSDPStrategy
from omegaconf import DictConfig

from celeba_lab.config import build, flatten
from celeba_lab.console import command_line, console, display_path, override, show_metrics
from celeba_lab.data.datamodule import CelebADataModule, TrainingFaces
from celeba_lab.engine.allocator import keep_freed_memory
from celeba_lab.engine.build import build_datamodule, build_trainer, device
from celeba_lab.engine.callbacks import EpochLog, Health, SampleGrid
from celeba_lab.engine.callbacks.images import fixed_samples
from celeba_lab.engine.checkpoints import check_gan, load_classifier
from celeba_lab.engine.distances import DistanceSchedule, DistanceSettings
from celeba_lab.engine.measure import training_seconds
from celeba_lab.engine.resume import read_unfinished, show_how_to_continue
from celeba_lab.engine.signals import exit_codes_of_signals
from celeba_lab.errors import UserError, settings_of
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN
from celeba_lab.reports.gan.audit import Audit, report_audit
from celeba_lab.reports.gan.nearest import report_nearest
from celeba_lab.reports.gan.training import animate, report_distances, report_training
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.run import RunFolder, open_run, show_ending, task_name, write_bad_images

# What a continued run cannot change.
_SAME = (
    "image_size",
    "latent_size",
    "width",
    "discriminator_width",
    "normalization",
    "conditional",
    "auxiliary",
    "ema",
)

_Kind = TypeVar("_Kind", bound=Callback)


def train_gan(
    cfg: DictConfig,
    distances: DistanceSettings | None = None,
    auditor: str | None = None,
    nearest: int = 16,
) -> dict[str, float]:
    """Fit, then report the last weights: nothing is measured by which a GAN's best epoch could be chosen.

    Args:
        cfg: the configuration.
        distances: how to measure how far the faces are from real ones; None for no distances.
        auditor: Path of the checkpoint of an attribute classifier that audits the faces; None for no audit.
        nearest: generated faces, at most 64, that are shown beside their nearest training faces; 0 for none.

    Returns:
        ``train/*`` of the last epoch; ``heldout/kid`` (times 1,000), ``heldout/fid``, of the averaged generator where
        there is one; ``nearest/*`` and ``audit/*``.

    Raises:
        UserError: data, checkpoint or settings cannot be used, or training diverged.
    """
    if not 0 <= nearest <= 64:
        raise UserError(f"task.nearest={nearest}: give a number of faces from 0 to 64.")
    if cfg.checkpoint:
        same = (*_SAME, "attributes") if cfg.model.conditional else _SAME
        read_unfinished(cfg, check_gan, same, "start anew, without a checkpoint")
    classifier = load_classifier(auditor, "audit the faces").to(device(cfg)) if auditor else None
    model: GAN = build(cfg.model)
    datamodule = build_datamodule(cfg, model.attributes or ["Smiling"], cfg.model.image_size)
    _set_up(datamodule, model, audited=auditor is not None, compared=nearest > 0)
    with settings_of("distances"):
        schedule = distances.schedule(datamodule, device(cfg)) if distances else None
    run = open_run(cfg)
    # Distances after everything else: the clocks of an epoch must not count them.
    callbacks: list[Callback] = [build(node) for node in (cfg.callbacks or {}).values() if node]
    trainer = build_trainer(cfg, [*callbacks, *([schedule] if schedule else [])], run.logger)
    _check_trainer(cfg, trainer)
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
    with run.timed("report"):
        metrics |= _report(cfg, run, trainer, model.eval(), datamodule, classifier, nearest)
    _summarise(cfg, run, trainer, datamodule, metrics)
    return metrics


def _set_up(datamodule: CelebADataModule, model: GAN, audited: bool, compared: bool) -> None:
    """Check every face that will be read, before hours of training, and tell the model what it is trained on."""
    datamodule.setup_split("train")
    if audited or (compared and datamodule.counts["val"]):
        datamodule.setup_split("val")
    console.print(datamodule.describe())
    model.trained_on = datamodule.name
    if model.attributes:
        model.training_labels = datamodule.labels(datamodule.split_indices("train"))


def _check_trainer(cfg: DictConfig, trainer: L.Trainer) -> None:
    """Refuse what a GAN cannot be trained by, and tell DDP that one network trains at a time."""
    precision = str(trainer.precision)
    if precision in ("16-true", "bf16-true"):
        raise UserError(
            f"recipe.precision={precision} has too few digits for the small steps of a GAN and for the average of its"
            f" weights. Take recipe.precision={precision.removesuffix('-true')}-mixed or 32-true."
        )
    if precision.startswith("16") and (cfg.model.r1 or cfg.model.gradient_penalty):
        raise UserError(
            f"recipe.precision={precision} and a gradient penalty contradict: its squares overflow in float16. Take"
            " recipe.precision=bf16-mixed or 32-true."
        )
    if isinstance(trainer.strategy, FSDPStrategy | DeepSpeedStrategy):
        raise UserError(
            f"trainer.strategy={cfg.trainer.strategy} shards one network with one optimizer, and a GAN has two of each."
            " Take trainer=ddp."
        )
    if isinstance(trainer.strategy, DDPStrategy):
        # Else each step would wait for the gradients of the network that does not train in it.
        trainer.strategy._ddp_kwargs["find_unused_parameters"] = True


def _find(trainer: L.Trainer, kind: type[_Kind]) -> _Kind | None:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((callback for callback in callbacks if isinstance(callback, kind)), None)


def _report(
    cfg: DictConfig,
    run: RunFolder,
    trainer: L.Trainer,
    model: GAN,
    datamodule: CelebADataModule,
    auditor: AttributeClassifier | None,
    nearest: int,
) -> dict[str, float]:
    """Write tables and figures; return what was measured after training."""
    source = f"{datamodule.name} · {cfg.name}"
    metrics: dict[str, float] = {}
    model.to(trainer.strategy.root_device)
    if (log := _find(trainer, EpochLog)) is not None:
        report_training(run, log.table(), source)
    if (schedule := _find(trainer, DistanceSchedule)) is not None:
        with console.status("measuring the distance from real faces"):
            if not schedule.rows or schedule.rows[-1]["step"] != trainer.global_step:
                schedule.measure(model, trainer.current_epoch, trainer.global_step)
        metrics |= report_distances(run, schedule.distances, schedule.rows, datamodule, source)
    if nearest:
        metrics |= report_nearest(run, fixed_samples(model, nearest), datamodule, source)
    if auditor is not None:
        auditor.to(trainer.strategy.root_device)
        metrics |= report_audit(run, Audit(model.sampler(), auditor, cfg.seed), datamodule, source)
    if (grid := _find(trainer, SampleGrid)) is not None:
        animate(grid.folder, run.path / "figures" / "samples.gif")
    write_bad_images(run, datamodule)
    return metrics


def _summarise(
    cfg: DictConfig, run: RunFolder, trainer: L.Trainer, datamodule: CelebADataModule, metrics: dict[str, float]
) -> None:
    """Write ``summary.json`` and what TensorBoard compares runs by; print the results and what to do next."""
    schedule, health = _find(trainer, DistanceSchedule), _find(trainer, Health)
    settings = {"seed": cfg.seed, "batch_size": cfg.data.batch_size} | flatten(dict(trainer.lightning_module.hparams))
    if schedule is not None:
        settings["distances"] = schedule.distances.feature_extractor.name
    run.log_hyperparameters(settings, metrics, trainer.global_step)
    run.seconds |= training_seconds(trainer)
    if schedule is not None and "training" in run.seconds:
        run.seconds["distances"] = round(schedule.seconds, 3)
        run.seconds["training"] = round(run.seconds["training"] - schedule.seconds, 3)
    checkpoint = Path(HydraConfig.get().runtime.output_dir) / "checkpoints" / "last.ckpt"
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=datamodule.facts(),
        metrics=metrics,
        distances=None if schedule is None else schedule.describe(),
        warnings=[] if health is None else health.warnings,
        epochs=trainer.current_epoch,
        seed=cfg.seed,
        checkpoint=str(display_path(checkpoint)) if checkpoint.exists() else None,
        device=device_name(trainer.strategy.root_device),
    )
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
