"""Arguments that must be typed again when a run or a sweep is resumed, because its folder does not store them.

Files in a folder cannot give permissions, and Hydra's own settings apply to a command and not to a run.
"""

from collections.abc import Sequence

from celeba_lab.cli.choices import list_option_values
from celeba_lab.cli.job_names import key_of
from celeba_lab.cli.launcher_settings import list_typed
from celeba_lab.cli.output_paths import is_output_setting, list_given, list_permitted
from celeba_lab.cli.sweep_plan import SUBFOLDERS, is_of_sweep
from celeba_lab.runs.sweep import Sweep

_OF_FOLDER = ("hydra.run.dir", "hydra.sweep.dir", SUBFOLDERS, "hydra.output_subdir", "hydra.mode")
_PATH, _OTHERS = ("--config-path", "-cp"), ("--config-name", "-cn", "--config-dir", "-cd")


def is_of_hydra(argument: str) -> bool:
    """Return whether an argument changes a setting of Hydra itself.

    Example:
        >>> [is_of_hydra(text) for text in ("+hydra.job.env_set.X=1", "hydra/launcher=joblib", "hydraulics=1")]
        [True, True, False]
    """
    return argument.lstrip("+~").startswith(("hydra.", "hydra/"))


def list_typed_again() -> list[str]:
    """Return the arguments of this process that a resumed or repeated run does not find in its folder."""
    given = list_given()
    hydra = [text for text in given if is_of_hydra(text) and key_of(text) not in _OF_FOLDER and not is_of_sweep(text)]
    return [*_list_options(given), *list_permitted(), *hydra, *list_typed()]


def list_typed_for_sweep(sweep: Sweep) -> list[str]:
    """Return those overrides of a sweep that were typed now and may lead out of the folders of its jobs.

    The settings of its jobs have not been composed yet, and may differ. Overrides that do not lead out can be typed as
    well, because the sweep has recorded all of them.
    """
    given = list_given()
    paths = [text for text in sweep.overrides if text in given and is_output_setting(text)]
    return [*paths, *(text for text in sweep.hydra_overrides if key_of(text) == SUBFOLDERS)]


def _list_options(given: Sequence[str]) -> list[str]:
    """Return the options that selected another folder than ``conf/``. Without it, all options are stored."""
    options = list_option_values(given, _PATH)
    return [*options, *list_option_values(given, _OTHERS)] if options else []
