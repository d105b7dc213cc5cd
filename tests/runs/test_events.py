"""Event files can be read by TensorBoard, whether torch has written them or not."""

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from celeba_lab.engine.loggers import TensorBoardLogger
from celeba_lab.runs.events import EventLogger

HYPERPARAMETERS = {"seed": 1, "rate": 0.5, "name": "x", "page": True, "names": ["a", "b"], "weights": None}


@pytest.mark.parametrize("kind", [EventLogger, TensorBoardLogger])
def test_text_metrics_and_hyperparameters_can_be_read(tmp_path: Path, kind: Any) -> None:
    logger = kind(str(tmp_path))
    logger.send_text("configuration", "    seed: 1", 0)
    logger.send_results(HYPERPARAMETERS, {"test/accuracy": 0.5}, 3, {"rate"})
    logger.close(is_finished=True)
    events = EventAccumulator(str(tmp_path)).Reload()
    [text], [scalar] = events.Tensors("configuration/text_summary"), events.Scalars("~~hparams/test/accuracy")
    assert text.tensor_proto.string_val == [b"    seed: 1"]
    assert (scalar.step, scalar.value) == (3, 0.5)
    contents = {
        part: events.SummaryMetadata(f"_hparams_/{part}").plugin_data.content
        for part in ("experiment", "session_start_info", "session_end_info")
    }
    start = metadata.parse_session_start_info_plugin_data(contents["session_start_info"]).hparams
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.items()}
    assert values == {"seed": 1, "rate": 0.5, "name": "x", "page": 1, "names": "['a', 'b']", "weights": "none"}
    experiment = metadata.parse_experiment_plugin_data(contents["experiment"])
    assert [info.name for info in experiment.hparam_infos if info.differs] == ["rate"]
    assert experiment.metric_infos[0].display_name == "test/accuracy"


def test_no_file_is_written_before_the_first_event(tmp_path: Path) -> None:
    EventLogger(str(tmp_path / "run")).close(is_finished=True)
    assert not (tmp_path / "run").exists()
