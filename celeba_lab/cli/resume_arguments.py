"""``resume=FOLDER``: replace this argument by those that continue the run or the sweep in the folder."""

from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from celeba_lab.cli.resume import expand_run
from celeba_lab.cli.resume_sweep import expand_sweep
from celeba_lab.console import format_override
from celeba_lab.errors import UserError
from celeba_lab.runs.settings import RESUME, SETTINGS
from celeba_lab.runs.sweep import Sweep


def expand_arguments(arguments: list[str]) -> list[str]:
    """Replace ``resume=FOLDER`` by arguments that make Hydra compose the settings of the run or the sweep again.

    Args:
        arguments: Command-line arguments.

    Returns:
        The arguments, or the stored overrides followed by those in ``arguments``.

    Raises:
        UserError: The folder does not contain a run or a sweep that can be resumed.
    """
    given = [text for text in arguments if text.startswith(f"{RESUME}=") and text != f"{RESUME}=null"]
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
    value = str(parsed.value())
    folder = Path(value).expanduser()
    if not folder.is_dir():
        inside = next((parent for parent in folder.parents if (parent / SETTINGS).is_file()), None)
        hint = f" Specify the run folder: {format_override(RESUME, inside)}" if inside else " Check the path."
        raise UserError(f"{format_override(RESUME, value)} is not a folder.{hint}")
    return folder.resolve()
