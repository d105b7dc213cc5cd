"""Library versions, git commit and device, which affect the results in addition to the settings."""

import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from celeba_lab import __version__

if TYPE_CHECKING:
    import torch


def library_versions() -> dict[str, str]:
    """Return the versions of celeba_lab, Python and the libraries that affect the results."""
    from importlib.metadata import version

    libraries = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "numpy", "scikit-learn")
    return {
        "celeba_lab": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }


def git_commit() -> str | None:
    """Return the current commit if the code runs from a git checkout, or None otherwise.

    The suffix ``-dirty`` indicates uncommitted changes.
    """
    # Git must not search parent folders, because an installed package may be inside an unrelated repository.
    if not (Path(__file__).resolve().parents[2] / ".git").exists():
        return None
    command = ["git", "-C", str(Path(__file__).resolve().parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def device_name(device: "torch.device | None" = None) -> str:
    """Return the name of the GPU, or the name of the CPU with the number of torch threads.

    Args:
        device: Device that the run used. Defaults to the CPU. The number of threads is included only if torch is
            already imported.
    """
    torch = sys.modules.get("torch")  # A run that does not need torch should not wait for its import.
    if torch is None:
        return processor_name()
    if device is not None and device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device is not None and device.type == "mps":
        return "Apple GPU"
    threads = torch.get_num_threads()
    return f"{processor_name()}, {threads} thread{'' if threads == 1 else 's'}"


def processor_name() -> str:
    """Return the model of the processor."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
