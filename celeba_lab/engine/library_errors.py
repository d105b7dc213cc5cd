"""Explain errors of libraries that a setting has caused, but that occur only when a run trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten
from traceback import walk_tb

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException

from celeba_lab.config import one_line
from celeba_lab.engine.build import callbacks_of
from celeba_lab.errors import SettingError, UserError
from celeba_lab.runs.processes import explain_lost_connection
from celeba_lab.runs.run import Run

_LONGEST = 200  # Most characters of a message of a library.


@contextmanager
def explaining_library_errors(run: Run, trainer: L.Trainer) -> Iterator[None]:
    """Within this block, errors are explained by the setting that caused them.

    Args:
        run: The run.
        trainer: Its Trainer.

    Raises:
        SettingError: ``val_check_interval`` is too large, or a callback monitors a metric that was not logged.
        UserError: A callback, a logger or the profiler of a library has failed.
    """
    try:
        yield
    except UserError:
        raise
    except (OSError, MemoryError):  # These errors are explained elsewhere.
        raise
    except Exception as error:
        if explain_lost_connection(error) is not None:  # It is explained elsewhere as well.
            raise
        _explain_interval(error, trainer)
        if isinstance(error, RuntimeError | MisconfigurationException):
            _explain_monitor(error, run, trainer)
        if culprit := _find_culprit(error, trainer):
            reason = shorten(f"{type(error).__name__}: {one_line(error)}", _LONGEST).rstrip(": ")
            raise UserError(f"{culprit} has failed ({reason}). Check its settings.") from error
        raise


def _explain_interval(error: Exception, trainer: L.Trainer) -> None:
    interval, batches = trainer.val_check_interval, trainer.num_training_batches
    if isinstance(error, ValueError) and "`val_check_interval`" in str(error) and interval and interval > batches:
        rule = f"must be at most {batches}, the number of training batches in an epoch"
        hint = "To count the batches of all epochs instead, set trainer.check_val_every_n_epoch=null."
        raise SettingError("trainer.val_check_interval", interval, rule, hint, is_absolute=True) from error


def _explain_monitor(error: Exception, run: Run, trainer: L.Trainer) -> None:
    for key, node in (run.settings["callbacks"] or {}).items():
        monitor = (node or {}).get("monitor")
        if monitor is not None and monitor not in trainer.callback_metrics and str(monitor) in str(error):
            hint = f"Logged metrics: {', '.join(trainer.callback_metrics)}."
            unknown = SettingError(f"{key}.monitor", monitor, "is not a metric that was logged", hint)
            raise unknown.within("callbacks", is_absolute=True) from error


def _find_culprit(error: Exception, trainer: L.Trainer) -> str | None:
    """Return the class of the library's callback, logger or profiler in whose methods an error occurred, if any."""
    parts = [*callbacks_of(trainer), *trainer.loggers, getattr(trainer, "profiler", None)]
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    owners = [frame.f_locals.get("self") for frame in reversed(frames)]
    found = next((owner for owner in owners if owner is not None and any(owner is part for part in parts)), None)
    if found is None:
        return None
    failed, package = (_package_of(name) for name in (frames[-1].f_globals.get("__name__", ""), type(found).__module__))
    # Our own callbacks take settings of Lightning's. If anything else fails in them, or in a module of the user, the
    # traceback is shown.
    is_library = package == "lightning" and failed != "celeba_lab"
    is_inherited = package == "celeba_lab" and failed == "lightning"
    return type(found).__name__ if is_library or is_inherited else None


def _package_of(module: str) -> str:
    return module.partition(".")[0]
