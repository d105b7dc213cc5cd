"""Explain errors from Hydra, OmegaConf, the YAML parser and Lightning in one sentence."""

import errno
import os
import re
import traceback
from pathlib import Path
from textwrap import shorten

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import (
    InterpolationResolutionError,
    InterpolationToMissingValueError,
    OmegaConfBaseException,
    ValidationError,
)
from yaml import YAMLError

from celeba_lab.cli.choices import explain_unknown_choice, list_groups, list_optional_choices
from celeba_lab.config import RENAMED, no_value, one_line
from celeba_lab.errors import UserError, did_you_mean
from celeba_lab.runs.processes import explain_lost_connection

# File-system errors that no code can prevent, with advice for the user.
_DISK_ERRORS = {
    errno.ENOSPC: "Free some space.",
    errno.EDQUOT: "Delete files to get below your disk quota.",
    errno.EFBIG: "Raise the file-size limit (ulimit -f), or use another file system.",
    errno.EROFS: "Choose a folder on a writable disk, for example with hydra.run.dir=FOLDER.",
    errno.EACCES: "Choose a folder that you can write to, for example with hydra.run.dir=FOLDER.",
    errno.EPERM: "Choose a folder that you can write to, for example with hydra.run.dir=FOLDER.",
    errno.EIO: "Check the disk.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOTDIR: "A part of the path is a file. Choose another folder.",
}
_AMBIGUOUS = re.compile(r"Ambiguous value for argument '(.*)'")
_UNKNOWN_GROUP = re.compile(r"Could not override '([\w/]+)")


class ExplainedExit(SystemExit):
    """Raised to end the process with status 1 after a user error has been explained.

    Args:
        sentence: The explanation.
    """

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        super().__init__(1)


def explain(error: Exception) -> str | None:
    """Return a sentence that explains a user error, or None for a bug in celeba_lab.

    Args:
        error: The exception that ended the run. User errors are ``UserError`` and the exceptions that Hydra, OmegaConf,
            the YAML parser or Lightning raises for an invalid configuration.
    """
    if isinstance(error, UserError):
        return error.sentence
    if isinstance(error, HydraException) and isinstance(error.__cause__, UserError):  # from a plugin that Hydra builds
        return error.__cause__.sentence
    cause: BaseException = error
    while isinstance(cause, ConfigCompositionException) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
        return explain_unknown_choice(str(cause.missing_cfg_file), cause.options or [])
    if isinstance(cause, YAMLError):
        return f"Invalid YAML: {one_line(cause)}."
    if isinstance(cause, OverrideParseException):
        return (
            f"'{cause.override}' on the command line cannot be parsed. Use key=value. A value with spaces, commas or"
            " brackets needs two pairs of quotes: 'key=\"a b\"'."
        )
    if isinstance(cause, HydraException) and (found := _AMBIGUOUS.match(str(cause))):
        return f"{found[1]} has several values. Add -m to run all of them, or use key=[value1,value2] for a list."
    if isinstance(cause, ConfigCompositionException) and (group := _UNKNOWN_GROUP.match(str(cause))):
        return _explain_group(group[1])
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _explain_key(cause)
    if isinstance(cause, ValueError) and str(cause).startswith("Unable to configure"):  # from logging.config
        reason = f": {one_line(cause.__cause__)}" if cause.__cause__ else ""
        return f"hydra.job_logging or hydra.hydra_logging is invalid. {one_line(cause)}{reason}."
    if isinstance(cause, HydraException | OmegaConfBaseException) or _is_misconfiguration(error):
        return one_line(error) + "."
    return explain_disk(error) or explain_lost_connection(error) or _explain_internal(error)


def explain_disk(error: BaseException | None) -> str | None:
    """Return a sentence about a file-system error, or None if the error may be a bug.

    Args:
        error: The exception that ended the run. It may have been caused by a file-system error, because libraries such
            as ``logging`` raise other exceptions instead.
    """
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    if error is None:
        return None
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else ""
    advice = _DISK_ERRORS.get(error.errno or 0)
    if error.errno == errno.ENOENT and name and not Path(name).parent.exists():
        advice = "Its folder was deleted or renamed during the run."
    elif advice is None and _function_of(error) in ("mkdir", "makedirs"):
        advice = "This folder cannot be created. Choose another folder."
    if advice is None:
        return None
    path = name or "A file of the run"
    return f"{path} could not be accessed ({error.strerror}). {advice} Files that were already complete are intact."


def _explain_internal(error: Exception) -> str | None:
    """Explain an error within Hydra, which does not check all of its settings, or return None."""
    frames = list(traceback.walk_tb(error.__traceback__))
    module = str(frames[-1][0].f_globals.get("__name__")) if frames else ""
    if not module.startswith(("hydra.", "hydra_plugins.")):
        return None
    reason = shorten(f"{type(error).__name__}: {one_line(error)}", 200).rstrip(": ")
    return f"Hydra cannot start this run ({reason}). Check the settings of Hydra, such as those of its sweeper."


def _function_of(error: BaseException) -> str:
    """Return the name of the function that raised an exception."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return frames[-1][0].f_code.co_name if frames else ""


def _is_misconfiguration(error: Exception) -> bool:
    # Lightning raises this exception for contradictory Trainer settings. Its name is compared, because importing
    # Lightning to check the type would take seconds.
    return any(kind.__name__ == "MisconfigurationException" for kind in type(error).__mro__)


def _explain_group(name: str) -> str:
    if name in RENAMED:
        return f"{name} has been replaced by {RENAMED[name]}."
    groups = list_groups()
    if name in groups:
        return f"{name} cannot be chosen here, because this task or experiment does not use {name}."
    return f"There is no group '{name}'.{did_you_mean(name, groups)}"


def _explain_key(error: OmegaConfBaseException) -> str:
    full_key = str(error.full_key)
    if isinstance(error, ValidationError):
        return f"{full_key}: {str(error).splitlines()[0]}."
    if isinstance(error, InterpolationToMissingValueError):
        return no_value(str(error).splitlines()[0].rpartition(" ")[2].rstrip("."))
    if isinstance(error, InterpolationResolutionError):
        return f"{full_key} cannot be resolved: {str(error).splitlines()[0]}."
    if full_key in RENAMED:
        return f"{full_key} has been replaced by {RENAMED[full_key]}."
    parent, _, key = full_key.rpartition(".")
    siblings: list[str] = []
    if isinstance(error.parent_node, DictConfig):
        siblings = [str(name) for name in error.parent_node if name != "hydra"]
    hint = did_you_mean(key, siblings if parent else [*siblings, *list_groups()])
    if not hint and (section := re.fullmatch(r"hydra\.(launcher|sweeper)", parent)):
        names = ", ".join(list_optional_choices(f"hydra/{section[1]}"))
        return (
            f"{full_key} is not a setting of this {section[1]}. Choose another one with hydra/{section[1]}= ({names})."
        )
    if not hint and siblings:
        hint = f" {parent or 'The configuration'} contains {', '.join(siblings)}."
    return f"There is no setting '{full_key}'.{hint}"
