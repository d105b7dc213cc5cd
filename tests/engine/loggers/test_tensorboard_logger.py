"""TensorBoard's page begins with the curves of validation and training."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from celeba_lab.engine.loggers import TensorBoardLogger
from celeba_lab.models.classifier import AttributeClassifier
from celeba_lab.models.gan import GAN

METRICS = ("val/accuracy", "val/loss", "train/loss", "train/accuracy", "train/recall", "epoch", "lr-AdamW/pg1")


def test_curves_come_before_figures_and_results(tmp_path, png):
    logger = TensorBoardLogger(str(tmp_path))
    logger.log_metrics(dict.fromkeys(METRICS, 1.0), step=1)
    logger.send_figure("roc", png, 1)
    logger.send_image("faces_loaded_then_augmented", png, 1)
    logger.send_results({"lr": 0.1}, {"val/accuracy": 1.0}, 1)
    logger.close(is_finished=True)
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()
    groups = sorted(tag.partition("/")[0] for tag in {*tags["scalars"], *tags["images"]})
    assert list(dict.fromkeys(groups))[:3] == ["val", "~train", "~~epoch"]
    assert sorted(tags["scalars"])[:4] == ["val/accuracy", "val/loss", "~train/accuracy", "~train/loss"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            lambda: AttributeClassifier(["a", "b"], "squeezenet1_1"),
            {"accuracy", "loss", "AUROC", "validation accuracy"},
        ),
        (lambda: GAN(image_size=16, width=4), {"KID x 1,000", "FID", "losses", "gradient norms"}),
    ],
)
def test_metrics_that_belong_together_share_a_chart(tmp_path, model, expected):
    logger = TensorBoardLogger(str(tmp_path))
    logger.send_charts(model().charts)
    logger.close(is_finished=True)
    [event] = EventAccumulator(str(tmp_path)).Reload().Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for group in layout.category for chart in group.chart}
    assert set(charts) == expected
    assert charts.get("loss", ["^val/loss$", "^~train/loss$"]) == ["^val/loss$", "^~train/loss$"]


def test_no_file_is_written_for_a_logger_that_was_not_used(tmp_path):
    TensorBoardLogger(str(tmp_path / "run")).close(is_finished=True)
    assert not (tmp_path / "run").exists()
