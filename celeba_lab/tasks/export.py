"""Export the generator of a GAN alone."""

from omegaconf import DictConfig

from celeba_lab.console import command_line, console, display_path, override
from celeba_lab.engine.checkpoints import load_generator
from celeba_lab.exports.generator import check_weights, export_sampler
from celeba_lab.runs.run import Run

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
    run = Run.open(cfg)
    sampler = load_generator(cfg.checkpoint, "export its generator", weights)
    path = run.path / "generator.safetensors"
    export_sampler(sampler, path)
    metrics = {"export/megabytes": path.stat().st_size / 1e6}
    console.print(f"{display_path(path)}: {metrics['export/megabytes']:.1f} MB, {_WORDS[sampler.weights]}")
    again = ["task=generate", override("checkpoint", display_path(path)), "task.nearest=false"]
    return run.finish(
        metrics,
        checkpoint=cfg.checkpoint,
        generator_weights=sampler.weights,
        next_commands=[("draw faces", command_line(again))],
    )
