"""Export the generator of a GAN alone."""

from omegaconf import DictConfig

from celeba_lab.console import command_line, console, display_path, override
from celeba_lab.engine.checkpoints import load_gan
from celeba_lab.exports.generator import check_weights, export_sampler
from celeba_lab.runs.run import open_run, show_ending, task_name

_WORDS = {"ema": "the average of the weights", "raw": "the last weights"}


def export(cfg: DictConfig, weights: str = "ema") -> dict[str, float]:
    """Write ``generator.safetensors``: weights and configuration of the generator, without what only training needs.

    Args:
        cfg: the configuration; ``checkpoint`` names a GAN.
        weights: ``ema``, the average of the generator's weights where there is one, or ``raw``, the last ones.

    Returns:
        ``export/megabytes``.

    Raises:
        UserError: the checkpoint or the setting cannot be used.
    """
    check_weights(weights)
    sampler = load_gan(cfg.checkpoint, "export its generator").sampler(averaged=weights == "ema")
    run = open_run(cfg)
    path = run.path / "generator.safetensors"
    export_sampler(sampler, path)
    metrics = {"export/megabytes": path.stat().st_size / 1e6}
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        metrics=metrics,
        checkpoint=str(cfg.checkpoint),
        weights=sampler.weights,
    )
    console.print(f"{display_path(path)}: {metrics['export/megabytes']:.1f} MB, {_WORDS[sampler.weights]}")
    again = ["task=generate", override("checkpoint", display_path(path)), "task.nearest=false"]
    show_ending(run.path, [("draw faces", command_line(again))])
    return metrics
