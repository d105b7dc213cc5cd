"""The files in a run folder that contain its settings, from which the run can be resumed."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from celeba_lab.files import prepare_folder, write_atomically

RESUME = "resume"
"""Name of the setting that selects the folder of a resumed run. It is not stored in this folder."""

REPEAT = "repeat"
"""Name of the setting that selects the folder of a finished run that this run repeats."""

SETTINGS, OVERRIDES = "config.yaml", ".hydra/overrides.yaml"
"""Files with all resolved settings, and with the overrides on the command line."""


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write all settings of a run to its ``config.yaml``.

    Args:
        folder: Folder of the run.
        settings: The resolved configuration.
    """
    write_config(folder / SETTINGS, OmegaConf.create({**settings, RESUME: None}))


def write_config(path: Path, config: DictConfig) -> None:
    """Write a configuration as YAML, with its interpolations unresolved. Missing folders are created."""
    prepare_folder(path.parent)
    text = OmegaConf.to_yaml(config)
    write_atomically(path, lambda file: file.write(text.encode()))


def write_overrides(folder: Path, overrides: Iterable[str]) -> None:
    """Write the overrides of a resumed run to the file in which Hydra stored those of the first process.

    Args:
        folder: Folder of the run.
        overrides: Overrides, excluding overrides of Hydra's own settings.
    """
    kept = [text for text in overrides if not text.startswith(f"{RESUME}=")]
    text = OmegaConf.to_yaml(OmegaConf.create(kept)) if kept else "[]\n"
    write_atomically(folder / OVERRIDES, lambda file: file.write(text.encode()))
