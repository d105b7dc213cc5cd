"""The run folder: what a run leaves behind, each file whole or not at all."""

import json
import math
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, BinaryIO

from celeba_lab import __version__

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from lightning.pytorch.loggers import TensorBoardLogger
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

SUMMARY = "summary.json"
PAGE = "report.html"


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Call ``write`` with a binary file that takes the place of ``path`` once it is complete and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, staged = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(staged).chmod(0o644)  # mkstemp keeps files from everyone else
        Path(staged).replace(path)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise


class RunFolder:
    """One run's folder: ``tables/*.csv``, ``figures/*.png``, ``summary.json``, and ``report.html`` of a classifier.

    Args:
        path: the folder.
        logger: Lightning's TensorBoard logger for the same folder, which gets a copy of every figure; None for none.

    Attributes:
        seconds: wall-clock seconds of each part of the run.
    """

    def __init__(self, path: Path, logger: "TensorBoardLogger | None" = None) -> None:
        self.path = path
        self.logger = logger
        self.seconds: dict[str, float] = {}

    @property
    def writer(self) -> "SummaryWriter | None":
        """TensorBoard's own writer, for what Lightning's logger has no method for."""
        return None if self.logger is None else self.logger.experiment

    def table(self, name: str, frame: "pd.DataFrame") -> Path:
        """Write ``tables/<name>.csv``, undefined values as empty cells."""
        path = self.path / "tables" / f"{name}.csv"
        write_atomically(path, lambda file: frame.to_csv(file, index=False))
        return path

    def matrix(self, name: str, values: "np.ndarray", rows: Sequence[str], columns: Sequence[str], corner: str) -> Path:
        """Write ``tables/<name>.csv`` of values, (R, C), with R names in a first column that is called ``corner``."""
        import pandas as pd

        frame = pd.DataFrame(values, columns=list(columns))
        frame.insert(0, corner, list(rows))
        return self.table(name, frame)

    def figure(self, name: str, figure: "Figure", step: int = 0) -> Path:
        """Write ``figures/<name>.png`` at 150 dots per inch and send the same picture to TensorBoard."""
        path = self.path / "figures" / f"{name}.png"
        stream = BytesIO()
        figure.savefig(stream, format="png", dpi=150)
        write_atomically(path, lambda file: file.write(stream.getbuffer()))
        if self.writer is not None:
            send_picture(self.writer, f"figures/{name}", stream.getvalue(), step)
        return path

    def log_hyperparameters(self, hyperparameters: Mapping[str, Any], metrics: Mapping[str, float], step: int) -> None:
        """Send hyperparameters with the metrics they led to, for TensorBoard's HParams page.

        The metrics are called ``best/...``: under their own names they would look like one more epoch.
        """
        if self.logger is None:
            return
        shown = {name: "none" if value is None else value for name, value in hyperparameters.items()}
        defined = {f"best/{name}": value for name, value in metrics.items() if math.isfinite(value)}
        self.logger.log_hyperparams(shown, defined, step)
        self.logger.save()

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the wall-clock seconds of the block to ``seconds[name]``."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + perf_counter() - start, 3)

    def summary(self, **content: Any) -> Path:
        """Write ``summary.json``: the content given, the seconds, the versions and the commit.

        NaN, which JSON does not know, becomes null. Call it last: a folder with a summary is a finished run.
        """
        content = {**content, "seconds": self.seconds, "versions": library_versions(), "git": git_commit()}
        text = json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n"
        path = self.path / SUMMARY
        write_atomically(path, lambda file: file.write(text.encode()))
        return path


def send_picture(writer: "SummaryWriter", tag: str, png: bytes, step: int) -> None:
    """Send a PNG to TensorBoard as it is: SummaryWriter would draw or encode the picture a second time."""
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

    with Image.open(BytesIO(png)) as image:
        width, height = image.size
        channels = len(image.getbands())
    picture = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
    writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=picture)]), step)


def library_versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    from importlib.metadata import version

    libraries = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "numpy", "scikit-learn")
    return {
        "celeba_lab": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }


def git_commit() -> str | None:
    """Return the commit of the checkout this code runs from, marked where files differ from it; None outside one."""
    if not (Path(__file__).resolve().parents[1] / ".git").exists():  # installed, perhaps inside another repository
        return None
    command = ["git", "-C", str(Path(__file__).resolve().parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def device_name(device: "torch.device") -> str:
    """Return what a run computed on: the GPU's name, or the processor's with its number of threads."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU"
    threads = torch.get_num_threads()
    return f"{_processor_name()}, {threads} thread{'' if threads == 1 else 's'}"


def _processor_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
