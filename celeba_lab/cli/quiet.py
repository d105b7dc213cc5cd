"""Suppress unhelpful messages from libraries, and show the names in the others as they are."""

import logging
import threading
import warnings

from typing_extensions import override

from celeba_lab.console import is_main_process
from celeba_lab.errors import escape_controls


class _EscapedRecord(logging.LogRecord):
    """A message in which control characters, such as colour codes in the name of a run, are shown escaped."""

    @override
    def getMessage(self) -> str:
        return escape_controls(super().getMessage(), kept="\n\t")


def escape_messages() -> None:
    """Show control characters in all log messages escaped."""
    logging.setLogRecordFactory(_EscapedRecord)


def quiet_libraries() -> None:
    """Hide advertisements and irrelevant warnings from libraries."""
    # Hydra adds a handler to the root logger, so Lightning's messages would otherwise appear twice.
    logging.getLogger("lightning").handlers.clear()
    logging.getLogger("lightning.pytorch").handlers.clear()
    # Frozen layers are deliberately in evaluation mode.
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")
    # If a class has no samples, the reports show the affected metrics as undefined.
    warnings.filterwarnings("ignore", ".*No (positive|negative) samples (found )?in targets?.*")
    # torchmetrics has already synchronised the logged values.
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")
    # A resumed run continues in its existing folder.
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    # The data module continues with the next batch, but Lightning looks for this ability only in the loader.
    warnings.filterwarnings("ignore", ".*resuming from a checkpoint that ended before the epoch ended.*")
    # Users may have moved or copied a run folder.
    warnings.filterwarnings("ignore", ".*The dirpath has changed from.*")
    # Lightning 2.6 uses a deprecated name from torch's pytree module.
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    # The data module chooses the number of workers. On two cores, more workers would be slower.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # KID is computed from thousands of stored feature vectors, so the memory use is expected.
    warnings.filterwarnings("ignore", ".*Kernel Inception Distance. will save all extracted features.*")
    # The model size is reported as a number of parameters, which does not depend on the precision.
    warnings.filterwarnings("ignore", ".*is not supported by the model summary.*")
    warnings.filterwarnings("ignore", ".*number of training batches.*smaller than the logging interval.*")
    if not is_main_process():  # The main process shows the same warnings.
        warnings.simplefilter("ignore")
    threading.excepthook = _report_unless_disk_error


def _report_unless_disk_error(error: threading.ExceptHookArgs) -> None:
    """Show an exception that ended a thread, unless it is an error of the disk in TensorBoard's writer.

    The main thread raises such an error again when it next writes an event, and explains it in one sentence.
    """
    if not issubclass(error.exc_type, OSError):
        threading.__excepthook__(error)


def use_python_strings() -> None:
    """Let pandas store text as Python does, also if pyarrow is installed, as by MLflow.

    pyarrow cannot store names of files and folders that are not valid UTF-8.
    """
    import pandas as pd

    pd.set_option("mode.string_storage", "python")
