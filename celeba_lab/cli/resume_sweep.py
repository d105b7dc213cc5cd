"""Resume a sweep in its own folder: finished jobs are kept, the interrupted ones go on, and the others start."""

from pathlib import Path

from celeba_lab.cli.job_names import key_of
from celeba_lab.cli.resume import CHANGEABLE, check_files, is_below, merge_overrides, split_arguments
from celeba_lab.cli.sweep_plan import is_of_sweep
from celeba_lab.console import display_path, format_override
from celeba_lab.errors import UserError
from celeba_lab.runs.settings import RESUME
from celeba_lab.runs.sweep import Sweep


def expand_sweep(folder: Path, arguments: list[str]) -> list[str]:
    """Return arguments that make Hydra start the sweep in a folder again.

    Args:
        folder: Absolute path to the folder of the sweep.
        arguments: Other arguments on the command line.

    Raises:
        UserError: The record of the sweep is damaged, or an argument would change its results.
    """
    sweep = Sweep.read(folder)
    name = format_override(RESUME, display_path(folder))
    check_files(folder)
    for text in sweep.overrides:
        if text.startswith("-") or key_of(text).partition(".")[0].partition("/")[0] == "hydra":
            raise UserError(f"{display_path(folder / Sweep.FILE)} contains {text}, which is not a setting of a run.")
    for text in sweep.hydra_overrides:
        if not is_of_sweep(text):
            raise UserError(f"{display_path(folder / Sweep.FILE)} contains {text}, which is not a setting of a sweep.")
    own, given = split_arguments(arguments)
    for text in given:
        is_optimised = sweep.jobs is None and key_of(text) == "score"
        if is_optimised or key_of(text) in sweep.varied or not is_below(key_of(text).replace("/", "."), CHANGEABLE):
            raise UserError(f"{text} cannot be changed when a sweep is resumed ({name}). Start a new sweep.")
    options = [] if any(text.startswith(("-c", "--config")) for text in own) else sweep.options
    hydra = merge_overrides(sweep.hydra_overrides, [text for text in own if text.startswith(("hydra.", "hydra/"))])
    options = [*options, *(text for text in own if not text.startswith(("hydra.", "hydra/")))]
    # Without a subfolder, Hydra does not overwrite the settings of jobs that have been started before.
    fixed = [format_override("hydra.sweep.dir", folder), "hydra.output_subdir=null", format_override(RESUME, folder)]
    return ["-m", *options, *merge_overrides(sweep.overrides, given), *hydra, *fixed]
