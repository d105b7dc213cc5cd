"""Export only the generator of a GAN."""

from omegaconf import DictConfig

from celeba_lab.console import command_line, display_path, format_override
from celeba_lab.engine.checkpoints import load_generator
from celeba_lab.exports.generator import check_generator_weights, export_sampler
from celeba_lab.reports.export import show_export
from celeba_lab.runs.run import Run


def export(cfg: DictConfig, generator_weights: str = "ema") -> dict[str, float]:
    """Write the weights and configuration of a generator to ``generator.safetensors``, without the training state.

    Args:
        cfg: Configuration of the run. ``checkpoint`` is the path to a GAN checkpoint.
        generator_weights: ``ema`` for the averaged weights if the checkpoint has them, or ``raw`` for the last weights.

    Returns:
        The metric ``export/megabytes``, the size of the file.

    Raises:
        UserError: The checkpoint or the setting cannot be used.
    """
    check_generator_weights(generator_weights)
    run = Run.open(cfg)
    sampler = load_generator(cfg.checkpoint, "export its generator", generator_weights)
    path = run.path / "generator.safetensors"
    export_sampler(sampler, path)
    metrics = {"export/megabytes": path.stat().st_size / 1e6}
    show_export(path, metrics["export/megabytes"], sampler.generator_weights)
    again = ["task=generate", format_override("checkpoint", display_path(path)), "task.nearest=false"]
    return run.finish(
        metrics,
        checkpoint=cfg.checkpoint,
        generator_weights=sampler.generator_weights,
        next_commands=[("generate faces", command_line(again))],
    )
