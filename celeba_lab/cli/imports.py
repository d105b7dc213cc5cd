"""Import the libraries of a run faster, and end faster with them."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Tasks that take only seconds, most of which they need to import libraries and to draw figures.
_QUICK_TASKS = ("clusters", "compare", "cooccurrence", "leaderboard", "logistic")


@contextmanager
def importing() -> Iterator[None]:
    """Within this block, Python does not search for garbage, because imports create many objects but no garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def start_drawing_early(cfg: "DictConfig") -> None:
    """Start the processes that draw the figures of a quick task, so that they import libraries at the same time.

    Args:
        cfg: Configuration of the run, whose settings have been checked.
    """
    if cfg.task._target_.rpartition(".")[2] in _QUICK_TASKS:
        from celeba_lab.runs.drawing import start_processes

        start_processes()


def skip_last_search() -> None:
    """Let Python end without searching for garbage among the objects of all libraries, which takes up to a second.

    With torch, Python searches as usual, because the extension modules of Triton report objects that were not freed.
    """
    if "torch" not in sys.modules:
        gc.freeze()
