"""Event files written without torch match those of Lightning's logger."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from celeba_lab.runs.events import EventLogger

HYPERPARAMETERS = {"seed": 1, "rate": 0.5, "name": "x", "page": True, "names": ["a", "b"]}


def written_by(logger: Any, folder: Path) -> Mapping[str, Any]:
    """Return the content of the event file that a logger has written."""
    logger.experiment.add_text("configuration", "    seed: 1")
    logger.log_hyperparams(HYPERPARAMETERS, {"best/test/accuracy": 0.5}, 3)
    logger.save()
    events = EventAccumulator(str(folder)).Reload()
    [text], [scalar] = events.Tensors("configuration/text_summary"), events.Scalars("best/test/accuracy")
    parts = ("experiment", "session_start_info", "session_end_info")
    content = [events.SummaryMetadata(f"_hparams_/{part}").plugin_data.content for part in parts]
    # The order of the entries of a protocol buffer map is undefined.
    return {
        "tags": events.Tags(),
        "text": text.tensor_proto,
        "scalar": (scalar.step, scalar.value),
        "hyperparameters": [sorted(part) for part in content],
    }


def test_text_metrics_and_hyperparameters_equal_those_of_lightning(tmp_path: Path) -> None:
    lightning = TensorBoardLogger(str(tmp_path / "lightning"), name="", version="", default_hp_metric=False)
    ours = EventLogger(str(tmp_path / "ours"))
    expected = written_by(lightning, tmp_path / "lightning")
    lightning.finalize("success")
    assert written_by(ours, tmp_path / "ours") == expected


def test_no_file_is_written_before_the_first_event(tmp_path: Path) -> None:
    EventLogger(str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
