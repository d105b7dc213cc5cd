"""Jobs of SLURM that are requeued, and the folders in which they go on."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from celeba_lab.runs.processes import Launch

_MARK = ".slurm_"  # Start of the name of an empty file in a folder, by which a requeued job finds the folder.


def mark_folder(folder: Path, arguments: Sequence[str]) -> None:
    """Let a requeued job of SLURM find the folder of a run or a sweep that has a single process.

    A job can start several runs and sweeps, also from a shell, so that their folders cannot be named after the job.

    Args:
        folder: Folder of the run or the sweep.
        arguments: Command-line arguments, which are the same after the job is requeued.
    """
    if "SLURM_JOB_ID" in os.environ and Launch.find() is None:
        (folder / _mark(arguments)).touch()


def find_marked(arguments: Sequence[str]) -> Path | None:
    """Return the folder that this job of SLURM has marked before it was requeued, or None.

    A script may repeat a command. Only the run that was started last can be unfinished.
    """
    name = _mark(arguments)
    marks = [path for depth in ("*/*", "*/*/*") for path in Path("outputs").glob(f"{depth}/{name}")]
    return max(marks, key=lambda path: path.stat().st_mtime_ns).parent if marks else None


def is_mark(path: Path) -> bool:
    """Return whether a file in a folder is that of :func:`mark_folder`."""
    return path.name.startswith(_MARK)


def _mark(arguments: Sequence[str]) -> str:
    """Return the name of the file by which a requeued job of SLURM finds a folder."""
    command = hashlib.sha256("\0".join(arguments).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{_MARK}{os.environ.get('SLURM_JOB_ID', '0')}_{os.environ.get('SLURM_STEP_ID', 'batch')}_{command}"


def requeue_job(has_queued_jobs: bool = False) -> str | None:
    """Requeue the current job of SLURM, which was warned of the end of its time limit, and return what was done.

    Args:
        has_queued_jobs: Whether this process runs a sweep whose jobs are jobs of SLURM themselves, which go on.

    Returns:
        A sentence, or None if this process does not belong to a job of SLURM.
    """
    job, scontrol = os.environ.get("SLURM_JOB_ID"), shutil.which("scontrol")
    if job is None or scontrol is None:
        return None
    if has_queued_jobs:  # A resumed sweep would start the jobs that wait in the queue a second time.
        return f"The job {job} was not requeued. Resume the sweep when its own jobs have left the queue."
    result = subprocess.run([scontrol, "requeue", job], capture_output=True, text=True, check=False)
    if result.returncode:
        return f"The job {job} could not be requeued ({' '.join(result.stderr.split())})."
    return f"The job {job} was requeued."
