"""Draw faces with a trained generator."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from celeba_lab import figures
from celeba_lab.console import console
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.describe import summary_of_data
from celeba_lab.engine.build import build_datamodule, device
from celeba_lab.engine.checkpoints import load_classifier, load_sampler
from celeba_lab.errors import UserError, did_you_mean
from celeba_lab.figures.tiles import FILTERS, enlarge_faces
from celeba_lab.files import write_atomically
from celeba_lab.models.gan.sampler import FaceSampler, slerp
from celeba_lab.reports.gan.audit import report_audit
from celeba_lab.reports.gan.nearest import report_nearest
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.run import RunFolder, open_run, show_ending, task_name

_GRID_FACES = 64  # of more, the grid shows the first
_WALKS = 8  # rows of the figure of walks, from the first faces
_CHUNK = 250  # faces that are enlarged and written at a time


def generate(
    cfg: DictConfig,
    n: int = 16,
    upscale: int = 4,
    filter: str = "bicubic",
    truncation: float | None = None,
    weights: str = "ema",
    attributes: dict[str, int] | None = None,
    interpolate: int | None = None,
    nearest: bool = True,
    classifier: str | None = None,
) -> dict[str, float]:
    """Write single faces as PNG, a grid of them, and what else is asked for.

    Args:
        cfg: the configuration; ``checkpoint`` names a GAN, or a generator exported by ``task=export``; faces depend on
            ``seed``.
        n: faces.
        upscale: how many times larger the pictures are than what the generator draws.
        filter: that enlarges them: nearest, bilinear, bicubic or lanczos.
        truncation: see :meth:`~celeba_lab.models.gan.sampler.FaceSampler.latents`; None for none.
        weights: ``ema``, the average of the generator's weights where there is one, or ``raw``, the last ones.
        attributes: what a conditional generator is asked for: name to 1 or 0.
        interpolate: walk in so many steps from each of the first eight faces to the next; None for no walk.
        nearest: find the nearest training face of each; needs the data that the generator was trained on.
        classifier: checkpoint of an attribute classifier that audits the faces; needs the data; None for no audit.

    Returns:
        ``generate/faces``, ``nearest/*`` and ``audit/*``.

    Raises:
        UserError: a setting, the checkpoint or the data cannot be used.
    """
    _check_settings(n, upscale, filter, truncation, interpolate)
    sampler = load_sampler(cfg.checkpoint, weights)
    sampler.network.to(device(cfg))
    auditor = load_classifier(classifier, "audit the faces").to(device(cfg)) if classifier else None
    faces, asked = sampler.sample(n, cfg.seed, truncation, attributes)  # whose mistakes come before a folder is made
    names = auditor.attributes if auditor is not None else ["Smiling"]
    datamodule = build_datamodule(cfg, names, sampler.network.image_size)
    nearest = nearest and _is_its_own(datamodule, sampler)
    _set_up(datamodule, compared=nearest, audited=auditor is not None)
    run = open_run(cfg)
    source = f"{Path(cfg.checkpoint).name} · seed {cfg.seed}"
    asked_for = f"{source}{_say(attributes)}"
    with run.timed("generate"):
        _write_faces(run, faces, upscale, filter)
        if asked is not None:
            table = pd.DataFrame(asked.numpy(), columns=sampler.attributes)
            table.insert(0, "face", [f"{k:05d}.png" for k in range(n)])
            run.table("asked", table)
        run.figure("faces", _grid(enlarge_faces(faces[:_GRID_FACES], upscale, filter), n, asked_for))
        if interpolate is not None:
            walk = _walk(sampler, n, interpolate, cfg.seed, truncation, attributes)
            run.figure("interpolation", _walk_grid(enlarge_faces(walk, upscale, filter), interpolate, asked_for))
    metrics = {"generate/faces": float(n)}
    if nearest:
        metrics |= report_nearest(run, faces, datamodule, asked_for)
    if auditor is not None:
        metrics |= report_audit(run, sampler, auditor, datamodule, cfg.seed, source, truncation=truncation)
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=summary_of_data(datamodule) if nearest or auditor is not None else None,
        metrics=metrics,
        seed=cfg.seed,
        checkpoint=str(cfg.checkpoint),
        weights=sampler.weights,
        device=device_name(sampler.device),
    )
    size = upscale * sampler.network.image_size
    console.print(
        f"{n:,} faces of {size} x {size} pixels in {run.seconds['generate']:.1f} s: faces/00000.png and so on"
    )
    show_ending(run.path, [])
    return metrics


def _check_settings(n: int, upscale: int, filter: str, truncation: float | None, interpolate: int | None) -> None:
    for name, value, least in (("n", n, 1), ("upscale", upscale, 1), ("interpolate", interpolate, 2)):
        if value is not None and value < least:
            raise UserError(f"task.{name}={value} must be at least {least}.")
    if truncation is not None and truncation <= 0:
        raise UserError(f"task.truncation={truncation:g} must be above 0; null for none.")
    if filter not in FILTERS:
        raise UserError(f"task.filter={filter} must be one of {', '.join(FILTERS)}.{did_you_mean(filter, FILTERS)}")
    if interpolate is not None and n < 2:
        raise UserError("task.interpolate walks from one face to the next: give task.n=2 or more.")


def _set_up(datamodule: CelebADataModule, compared: bool, audited: bool) -> None:
    """Check every real face that will be looked at."""
    if compared:
        datamodule.setup_split("train")
    if audited or (compared and datamodule.counts["val"]):
        datamodule.setup_split("val")


def _is_its_own(datamodule: CelebADataModule, sampler: FaceSampler) -> bool:
    """Return whether a generator was trained on this data, as far as is known; say so where it was not."""
    if sampler.trained_on in (None, datamodule.name):
        return True
    console.print(
        f"The nearest training faces are left out: the generator was trained on {sampler.trained_on}, and the data here"
        f" is {datamodule.name}. Say where its own lies: data.root=FOLDER.",
        style="yellow",
    )
    return False


def _say(attributes: Mapping[str, int] | None) -> str:
    words = [name if value else f"not {name}" for name, value in (attributes or {}).items()]
    return f" · asked for {', '.join(words)}" if words else ""


def _write_faces(run: RunFolder, faces: Tensor, upscale: int, filter: str) -> None:
    """Write ``faces/00000.png`` and so on, each whole or not at all, and a few at a time."""
    for start in range(0, len(faces), _CHUNK):
        large = enlarge_faces(faces[start : start + _CHUNK], upscale, filter)
        for k, face in enumerate(large.permute(0, 2, 3, 1).numpy(), start):
            _write_png(run.path / "faces" / f"{k:05d}.png", face)


def _write_png(path: Path, image: np.ndarray) -> None:
    write_atomically(path, lambda file: Image.fromarray(image).save(file, format="PNG", compress_level=1))


def _grid(faces: Tensor, n: int, title: str) -> Figure:
    pictures = list(faces.permute(0, 2, 3, 1).numpy())
    first = f", the first {len(faces)}" if n > len(faces) else ""
    columns = min(8, len(faces))
    return figures.face_grid(pictures, [""] * len(faces), columns=columns, title=f"{title} · {n:,} faces{first}")


def _walk(
    sampler: FaceSampler,
    n: int,
    steps: int,
    seed: int,
    truncation: float | None,
    asked: Mapping[str, int] | None,
) -> Tensor:
    """Walk from each of the first faces to the next, in latents and attributes: uint8 (W * steps, 3, S, S)."""
    latents = sampler.latents(n, seed, truncation)[: _WALKS + 1]
    attributes = sampler.draw_attributes(n, asked, seed)
    drawn = []
    for k, (first, last) in enumerate(pairwise(latents)):
        between = None
        if attributes is not None:
            share = torch.linspace(0, 1, steps, device=latents.device).unsqueeze(1)
            between = torch.lerp(attributes[k].float(), attributes[k + 1].float(), share)  # (steps, K)
        drawn.append(sampler.draw(slerp(first, last, steps), between))
    return torch.cat(drawn)


def _walk_grid(faces: Tensor, steps: int, title: str) -> Figure:
    pictures = list(faces.permute(0, 2, 3, 1).numpy())
    note = f"{title} · from each face (left) to the next (right), {steps} steps on the arc between their latents"
    return figures.face_grid(pictures, [""] * len(pictures), columns=steps, title=note)
