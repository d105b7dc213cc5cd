"""Choose the number of threads of a run, and say what a user needs to know about threads and a busy machine."""

from pathlib import Path

from omegaconf import DictConfig

from celeba_lab.console import console, is_main_process
from celeba_lab.data.cores import OtherLoad
from celeba_lab.runs.threads import Threads, choose_threads, note_busy_cores, read_threads

_BUSY = 0.5  # Smallest number of cores used by others that is mentioned.


def choose_for_run(cfg: DictConfig) -> Threads:
    """Choose the number of threads of a run before torch is imported. See ``runs/threads.py``.

    A run that is resumed or repeated uses its earlier number, because another one can change the last digits.

    Args:
        cfg: Configuration of the run.

    Raises:
        UserError: The recorded number of threads is damaged.
    """
    earlier = cfg.resume if cfg.resume is not None else cfg.repeat
    return choose_threads(None if earlier is None else read_threads(Path(str(earlier))))


def announce_threads(threads: Threads, load: OtherLoad) -> None:
    """Print one line if the number of threads is not the default, and one if other programs use many cores.

    Args:
        threads: The chosen number of threads.
        load: CPU time that other programs have used since the run was started.
    """
    if not is_main_process():
        return
    if (sentence := explain_threads(threads)) is not None:
        console.print(f"threads: {sentence}", soft_wrap=True)
    busy = load.missing_cores(threads.cores.number)
    note_busy_cores(busy)
    if busy is not None and busy >= _BUSY and threads.jobs == 1:  # Jobs of a sweep are expected to share the cores.
        cores = f"{threads.cores.number} core{'' if threads.cores.number == 1 else 's'}"
        console.print(
            f"busy: other programs use about {busy} of {cores}, so this run is slower", style="yellow", soft_wrap=True
        )


def explain_threads(threads: Threads) -> str | None:
    """Return why the number of threads is not the default, or differs from that of an earlier run, or None.

    Args:
        threads: The chosen number of threads.
    """
    share = max(1, threads.cores.number // threads.jobs)
    number = share if threads.number is None else threads.number
    if threads.recorded is not None and number != threads.recorded:
        given = "" if threads.chosen_by in ("default", "jobs", "container") else f" ({threads.chosen_by})"
        return f"{number}{given}, but {threads.recorded} before, so the last digits can differ"
    if threads.chosen_by == "record":
        return None if number == share else f"{number}, as before, so that the result stays the same"
    if threads.chosen_by == "jobs":
        cores = f"{threads.cores.number} core{'' if threads.cores.number == 1 else 's'}"
        return f"{number}, because {threads.jobs} jobs share {cores}"
    return f"{number}, which is the CPU limit of this container" if threads.chosen_by == "container" else None
