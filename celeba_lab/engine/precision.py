"""Choose the precision of a training run for its device: ``recipe.precision=auto``."""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from celeba_lab.console import console
from celeba_lab.engine.allocator import keep_freed_memory
from celeba_lab.engine.build import choose_device, count_processes
from celeba_lab.errors import UserError
from celeba_lab.files import cache_directory, read_json, write_atomically
from celeba_lab.models.classifier.backbones import Backbone
from celeba_lab.models.gan.networks import Discriminator, Generator
from celeba_lab.runs.environment import processor_name
from celeba_lab.runs.run import Run

AUTO = "auto"
_FULL, _MIXED = "32-true", "bf16-mixed"
_MARGIN = 1.05  # Factor by which bfloat16 must be faster on the CPU, so that noise does not decide.
_REPEATS = 5
_MOST_SECONDS = 2.0  # Maximum duration of a measurement, except that every precision is measured once.
_MOST_BYTES = 10_000
# The ratio of the two precisions is almost the same for 4 and for 32 images. Single layers would be misleading, because
# bfloat16 makes some layers several times as fast, and others several times as slow.
_IMAGES = {"classifier": 4, "gan": 32}

BuildStep = Callable[[], Callable[[], Tensor]]
"""A function that builds a network, and returns a function that computes an output with gradients."""


def given_precision(cfg: DictConfig) -> str:
    """Return the precision that the settings give for training, or ``32-true`` if it is chosen for the device.

    Args:
        cfg: Configuration of the run.
    """
    given = cfg.recipe.precision if cfg.trainer.precision is None else cfg.trainer.precision
    return _FULL if given == AUTO else str(given)


def choose_precision(run: Run, cfg: DictConfig) -> str:
    """Return the precision in which a run trains, and print it if it was chosen for the device.

    With ``recipe.precision=auto``, it is bfloat16 mixed precision on GPUs that support it. On the CPU, some training
    steps of the network are measured in both precisions, and the result is stored in the user's cache folder, so that
    all runs with this network on such a processor use the same precision. The choice replaces ``auto`` in the settings
    that are stored in the run folder, so a run that is resumed or repeated uses it again.

    Args:
        run: The run.
        cfg: Configuration of the run.
    """
    if cfg.trainer.precision is not None or cfg.recipe.precision != AUTO:
        return given_precision(cfg)
    precision, reason = _choose(cfg, choose_device(cfg.trainer))
    run.record("recipe", "precision", precision)
    console.print(f"precision: {precision}, {reason}", soft_wrap=True)
    return precision


def _choose(cfg: DictConfig, device: torch.device) -> tuple[str, str]:
    """Return the precision for a device, and the reason in words."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return _MIXED, "which this GPU supports"
        return _FULL, "because this GPU does not support bfloat16"
    if device.type != "cpu":
        return _FULL, f"the default on {device.type}"
    if count_processes(cfg.trainer) > 1:
        return _FULL, "the default for several processes on the CPU"
    try:
        seconds, is_remembered = _seconds_of(*_network(cfg.model))
    except RuntimeError:  # A layer of the network does not support bfloat16.
        return _FULL, "because this network could not be measured in bf16-mixed"
    ratio = seconds[_FULL] / seconds[_MIXED]
    how = "measured before" if is_remembered else "measured now"
    if ratio >= _MARGIN:
        return _MIXED, f"which is {ratio:.2f} times as fast as {_FULL} on this processor ({how})"
    return _FULL, f"because {_MIXED} is only {ratio:.2f} times as fast on this processor ({how})"


def _network(model: DictConfig) -> tuple[str, BuildStep]:
    """Return the name of the network that a configuration describes, and the function that builds a step."""
    size = model.image_size
    if "backbone" in model:
        n = _IMAGES["classifier"]

        def build_classifier_step() -> Callable[[], Tensor]:
            backbone = Backbone(model.backbone, size).to(memory_format=torch.channels_last)
            images = torch.rand(n, 3, size, size).contiguous(memory_format=torch.channels_last)
            return lambda: backbone(images)

        return f"{model.backbone} {size}", build_classifier_step
    n, width = _IMAGES["gan"], model.discriminator_width or model.width

    def build_gan_step() -> Callable[[], Tensor]:
        generator, discriminator = Generator(size, model.latent_size, model.width), Discriminator(size, width)
        for network in (generator, discriminator):
            network.to(memory_format=torch.channels_last)
        latents = torch.randn(n, model.latent_size)
        return lambda: discriminator(generator(latents)).logits

    return f"gan {size} {model.latent_size} {model.width} {width}", build_gan_step


def _seconds_of(name: str, build: BuildStep) -> tuple[Mapping[str, float], bool]:
    """Return the seconds of a step in each precision, and whether they were measured by an earlier run."""
    key = {
        "network": name,
        "processor": processor_name(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_directory() / "precision" / f"{digest}.json"
    if (remembered := _read(path, key)) is not None:
        return remembered, True
    seconds = measure(build)
    # Of several runs that start together, all use the result that is stored first.
    if (remembered := _read(path, key)) is not None:
        return remembered, True
    with suppress(OSError, UserError):  # Without the file, the next run measures again.
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**key, "seconds": seconds}, indent=2) + "\n"
        write_atomically(path, lambda file: file.write(text.encode()))
    return seconds, False


def _read(path: Path, key: Mapping[str, Any]) -> Mapping[str, float] | None:
    """Return what an earlier run has measured, or None if there is no file, or if its content cannot be used."""
    try:
        content = read_json(path, _MOST_BYTES)
    except (OSError, UserError):
        return None
    seconds = content.get("seconds") if isinstance(content, dict) else None
    if not isinstance(seconds, dict) or any(content.get(name) != value for name, value in key.items()):
        return None
    are_valid = all(isinstance(seconds.get(name), float) and 0 < seconds[name] < 3600 for name in (_FULL, _MIXED))
    return seconds if are_valid else None


def measure(build: BuildStep) -> dict[str, float]:
    """Return the seconds that a forward and a backward pass on the CPU take in each precision.

    The precisions alternate, and the shortest time counts, because other programs only make a step longer. Time in
    which this thread waits for a processor is not counted. The random state is not changed.

    Args:
        build: Function that builds the network.
    """
    keep_freed_memory()  # As in training. Bfloat16 would seem faster, because it needs less memory.
    seconds = {_FULL: float("inf"), _MIXED: float("inf")}
    start = perf_counter()
    with torch.random.fork_rng(devices=[]):
        compute = build()
        for repeat in range(_REPEATS + 1):
            for precision in seconds:
                before = thread_time()
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == _MIXED, cache_enabled=False):
                    loss = compute().float().square().mean()
                torch.autograd.backward(loss)
                if repeat:  # The first pass allocates memory and chooses algorithms.
                    seconds[precision] = min(seconds[precision], thread_time() - before)
            if repeat and perf_counter() - start > _MOST_SECONDS:
                break
    return seconds
