"""Generate faces with a trained generator."""

from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from celeba_lab.engine.build import build_datamodule, choose_device
from celeba_lab.engine.checkpoints import load_classifier, load_sampler
from celeba_lab.errors import SettingError, check_above, check_at_least, check_choice
from celeba_lab.exports.generator import check_weights
from celeba_lab.figures.tiles import FILTERS, enlarge_faces
from celeba_lab.reports.gan.audit import Audit, report_audit
from celeba_lab.reports.gan.nearest import report_nearest
from celeba_lab.reports.gan.samples import Samples, describe_request, has_training_data
from celeba_lab.runs.run import Run


def generate(
    cfg: DictConfig,
    n: int = 16,
    upscale: int = 4,
    upscale_filter: str = "bicubic",
    truncation: float | None = None,
    weights: str = "ema",
    attributes: dict[str, int] | None = None,
    interpolate: int | None = None,
    nearest: bool = True,
    auditor: str | None = None,
) -> dict[str, float]:
    """Generate faces, and write them as PNG files and as a grid.

    Latent walks, a comparison with the nearest training faces, and an audit are optional.

    Args:
        cfg: Configuration of the run. ``checkpoint`` is the path of a GAN checkpoint or of a generator written by
            ``task=export``, and ``seed`` determines the faces.
        n: Number of faces to generate.
        upscale: Factor by which the faces are enlarged.
        upscale_filter: Filter for enlarging the faces: nearest, bilinear, bicubic or lanczos.
        truncation: Bound on the latents; see :meth:`~celeba_lab.models.gan.sampler.FaceSampler.latents`.
        weights: ``ema`` for the generator's averaged weights if the checkpoint contains them, or ``raw`` for the last
            weights.
        attributes: Attributes to request from a conditional generator, as a mapping from names to 1 or 0.
        interpolate: Number of steps in the latent walk from each of the first eight faces to the next. If None, no
            walks are generated.
        nearest: If true, find the nearest training face for each generated face, which requires the training data.
        auditor: Checkpoint path of the attribute classifier that audits the faces. An audit requires data. If None, the
            faces are not audited.

    Returns:
        The metrics ``generate/faces``, ``nearest/*`` and ``audit/*``.

    Raises:
        UserError: A setting, the checkpoint or the data cannot be used.
    """
    _check_settings(n, upscale, upscale_filter, truncation, interpolate)
    check_weights(weights)
    run = Run.open(cfg)
    sampler = load_sampler(cfg.checkpoint, weights)
    device = choose_device(cfg.trainer)
    sampler.network.to(device)
    classifier = load_classifier(auditor, "audit the faces", "auditor").to(device) if auditor else None
    # Sampling checks the attributes, so it must happen before any files are written.
    faces, asked = sampler.sample(n, cfg.seed, truncation, attributes)
    names = classifier.attributes if classifier is not None else ["Smiling"]
    datamodule = build_datamodule(cfg.data, names, sampler.network.image_size)
    nearest = nearest and has_training_data(datamodule, sampler)
    if nearest:
        datamodule.setup_split("train")
    if classifier is not None or (nearest and datamodule.counts["val"]):
        datamodule.setup_split("val")
    source = f"{Path(cfg.checkpoint).name} · seed {cfg.seed}"
    enlarge = partial(enlarge_faces, scale=upscale, name=upscale_filter)
    samples = Samples(faces, asked, sampler.attributes, enlarge, source + describe_request(attributes))
    with run.timed("generate"):
        samples.write(run)
        if interpolate is not None:
            samples.draw_walks(run, sampler, sampler.latents(n, cfg.seed, truncation), interpolate)
    metrics = {"generate/faces": float(n)}
    if nearest:
        metrics |= report_nearest(run, faces, datamodule, samples.title)
    if classifier is not None:
        metrics |= report_audit(run, Audit(sampler, classifier, cfg.seed, truncation), datamodule, source)
    samples.show(run.seconds["generate"])
    return run.finish(
        metrics,
        data=datamodule.facts() if nearest or classifier is not None else None,
        checkpoint=cfg.checkpoint,
        generator_weights=sampler.weights,
        device=device,
    )


def _check_settings(n: int, upscale: int, filter_name: str, truncation: float | None, interpolate: int | None) -> None:
    check_at_least("n", n, 1)
    check_at_least("upscale", upscale, 1)
    check_choice("upscale_filter", filter_name, FILTERS)
    check_above("truncation", truncation, 0)
    if interpolate is not None:
        check_at_least("interpolate", interpolate, 2)
        if n < 2:
            raise SettingError("n", n, "must be at least 2 to interpolate from one face to the next")
