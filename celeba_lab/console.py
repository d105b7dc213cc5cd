"""What a person reads in the terminal."""

import logging
import os
import shlex
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from rich.syntax import Syntax
from rich.table import Table
from rich.tree import Tree

if TYPE_CHECKING:
    import pandas as pd


T = TypeVar("T")


def is_main_process() -> bool:
    """Return whether this is the one process of a distributed run that prints and writes; true outside one."""
    for variable in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):  # torchrun, SLURM, Lightning's own launcher
        if variable in os.environ:
            return os.environ[variable] == "0"
    return True


console = Console(highlight=False, quiet=not is_main_process())

PROGRAM = "python -m celeba_lab"


def quiet_libraries() -> None:
    """Keep advertisements, and advice that does not apply, out of the terminal."""
    # Under Hydra Lightning's messages would appear twice: through its own handler and through the root logger's.
    logging.getLogger("lightning").handlers.clear()
    logging.getLogger("lightning.pytorch").handlers.clear()
    # Frozen layers are in evaluation mode on purpose.
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")
    # The metrics call what is undefined undefined.
    warnings.filterwarnings("ignore", ".*No (positive|negative) samples (found )?in targets?.*")
    # torchmetrics has synchronised what is logged.
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")
    # A continued run goes on in its own folder.
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    # Lightning 2.6 calls an older name of torch's pytree.
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    # The data module decides about workers; on two cores more of them are slower.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # Distances keep some thousand feature vectors on purpose.
    warnings.filterwarnings("ignore", ".*Kernel Inception Distance. will save all extracted features.*")
    # The summary counts parameters, not megabytes.
    warnings.filterwarnings("ignore", ".*is not supported by the model summary.*")
    warnings.filterwarnings("ignore", ".*number of training batches.*smaller than the logging interval.*")


def show_configuration(cfg: DictConfig) -> None:
    """Print the resolved configuration as a tree, a branch for each group; what is null is left out."""
    tree = Tree("configuration", guide_style="dim")
    for key in map(str, cfg):
        value = cfg[key]
        if value is None:
            continue
        if OmegaConf.is_config(value):
            text = OmegaConf.to_yaml(value, resolve=True).rstrip()
            tree.add(f"[bold]{key}[/bold]").add(Syntax(text, "yaml", background_color="default"))
        else:
            tree.add(f"[bold]{key}[/bold]: {value}")
    console.print(tree)


def show_metrics(title: str, columns: Mapping[str, Mapping[str, float]]) -> None:
    """Print metrics side by side.

    Args:
        title: stands above the table.
        columns: column name (a split, say) to metric name to value.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    for name in columns:
        table.add_column(name, justify="right")
    names = dict.fromkeys(name for column in columns.values() for name in column)
    for name in names:
        table.add_row(name, *(_number(column.get(name)) for column in columns.values()))
    console.print(table)


def show_table(title: str, frame: "pd.DataFrame", most: int | None = None) -> None:
    """Print a table, numbers with four digits.

    Args:
        title: stands above it.
        frame: with names in its first column.
        most: print at most so many rows, the first ones.
    """
    shown = frame if most is None else frame.head(most)
    table = Table(title=title, title_justify="left")
    for column in shown.columns:
        is_text = shown[column].dtype.kind not in "iufb"
        words = " ".join(map(str, shown[column])).split() if is_text else []
        # The longest word stays whole: a name cut short is no name.
        table.add_column(str(column), justify="left" if is_text else "right", min_width=max(map(len, words), default=0))
    for row in shown.itertuples(index=False):
        table.add_row(*map(_cell, row))
    if len(shown) < len(frame):
        table.caption = f"{len(frame) - len(shown)} more in the tables"
    console.print(table)


def progress(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yield the items behind a progress bar."""
    yield from track(items, what, total=total, console=console, disable=console.quiet, transient=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return _number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "undefined" if value != value else f"{value + 0.0:.4f}"


def command_line(overrides: Sequence[str], multirun: bool = False) -> str:
    """Return the command that runs these overrides, quoted for a shell."""
    return " ".join([PROGRAM, *(["-m"] if multirun else []), *(shlex.quote(override) for override in overrides)])


def override(key: str, value: object) -> str:
    """Return ``key=value`` as Hydra's grammar wants it: a value of unusual characters in quotes."""
    text = str(value)
    plain = all(character.isalnum() or character in "/_.-+:%" for character in text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}={text}" if plain and text else f"{key}='{escaped}'"


def display_path(path: Path) -> Path:
    """Return the path as a person in this folder would type it."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
