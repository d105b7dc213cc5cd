"""Check the settings of a launcher, because some of them are run as commands or send the jobs to other machines."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from omegaconf import OmegaConf

from celeba_lab.cli.job_names import key_of
from celeba_lab.config import leaves_of
from celeba_lab.errors import SettingError, UserError
from celeba_lab.files import load_yaml
from celeba_lab.runs.settings import RESUME

# Commands in the script of a job, other options of sbatch, the environment of processes, and where files are written.
_PROTECTED = ("setup", "additional_parameters", "submitit_folder", "runtime_env", "address", "temp_folder")
_DEFAULTS: tuple[Any, ...] = (None, {}, [], "${hydra.sweep.dir}/.submitit/%j")
_SECTION = "hydra.launcher"
_GROUP = "hydra/launcher"

_typed: list[str] = []  # Protected settings on the command line.


def check_launcher(launcher: Any, choice: str | None, arguments: Sequence[str]) -> None:
    """Check the settings of a launcher.

    Args:
        launcher: The settings, with their interpolations unresolved.
        choice: Name of the file or of the plugin that was chosen.
        arguments: Arguments that the user has typed, without those that are stored in the folder of a resumed sweep.

    Raises:
        SettingError: A protected setting was neither typed nor set in the chosen file of ``conf/hydra/launcher``, a
            text contains control characters, or a job would use several processes.
    """
    if not isinstance(launcher, dict):
        return
    _typed[:] = [text for text in arguments if _is_protected(key_of(text))]
    own = _read_own(choice)
    for name in _PROTECTED:
        value = launcher.get(name)
        if value in _DEFAULTS or value == own.get(name):
            continue
        # The order of a list of commands matters, so a changed list must be typed as a whole.
        known = dict(leaves_of(own.get(name), f"{_SECTION}.{name}")) if isinstance(value, dict) else {}
        for path, leaf in leaves_of(value, f"{_SECTION}.{name}"):
            if path in known and leaf == known[path]:
                continue
            if not any(f"{path}.".startswith(f"{key_of(text)}.") for text in arguments):
                rule = "is accepted only on the command line or in a file in conf/hydra/launcher"
                hint = (
                    "A resumed sweep does not store it, so type it again." if RESUME in map(key_of, arguments) else ""
                )
                raise SettingError(path, leaf, rule, hint, is_absolute=True)
    for path, value in leaves_of(launcher, _SECTION):
        # A new line in an option of sbatch would begin a command.
        if not path.isprintable() or not str(value).isprintable():
            raise SettingError(path, value, "must not contain control characters", is_absolute=True)
    for name in ("nodes", "tasks_per_node"):
        if launcher.get(name, 1) != 1:
            rule = "must be 1, because each job of a sweep uses a single process"
            raise SettingError(f"{_SECTION}.{name}", launcher[name], rule, is_absolute=True)


def list_typed() -> list[str]:
    """Return the protected settings on the command line, which must be typed again when the sweep is resumed."""
    return list(_typed)


def _is_protected(key: str) -> bool:
    return key == _SECTION or any(f"{key}.".startswith(f"{_SECTION}.{name}.") for name in _PROTECTED)


def _read_own(choice: str | None) -> dict[str, Any]:
    """Return the settings in the chosen file of ``conf/hydra/launcher``, which the user can edit."""
    from celeba_lab.files import config_directory

    path = config_directory() / _GROUP / f"{choice}.yaml"
    with suppress(UserError):  # Hydra explains a damaged file.
        if path.is_file() and path.parent == (config_directory() / _GROUP):
            content: Any = OmegaConf.to_container(load_yaml(path), resolve=False)
            return content if isinstance(content, dict) else {}
    return {}
