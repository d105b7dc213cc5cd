"""A run: its folder, opened once and finished once."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from celeba_lab import __version__
from celeba_lab.config import build, flatten
from celeba_lab.console import console, display_path
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.files import write_atomically
from celeba_lab.runs.environment import device_name, git_commit, library_versions
from celeba_lab.runs.summary import SUMMARY, _without_nan

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from lightning.pytorch.loggers import TensorBoardLogger
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter


PAGE = "report.html"


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


def show_ending(folder: Path, commands: Sequence[tuple[str, str]]) -> None:
    """Print the run folder, its page or else its figures, and what a person would type next.

    Args:
        folder: the run folder.
        commands: (purpose, command) pairs.
    """
    console.print(f"run folder: [bold]{display_path(folder)}[/bold]")
    if (page := folder / PAGE).exists():
        console.print(f"  [dim]report:[/dim] {display_path(page)}", soft_wrap=True)
    else:
        for figure in sorted((folder / "figures").glob("*.png")):
            console.print(f"  [dim]figure:[/dim] {display_path(figure)}", soft_wrap=True)
    for purpose, command in commands:
        console.print(f"  [dim]{purpose}:[/dim]", end=" ")
        console.print(command, soft_wrap=True, markup=False)  # never broken: it will be copied


def open_run(cfg: DictConfig) -> RunFolder:
    """Open the run folder that Hydra made, with its TensorBoard logger if the configuration has one."""
    run = RunFolder(Path(HydraConfig.get().runtime.output_dir), build(cfg.logger))
    if run.writer is not None:
        resolved = OmegaConf.to_yaml(cfg, resolve=True)
        run.writer.add_text("configuration", "\n".join(f"    {line}" for line in resolved.splitlines()))
    return run


def write_bad_images(run: RunFolder, datamodule: CelebADataModule) -> None:
    """Name the images that were left out in ``tables/bad_images.csv``."""
    if len(datamodule.bad_images):
        run.table("bad_images", datamodule.bad_images)


def facts_of_run(
    cfg: DictConfig, datamodule: CelebADataModule, checkpoint: str | Path | None, trainer: L.Trainer
) -> dict[str, str]:
    """Return what the head of a report says, by what it is called."""
    return {
        "experiment": cfg.name,
        "data": f"{datamodule.name} in {datamodule.root}: {datamodule.describe_splits()}",
        "checkpoint": "none" if checkpoint is None else str(display_path(Path(checkpoint))),
        "seed": str(cfg.seed),
        "device": device_name(trainer.strategy.root_device),
        "celeba_lab": " at ".join(filter(None, [__version__, git_commit()])),
        "settings": "config.yaml, beside this page",
    }


def log_settings(cfg: DictConfig, run: RunFolder, metrics: Mapping[str, float]) -> None:
    """Send the task's settings and what they led to, so that TensorBoard can compare the runs of a sweep."""
    settings = flatten(OmegaConf.to_container(cfg.task, resolve=True))
    run.log_hyperparameters({"seed": cfg.seed, "data": cfg.data.name, **settings}, metrics, step=0)


def task_name() -> str:
    """Return the name of the running task's file in ``conf/task``."""
    return str(HydraConfig.get().runtime.choices["task"])
