"""``resume=FOLDER`` and ``repeat=FOLDER``: replace these by the arguments of the run or the sweep in the folder."""

from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from celeba_lab.cli.resume import expand_repeat, expand_run
from celeba_lab.cli.resume_sweep import expand_sweep
from celeba_lab.console import command_line, format_override
from celeba_lab.errors import UserError
from celeba_lab.runs.settings import REPEAT, RESUME, SETTINGS
from celeba_lab.runs.sweep import Sweep

_TASK = "task=repeat"


def expand_arguments(arguments: list[str]) -> list[str]:
    """Replace ``resume=FOLDER`` by arguments that make Hydra compose the settings of the run or the sweep again.

    The same applies to ``repeat=FOLDER`` and ``task=repeat task.run=FOLDER``, which start a new run.

    Args:
        arguments: Command-line arguments.

    Returns:
        The arguments, or the stored overrides followed by those in ``arguments``.

    Raises:
        UserError: The folder does not contain a run or a sweep that can be resumed or repeated.
    """
    repeated = [text for text in arguments if text.startswith(f"{REPEAT}=") and text != f"{REPEAT}=null"]
    if _TASK in arguments:  # This form resembles that of the other commands that take a run.
        runs = [text.partition("=")[2] for text in arguments if text.startswith(("run=", "task.run="))]
        repeated += [f"{REPEAT}={run}" for run in runs]
        if not repeated:
            raise UserError(f"{_TASK} needs the folder of a finished run: {command_line([_TASK, 'task.run=FOLDER'])}")
    given = [text for text in arguments if text.startswith(f"{RESUME}=") and text != f"{RESUME}=null"]
    if repeated and given:
        raise UserError(f"{given[-1]} and {repeated[-1]} cannot be combined.")
    if repeated:
        names = (f"{REPEAT}=", "run=", "task.run=", _TASK)
        return expand_repeat(_find_folder(repeated[-1]), [text for text in arguments if not text.startswith(names)])
    if not given:
        return arguments
    others = [text for text in arguments if text not in given]
    folder = _find_folder(given[-1])
    if (folder / Sweep.FILE).is_file():
        return expand_sweep(folder, [text for text in others if text not in ("-m", "--multirun")])
    return expand_run(folder, others)


def _find_folder(override: str) -> Path:
    """Return the absolute path to the folder of a run or a sweep."""
    [parsed] = OverridesParser.create().parse_overrides([override])
    name, value = str(parsed.key_or_group), str(parsed.value())
    folder = Path(value).expanduser()
    if not folder.is_dir():
        inside = next((parent for parent in folder.parents if (parent / SETTINGS).is_file()), None)
        hint = f" Specify the run folder: {format_override(name, inside)}" if inside else " Check the path."
        raise UserError(f"{format_override(name, value)} is not a folder.{hint}")
    return folder.resolve()
