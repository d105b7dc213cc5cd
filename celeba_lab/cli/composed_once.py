"""Compose the settings of a single run once: Hydra composes them twice, first only to find out the mode."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

_SINGLE = "hydra.mode=RUN"  # Hydra adds this override if the settings do not contain a mode.
_MISSING = "???"


@contextmanager
def composing_once() -> Iterator[None]:
    """Within this block, a single run uses the settings from which Hydra has read the mode."""
    load = ConfigLoaderImpl.load_configuration
    found: dict[tuple[str | None, ...], DictConfig] = {}

    @wraps(load)
    def load_once(loader: ConfigLoaderImpl, config_name: str | None, overrides: list[str], **named: Any) -> DictConfig:
        given = (config_name, *overrides)
        if given[-1] == _SINGLE and given[:-1] in found and named.get("run_mode") == RunMode.RUN:
            cfg = found.pop(given[:-1])
            cfg.hydra.mode = RunMode.RUN
            cfg.hydra.overrides.hydra.append(_SINGLE)
            return cfg
        cfg = load(loader, config_name=config_name, overrides=overrides, **named)
        is_mode_unknown = named.get("run_mode") == RunMode.MULTIRUN and not named.get("validate_sweep_overrides", True)
        if is_mode_unknown and cfg.hydra.mode is None and _is_single(cfg, overrides):
            found[given] = cfg
        return cfg

    with patch.object(ConfigLoaderImpl, "load_configuration", load_once):
        yield


def _is_single(cfg: DictConfig, overrides: Sequence[str]) -> bool:
    """Return whether settings that were composed for a sweep are also those of a single run.

    Only a sweep accepts several values of a setting and groups without a choice.
    """
    if _MISSING in str(cfg.hydra.runtime.choices):
        return False
    return not any(override.is_sweep_override() for override in OverridesParser.create().parse_overrides([*overrides]))
