"""Print the data source and the changed settings before a task starts, and store all settings in the run folder."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.syntax import Syntax
from rich.text import Text
from rich.tree import Tree

from celeba_lab.cli.choose_data import announce_data
from celeba_lab.cli.help import describe_option
from celeba_lab.cli.resume import resume_command
from celeba_lab.config import overrides_of
from celeba_lab.console import console, display_path, is_main_process
from celeba_lab.errors import check_choice
from celeba_lab.runs.settings import write_settings
from celeba_lab.runs.threads import record_threads

PRINT_CONFIG = ("changed", "full", "none")
"""Choices for ``print_config``, which selects the settings to print when a run starts."""
_TRAINING_TASKS = ("train", "train_gan")


def announce(cfg: DictConfig, without_celeba: str | None) -> None:
    """Print the data source and settings of a run, and write the settings of a new run to its ``config.yaml``.

    A resumed run stores its settings later; see :meth:`~celeba_lab.runs.run.Run.begin`.

    If ``print_config`` is ``changed``, the overrides and the recipe are printed; if it is ``full``, all settings are
    printed.

    Args:
        cfg: The composed configuration.
        without_celeba: Return value of :func:`~celeba_lab.cli.choose_data.choose_data`.

    Raises:
        SettingError: ``print_config`` is not one of :data:`PRINT_CONFIG`.
    """
    check_choice("print_config", cfg.print_config, PRINT_CONFIG)
    if not is_main_process():
        return
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    if cfg.data is not None:
        announce_data(cfg, without_celeba)
    if cfg.print_config == "full":
        _show_configuration(cfg)
    elif cfg.print_config == "changed":
        changed = " ".join(overrides_of(hydra, "task")) or "nothing"
        _show("changed", f"{changed} (all settings: {display_path(folder / 'config.yaml')})")
        recipe = hydra.runtime.choices.get("recipe")
        if recipe is not None and cfg.task._target_.rpartition(".")[2] in _TRAINING_TASKS:
            _show("recipe", f"{recipe}: {describe_option('recipe', recipe)}")
    _show("if stopped", f"{resume_command(folder)}")
    if cfg.resume is None:
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
        write_settings(folder, settings)
        record_threads(folder)


def _show_configuration(cfg: DictConfig) -> None:
    """Print the resolved configuration as a tree with one branch for each root key that is not null."""
    tree = Tree("configuration", guide_style="dim")
    for key in map(str, cfg):
        value = cfg[key]
        if value is None:
            continue
        if OmegaConf.is_config(value):
            text = OmegaConf.to_yaml(value, resolve=True).rstrip()
            tree.add(Text(key, "bold")).add(Syntax(text, "yaml", background_color="default"))
        else:
            tree.add(f"{key}: {value}")
    console.print(tree)


def _show(label: str, text: str) -> None:
    console.print(f"{label}: {text}", soft_wrap=True)
