"""TensorBoard's event files: cut them before a run is resumed, and write them without importing torch or Lightning."""

import os
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary as Event  # type: ignore[import-untyped]
    from tensorboard.summary.writer.event_file_writer import EventFileWriter  # type: ignore[import-untyped]


EVENTS_KEY = "events"
"""Key under which a checkpoint stores the sizes of the event files."""


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


class EventLogger:
    """A minimal replacement for Lightning's ``TensorBoardLogger`` and its writer, for runs without training.

    Args:
        save_dir: Folder to which the event file is written.
    """

    def __init__(self, save_dir: str) -> None:
        self.save_dir = save_dir

    @property
    def experiment(self) -> "EventLogger":
        """The writer, which is this object itself. Lightning's logger has a property with the same name."""
        return self

    @cached_property
    def _file(self) -> "EventFileWriter":
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        return EventFileWriter(self.save_dir)

    def _get_file_writer(self) -> "EventLogger":
        return self

    def add_summary(self, event: "Event", step: int | None = None) -> None:
        """Write a single event."""
        from tensorboard.compat.proto.event_pb2 import Event as Record  # type: ignore[import-untyped]

        self._file.add_event(Record(summary=event, step=step or 0, wall_time=time.time()))

    def add_text(self, tag: str, text: str, step: int = 0) -> None:
        """Write text in Markdown format."""
        from tensorboard.compat.proto.summary_pb2 import Summary as Event
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto  # type: ignore[import-untyped]

        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype="DT_STRING", string_val=[text.encode()], tensor_shape=shape)
        self.add_summary(Event(value=[Event.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)]), step)

    def log_hyperparams(self, params: Mapping[str, Any], metrics: Mapping[str, float], step: int = 0) -> None:
        """Write hyperparameters and the resulting metrics for TensorBoard's HParams dashboard."""
        from tensorboard.compat.proto.summary_pb2 import Summary as Event
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2  # type: ignore[import-untyped]

        self.add_summary(Event(value=[Event.Value(tag=name, simple_value=v) for name, v in metrics.items()]), step)
        shown = {name: value if isinstance(value, int | float | str) else str(value) for name, value in params.items()}
        start = plugin_data_pb2.SessionStartInfo()
        for name, value in shown.items():
            setattr(start.hparams[name], f"{_kind_of(value)}_value", value)
        experiment = api_pb2.Experiment(
            hparam_infos=[api_pb2.HParamInfo(name=name, type=_TYPES[_kind_of(shown[name])]) for name in shown],
            metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in metrics],
        )
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
        for tag, content in (
            (metadata.EXPERIMENT_TAG, {"experiment": experiment}),
            (metadata.SESSION_START_INFO_TAG, {"session_start_info": start}),
            (metadata.SESSION_END_INFO_TAG, {"session_end_info": end}),
        ):
            data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
            value = Event.Value(tag=tag, metadata=metadata.create_summary_metadata(data))
            self.add_summary(Event(value=[value]), step)

    def save(self) -> None:
        """Flush all events to disk."""
        self._file.flush()


_TYPES = {"number": "DATA_TYPE_FLOAT64", "string": "DATA_TYPE_STRING"}


def _kind_of(value: object) -> str:
    """Return TensorBoard's name for the type of a hyperparameter. As in torch, a bool counts as a number."""
    return "string" if isinstance(value, str) else "number"
