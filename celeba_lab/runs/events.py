"""TensorBoard's event files: what is written to them, and how they are cut before a run is resumed.

This module imports neither torch nor Lightning, which tasks that do not train a model do not need.
"""

import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celeba_lab.console import display_path

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary as Event  # type: ignore[import-untyped]
    from tensorboard.summary.writer.event_file_writer import EventFileWriter  # type: ignore[import-untyped]


EVENTS_KEY = "events"
"""Key under which a checkpoint stores how much the loggers had written."""

SECOND, LAST = "~", "~~"
"""Prefixes of names that TensorBoard should show after others, and last. It sorts names, and opens two groups."""

_RESULTS = f"{LAST}hparams/"


@dataclass(frozen=True)
class LogPosition:
    """How much the loggers of a run had written when a checkpoint was saved.

    Attributes:
        sizes: Sizes of the event files in bytes by file name, or None if it is unknown. See :func:`measure_events`.
        rows: Number of rows of ``metrics.csv``, or None if it is unknown.
    """

    sizes: Mapping[str, int] | None
    rows: int | None


def measure_events(folder: Path) -> dict[str, int]:
    """Return the size of each event file in a folder in bytes, by file name."""
    return {path.name: path.stat().st_size for path in sorted(folder.glob("events.out.tfevents.*"))}


def cut_events(folder: Path, sizes: Mapping[str, int], names: Iterable[str]) -> None:
    """Remove all events that were written after a checkpoint, because the resumed run writes them again.

    Args:
        folder: Folder of the run.
        sizes: Return value of :func:`measure_events` when the checkpoint was saved. Files that are not listed are
            removed.
        names: Names of the event files of earlier processes.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     _ = (folder / "events.out.tfevents.1").write_bytes(b"before the checkpoint, after it")
        ...     _ = (folder / "events.out.tfevents.2").write_bytes(b"after it")
        ...     cut_events(folder, {"events.out.tfevents.1": 21}, ["events.out.tfevents.1", "events.out.tfevents.2"])
        ...     measure_events(folder)
        {'events.out.tfevents.1': 21}
    """
    for name in names:
        if name not in sizes:
            (folder / name).unlink()
        elif (folder / name).stat().st_size > sizes[name]:
            os.truncate(folder / name, sizes[name])


class EventSender:
    """Sends everything except metrics to TensorBoard. Subclasses write single events."""

    def write_event(self, event: "Event", step: int) -> None:
        """Write a single event."""
        raise NotImplementedError

    def send_figure(self, name: str, png: bytes, step: int) -> None:
        """Send a figure, which TensorBoard shows as ``~~figures/<name>``."""
        self.send_image(f"{LAST}figures/{name}", png, step)

    def send_image(self, tag: str, png: bytes, step: int) -> None:
        """Send an encoded PNG. The methods of ``SummaryWriter`` would encode the image again."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary as Event

        with Image.open(BytesIO(png), formats=["PNG"]) as image:
            width, height = image.size
            channels = len(image.getbands())
        picture = Event.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
        self.write_event(Event(value=[Event.Value(tag=tag, image=picture)]), step)

    def send_text(self, name: str, text: str, step: int) -> None:
        """Send text in Markdown format."""
        from tensorboard.compat.proto.summary_pb2 import Summary as Event
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto  # type: ignore[import-untyped]

        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype="DT_STRING", string_val=[text.encode()], tensor_shape=shape)
        event = Event(value=[Event.Value(tag=f"{name}/text_summary", metadata=metadata, tensor=tensor)])
        self.write_event(event, step)

    def send_results(
        self, hyperparameters: Mapping[str, Any], metrics: Mapping[str, float], step: int, varied: Collection[str] = ()
    ) -> None:
        """Send hyperparameters and the resulting metrics to the HParams dashboard.

        The dashboard shows the varied hyperparameters first, and the metrics in the given order by their own names.
        Their values are scalars with a prefix, because TensorBoard would otherwise show them as an additional epoch.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary as Event
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2  # type: ignore[import-untyped]

        tags = {name: f"{_RESULTS}{name}" for name in metrics}
        scalars = [Event.Value(tag=tags[name], simple_value=value) for name, value in metrics.items()]
        self.write_event(Event(value=scalars), step)
        shown = {
            name: value if isinstance(value, int | float | str) else "none" if value is None else str(value)
            for name, value in hyperparameters.items()
        }
        start = plugin_data_pb2.SessionStartInfo()
        for name, value in shown.items():
            setattr(start.hparams[name], f"{_kind_of(value)}_value", value)
        experiment = api_pb2.Experiment(
            hparam_infos=[
                api_pb2.HParamInfo(name=name, type=_TYPES[_kind_of(shown[name])], differs=name in varied)
                for name in shown
            ],
            metric_infos=[
                api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name) for name, tag in tags.items()
            ],
        )
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
        for tag, content in (
            (metadata.EXPERIMENT_TAG, {"experiment": experiment}),
            (metadata.SESSION_START_INFO_TAG, {"session_start_info": start}),
            (metadata.SESSION_END_INFO_TAG, {"session_end_info": end}),
        ):
            data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
            value = Event.Value(tag=tag, metadata=metadata.create_summary_metadata(data))
            self.write_event(Event(value=[value]), step)


class EventLogger(EventSender):
    """A minimal replacement for Lightning's ``TensorBoardLogger``, for runs without training.

    Args:
        save_dir: Folder to which the event file is written.
    """

    def __init__(self, save_dir: str) -> None:
        self.save_dir = save_dir

    @cached_property
    def _file(self) -> "EventFileWriter":
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        return EventFileWriter(self.save_dir)

    def write_event(self, event: "Event", step: int) -> None:
        """Write a single event."""
        from tensorboard.compat.proto.event_pb2 import Event as Record  # type: ignore[import-untyped]

        self._file.add_event(Record(summary=event, step=step, wall_time=time.time()))

    def describe_view(self) -> tuple[str, str]:
        """Return the command that shows all runs in the parent folder of the run."""
        return "watch", f"tensorboard --logdir {display_path(Path(self.save_dir).parent)}"

    def close(self, is_finished: bool) -> None:
        """Write all events to disk."""
        if "_file" in self.__dict__:
            self._file.close()


_TYPES = {"number": "DATA_TYPE_FLOAT64", "string": "DATA_TYPE_STRING"}


def _kind_of(value: object) -> str:
    """Return TensorBoard's name for the type of a hyperparameter. As in torch, a bool counts as a number."""
    return "string" if isinstance(value, str) else "number"
