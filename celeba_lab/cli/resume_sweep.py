"""Resume a sweep in its own folder: finished jobs are kept, the interrupted ones go on, and the others start."""

from collections.abc import Iterable
from pathlib import Path

from celeba_lab.cli.job_names import key_of
from celeba_lab.cli.resume import CHANGEABLE, check_files, is_below, merge_overrides, split_arguments
from celeba_lab.cli.sweep_plan import SUBFOLDERS, is_of_sweep
from celeba_lab.cli.typed import is_of_hydra
from celeba_lab.console import command_line, display_path, format_override
from celeba_lab.errors import UserError
from celeba_lab.runs.settings import RESUME
from celeba_lab.runs.sweep import Sweep

_FIXED = ("hydra.sweep.dir", SUBFOLDERS, "hydra.run.dir", "hydra.output_subdir")


def _check_fixed(folder: Path, sweep: Sweep, own: Iterable[str], given: Iterable[str]) -> list[str]:
    """Check that the folders and the ranking of a resumed sweep are not changed, and return the other settings.

    Raises:
        UserError: A setting would be ignored, or would rank only some of the jobs.
    """
    subfolders = [text for text in sweep.hydra_overrides if key_of(text) == SUBFOLDERS]
    for text in subfolders:
        if text not in own:  # A file must not be able to choose where the jobs write.
            typed = command_line([format_override(RESUME, display_path(folder)), text])
            raise UserError(f"The sweep was started with {text}, which must be typed again: {typed}")
    for text in own:
        if key_of(text) in _FIXED and text not in subfolders:
            raise UserError(f"{text} cannot be changed when a sweep is resumed, which goes on in its own folder.")
    before = {"score": sweep.score, "direction": sweep.direction}
    others = [text for text in given if key_of(text) not in before]
    for text in given:
        if text not in others and text not in sweep.overrides and text.partition("=")[2] != str(before[key_of(text)]):
            ranking = command_line(["task=leaderboard", format_override("task.runs", display_path(folder)), text])
            raise UserError(f"{text} cannot be changed when a sweep is resumed. Rank its runs again with: {ranking}")
    return others


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
        if not is_of_sweep(text) and key_of(text) != SUBFOLDERS:
            raise UserError(f"{display_path(folder / Sweep.FILE)} contains {text}, which is not a setting of a sweep.")
    own, given = split_arguments(arguments)
    given = _check_fixed(folder, sweep, own, given)
    for text in given:
        if text in sweep.overrides:
            continue  # It is typed again to permit a path outside the run folders, and changes nothing.
        if key_of(text) in sweep.varied or not is_below(key_of(text).replace("/", "."), CHANGEABLE):
            raise UserError(f"{text} cannot be changed when a sweep is resumed ({name}). Start a new sweep.")
    options = [] if any(text.startswith(("-c", "--config")) for text in own) else sweep.options
    hydra = merge_overrides(sweep.hydra_overrides, [text for text in own if is_of_hydra(text)])
    options = [*options, *(text for text in own if not is_of_hydra(text))]
    # Without a subfolder, Hydra does not overwrite the settings of jobs that have been started before.
    fixed = [format_override("hydra.sweep.dir", folder), "hydra.output_subdir=null", format_override(RESUME, folder)]
    return ["-m", *options, *merge_overrides(sweep.overrides, given), *hydra, *fixed]
