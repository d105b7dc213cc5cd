"""The files in a run folder that contain its settings, from which the run can be resumed and compared with others."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from celeba_lab.config import flatten
from celeba_lab.files import load_yaml, prepare_folder, unusable, write_atomically

RESUME = "resume"
"""Name of the setting that selects the folder of a resumed run. It is not stored in this folder."""

REPEAT = "repeat"
"""Name of the setting that selects the folder of a finished run that this run repeats."""

SETTINGS, OVERRIDES = "config.yaml", ".hydra/overrides.yaml"
"""Files with all resolved settings, and with the overrides on the command line."""

REFERENCES, HYDRA = ".hydra/config.yaml", ".hydra/hydra.yaml"
"""Files with all settings, in which references are not resolved, and with Hydra's own settings."""

# Settings that name a run, or determine what is printed or how a sweep is ranked. They never change a result.
_LABELS = ("name", RESUME, REPEAT, "print_config", "score", "direction", "fail_fast", "trusted_modules")
# What replaces the data if there is no CelebA, because the summary says which data were used, and the loggers.
_OTHERS = ("data.otherwise.", "logger.")
# These follow from the score, which otherwise never changes a result, and determine when training stops.
_STOPPING = (".early_stopping.monitor", ".early_stopping.mode")
# Settings that contain the path to the run folder.
_OWN_FOLDERS = ("dirpath", "save_dir", "default_root_dir")


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run that can make it differ from other runs.

    Settings without any influence on the results, such as the name of the run, and paths in the folder of the run, are
    left out.

    Attributes:
        values: Values by dotted name, with references resolved. Lists are texts, such as ``[a,b]``.
        derived: Names of the settings that refer to other settings or to the run folder, such as ``data.seed``.
    """

    values: dict[str, Any]
    derived: frozenset[str] = frozenset()

    @classmethod
    def read(cls, folder: Path) -> "RunSettings":
        """Read the settings of a run from its folder. Old runs may not have recorded which settings are derived.

        Raises:
            UserError: A file is damaged, or ``config.yaml`` is missing.
        """
        stored = load_yaml(folder / SETTINGS)
        if not isinstance(stored, DictConfig):
            raise unusable(folder / SETTINGS, "it does not contain settings")
        values = flatten(OmegaConf.to_container(stored))
        # The folder may have been moved since it was recorded.
        named = [value for key, value in values.items() if key.rpartition(".")[2] in _OWN_FOLDERS]
        own = [path for path in (*named, str(folder), os.path.realpath(folder)) if isinstance(path, str)]
        kept = {key: value for key, value in values.items() if not _is_own(key, value, own)}
        derived = [key for key in _derived(folder) if key in kept and not key.endswith(_STOPPING)]
        return cls(kept, frozenset(derived))


def _is_own(key: str, value: object, own: Sequence[str]) -> bool:
    if key in _LABELS or key.startswith(_OTHERS):
        return True
    return isinstance(value, str) and any(value == path or value.startswith(f"{path}/") for path in own if path)


def _derived(folder: Path) -> list[str]:
    """Return the names of settings that are references, except those to environment variables or Hydra's choices."""
    if not (folder / REFERENCES).is_file():
        return []
    stored = OmegaConf.to_container(load_yaml(folder / REFERENCES, folder), resolve=False)
    texts = {key: str(value) for key, value in flatten(stored).items()}
    outside = ("${oc.", "${hydra:runtime.choices", "${hydra:overrides")
    return [key for key, text in texts.items() if "${" in text and not any(start in text for start in outside)]


def differing_settings(runs: Sequence[RunSettings]) -> list[str]:
    """Return the names of the settings in which runs differ, in the order in which they first occur.

    A setting that follows from other settings in every run that has it is left out. In runs that have not recorded
    this, these are the seeds of the data and of models that equal the seed of the run.
    """
    names = dict.fromkeys(name for run in runs for name in run.values)
    absent = object()
    found = []
    for name in names:
        having = [run for run in runs if name in run.values]
        follows = all(name in run.derived or _repeats_seed(name, run) for run in having)
        if not follows and len({str(run.values.get(name, absent)) for run in runs}) > 1:
            found.append(name)
    return found


def _repeats_seed(name: str, run: RunSettings) -> bool:
    return not run.derived and name.endswith(".seed") and run.values[name] == run.values.get("seed")


def read_choice(folder: Path, group: str) -> str | None:
    """Return the choice of a configuration group, such as ``recipe``, that a run has recorded, or None.

    Raises:
        UserError: The file is damaged.
    """
    if not (folder / HYDRA).is_file():
        return None
    stored = OmegaConf.to_container(load_yaml(folder / HYDRA, folder), resolve=False)
    choices = flatten(stored).get(f"hydra.runtime.choices.{group}")
    return None if choices is None else str(choices)


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
