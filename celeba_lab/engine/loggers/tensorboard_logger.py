"""Lightning's TensorBoard logger, with sorted names, figures, text, results and charts."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import loggers
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import override

from celeba_lab.console import display_path
from celeba_lab.runs.events import LAST, SECOND, EventSender
from celeba_lab.runs.loggers import Charts

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary as Event  # type: ignore[import-untyped]


class TensorBoardLogger(EventSender, loggers.TensorBoardLogger):
    """Writes event files into the run folder.

    TensorBoard sorts names, and opens a page with the first two groups. So that the metrics of the validation come
    first, those of the training get the prefix ``~``. Figures, the epoch, the learning rate and less important metrics
    get the prefix ``~~``, with which they are shown last.

    Args:
        save_dir: Path to the run folder.
        **settings: Other arguments of Lightning's ``TensorBoardLogger`` and of ``SummaryWriter``.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     logger = TensorBoardLogger(folder)
        ...     logger.log_metrics({"val/accuracy": 0.9, "epoch": 1}, step=10)
        ...     logger.close(is_finished=True)
        ...     len(list(Path(folder).glob("events.out.*")))
        1
    """

    def __init__(self, save_dir: str, **settings: Any) -> None:
        # With an empty name and version, Lightning writes directly into the run folder.
        super().__init__(save_dir, name="", version="", default_hp_metric=False, **settings)

    @property
    def writer(self) -> SummaryWriter:
        """TensorBoard's writer, for curves and embeddings."""
        writer: SummaryWriter = self.experiment
        return writer

    @override
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics({_tag(name): value for name, value in metrics.items()}, step)

    @override
    def write_event(self, event: "Event", step: int) -> None:
        self.writer._get_file_writer().add_summary(event, step)  # type: ignore[no-untyped-call]

    @override
    def send_image(self, tag: str, png: bytes, step: int) -> None:
        super().send_image(_tag(tag), png, step)

    @override
    def send_results(
        self, hyperparameters: Mapping[str, Any], metrics: Mapping[str, float], step: int, varied: Collection[str] = ()
    ) -> None:
        super().send_results(hyperparameters, metrics, step, varied)
        self.hparams = {**dict(self.hparams), **hyperparameters}  # They are written to hparams.yaml.

    def send_charts(self, charts: Charts) -> None:
        """Send the layout of the Custom Scalars dashboard."""
        layout = {
            group: {
                title: ["Multiline", [tag.replace("^train/", f"^{SECOND}train/") for tag in tags]]
                for title, tags in named.items()
            }
            for group, named in charts.items()
        }
        self.writer.add_custom_scalars(layout)

    def describe_view(self) -> tuple[str, str]:
        """Return the command that shows all runs in the parent folder of the run."""
        return "watch", f"tensorboard --logdir {display_path(Path(self.save_dir).parent)}"

    def close(self, is_finished: bool) -> None:
        """Write all events to disk."""
        if self._experiment is not None:  # Otherwise, an empty file would be created.
            self.finalize("success" if is_finished else "failed")

    def withdraw(self) -> None:
        """Close the event files, which the run removes."""
        self.finalize("failed")


_SHOWN_LAST = re.compile(r"epoch$|lr-|faces_loaded|train/(balanced_accuracy|precision|recall|f1|images_per_second)$")


def _tag(name: str) -> str:
    """Return the name under which TensorBoard shows a metric or an image.

    Example:
        >>> [_tag(name) for name in ("val/accuracy", "train/loss", "train/recall", "lr-AdamW")]
        ['val/accuracy', '~train/loss', '~~train/recall', '~~lr-AdamW']
    """
    if _SHOWN_LAST.match(name):
        return f"{LAST}{name}"
    return f"{SECOND}{name}" if name.startswith("train/") else name
