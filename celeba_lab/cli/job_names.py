"""Names of the folders of a sweep's jobs."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from celeba_lab.config import overrides_of
from celeba_lab.runs.sweep import Sweep, short_names

_LONGEST = 100  # Most characters of a name. File systems allow 255 bytes.
_LONGEST_VALUE = 40
# The other characters need quotes in a shell or in Hydra's grammar, or are not allowed on some file systems.
_UNSAFE = re.compile(r"[^A-Za-z0-9.+-]+")
_UNSAFE_IN_KEY = re.compile(r"[^A-Za-z0-9_.-]+")


def register_job_names() -> None:
    """Register the resolver ``job_name``, which Hydra needs to create the folder of a job."""
    OmegaConf.register_new_resolver("job_name", _name_current_job, replace=True)


def _name_current_job() -> str:
    """Return the name of the job that Hydra is about to start."""
    hydra = HydraConfig.get()
    varied = Sweep.read(Path(hydra.sweep.dir)).varied
    return name_job(hydra.job.num, pick_varied(overrides_of(hydra, "task"), varied))


def key_of(override: str) -> str:
    """Return the key of an override, without the signs that add and remove settings."""
    return override.lstrip("+~").partition("=")[0]


def pick_varied(overrides: Iterable[str], varied: Iterable[str]) -> dict[str, str]:
    """Return the values of those overrides of a job that differ within its sweep, by key.

    Example:
        >>> pick_varied(["experiment=smile", "model.lr=0.001", "seed=1"], ["model.lr", "seed"])
        {'model.lr': '0.001', 'seed': '1'}
    """
    values = {key_of(text): text.partition("=")[2] for text in overrides}
    return {key: values[key] for key in varied if key in values}


def name_job(number: int, varied: Mapping[str, str]) -> str:
    """Return the name of a job's folder: its number, followed by the settings that the sweep varies.

    Names are safe on every file system and in every shell, and unique because of their numbers.

    Example:
        >>> name_job(0, {"model.lr": "0.001", "model.backbone": "resnet18"})
        '0_lr-0.001_backbone-resnet18'
        >>> name_job(1, {"model.attributes": "[Smiling,Male]", "seed": "1", "data.seed": "2"})
        '1_attributes-Smiling-Male_seed-1_data.seed-2'
        >>> name_job(2, {"model.weight_decay": "-1"})
        '2_weight_decay--1'
    """
    parts = [str(number)]
    names = short_names(list(varied))
    for key, value in varied.items():
        safe = _UNSAFE.sub("-", value).lstrip("." if value.startswith("-") else "-.").rstrip("-.")[:_LONGEST_VALUE]
        parts.append(f"{_UNSAFE_IN_KEY.sub('-', names[key])}-{safe or 'empty'}")
    return "_".join(parts)[:_LONGEST].rstrip("-._")
