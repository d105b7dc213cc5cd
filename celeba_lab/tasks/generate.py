"""Generate faces with a trained generator."""

from functools import partial

from omegaconf import DictConfig

from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.build import build_datamodule, choose_device
from celeba_lab.engine.checkpoints import load_classifier, load_sampler
from celeba_lab.engine.gan import setup_references
from celeba_lab.exports.generator import check_generator_weights
from celeba_lab.figures.tiles import enlarge_faces
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.sampler import FaceSampler
from celeba_lab.reports.gan.audit import Audit, report_audit
from celeba_lab.reports.gan.nearest import report_nearest
from celeba_lab.reports.gan.samples import Samples, check_request, generation_title, has_training_data
from celeba_lab.runs.run import Run


def generate(
    cfg: DictConfig,
    n: int = 16,
    upscale: int = 4,
    upscale_filter: str = "bicubic",
    truncation: float | None = None,
    generator_weights: str = "ema",
    attributes: dict[str, int] | None = None,
    interpolate: int | None = None,
    nearest: bool = True,
    auditor: str | None = None,
) -> dict[str, float]:
    """Generate faces, and write them as PNG files and as a grid.

    Latent walks, a comparison with the nearest training faces, and an audit are optional.

    Args:
        cfg: Configuration of the run. ``checkpoint`` is the path to a GAN checkpoint or to a generator written by
            ``task=export``. ``seed`` determines the faces.
        n: Number of faces to generate.
        upscale: Factor by which the faces are enlarged.
        upscale_filter: Filter for enlarging the faces: nearest, bilinear, bicubic or lanczos.
        truncation: Maximum absolute value of the latents; see
            :meth:`~celeba_lab.models.gan.sampler.FaceSampler.latents`.
        generator_weights: ``ema`` for the averaged weights if the checkpoint has them, or ``raw`` for the last weights.
        attributes: Attributes to request from a conditional generator, as a mapping from names to 1 or 0.
        interpolate: Number of steps in the latent walk from each of the first eight faces to the next. If None, no
            walks are generated.
        nearest: If true, find the nearest training face for each generated face, which requires the training data.
        auditor: Path to the checkpoint of the attribute classifier that audits the faces. An audit requires data. If
            None, the faces are not audited.

    Returns:
        The metrics ``generate/faces``, ``nearest/*`` and ``audit/*``.

    Raises:
        UserError: A setting, the checkpoint or the data cannot be used.
    """
    check_request(n, upscale, upscale_filter, truncation, interpolate)
    check_generator_weights(generator_weights)
    sampler, classifier = _load_models(cfg, generator_weights, auditor)
    run = Run.open(cfg)
    faces, requested = sampler.sample(n, cfg.seed, truncation, attributes)  # This also checks the attributes.
    datamodule, nearest = _setup_data(cfg, sampler, classifier, nearest)
    enlarge = partial(enlarge_faces, scale=upscale, name=upscale_filter)
    title = partial(generation_title, cfg.checkpoint, cfg.seed)
    samples = Samples(faces, requested, sampler.attributes, enlarge, title(attributes))
    with run.timed("generate"):
        samples.write(run)
        if interpolate is not None:
            samples.draw_walks(run, sampler, sampler.latents(n, cfg.seed, truncation), interpolate)
    metrics = {"generate/faces": float(n)}
    if nearest:
        metrics |= report_nearest(run, faces, datamodule, samples.title)
    if classifier is not None:
        metrics |= report_audit(run, Audit(sampler, classifier, cfg.seed, truncation), datamodule, title())
    samples.show(run.seconds["generate"])
    facts = datamodule.facts() if nearest or classifier is not None else None
    used = sampler.generator_weights
    return run.finish(metrics, data=facts, checkpoint=cfg.checkpoint, generator_weights=used, device=sampler.device)


def _load_models(cfg: DictConfig, weights: str, auditor: str | None) -> tuple[FaceSampler, AttributeClassifier | None]:
    """Load the generator and the classifier that audits it, and move them to the configured device."""
    sampler = load_sampler(cfg.checkpoint, weights)
    device = choose_device(cfg.trainer)
    sampler.network.to(device)
    return sampler, load_classifier(auditor, "audit the faces", "auditor").to(device) if auditor else None


def _setup_data(
    cfg: DictConfig, sampler: FaceSampler, auditor: AttributeClassifier | None, nearest: bool
) -> tuple[CelebADataModule, bool]:
    """Set up the real faces, and return the data module and whether to search for the nearest training faces."""
    names = auditor.attributes if auditor is not None else ["Smiling"]
    datamodule = build_datamodule(cfg.data, names, sampler.network.image_size)
    nearest = nearest and has_training_data(datamodule, sampler)
    setup_references(datamodule, nearest, auditor)
    return datamodule, nearest
