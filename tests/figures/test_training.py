"""Learning curves show the given history, mark the best epoch, and accept histories with gaps."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from celeba_lab import figures


@pytest.fixture
def history() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": [0, 1, 2, 3],
            "train/loss": [0.5, 0.4, 0.3, 0.2],
            "val/loss": [0.45, 0.35, 0.36, 0.40],
            "train/accuracy": [0.8, 0.85, 0.9, 0.95],
            "val/accuracy": [0.82, 0.88, 0.91, 0.90],
        }
    )


def star(figure: Figure, panel: int) -> tuple[float, float]:
    (line,) = [line for line in figure.axes[panel].lines if line.get_marker() == "*"]
    return line.get_xdata()[0], line.get_ydata()[0]


def test_learning_curves_show_the_history(history, assert_texts_stay_apart, long_title, legend_texts):
    figure = figures.learning_curves(history, title=long_title, best_epoch=2, majority_accuracy=0.52)
    assert_texts_stay_apart(figure)
    for ax, metric in zip(figure.axes, ("loss", "accuracy"), strict=True):
        lines = {line.get_label(): line for line in ax.lines}
        np.testing.assert_array_equal(lines["train"].get_ydata(), history[f"train/{metric}"])
        np.testing.assert_array_equal(lines["validation"].get_ydata(), history[f"val/{metric}"])
        assert lines["train"].get_marker() != lines["validation"].get_marker()
        assert lines["train"].get_linestyle() != lines["validation"].get_linestyle()
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", metric)
        assert all(tick == int(tick) for tick in ax.get_xticks())
    majority = next(line for line in figure.axes[1].lines if "majority" in line.get_label())
    assert list(majority.get_ydata()) == [0.52, 0.52]
    assert legend_texts(figure) == ["train", "validation", "best epoch 2", "majority class 0.520"]


def test_a_star_marks_the_best_epoch(history):
    figure = figures.learning_curves(history, title="title", best_epoch=1)
    assert (star(figure, 0), star(figure, 1)) == ((1, 0.35), (1, 0.88))
    assert "Best epoch 1: validation loss 0.350, validation accuracy 0.880" in figure.get_suptitle()


def test_rows_split_by_a_logger_are_joined_and_gaps_are_bridged(texts_of):
    history = pd.DataFrame(
        {"epoch": [1, 0, 0, 2], "val/loss": [np.nan, 0.5, np.nan, 0.3], "train/loss": [3, np.nan, 4, 2]}
    )
    figure = figures.learning_curves(history, title="title", best_epoch=2)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines["train"].get_ydata()) == [4, 3, 2]
    assert list(lines["validation"].get_xdata()) == [0, 2]
    assert "no accuracy was recorded" in texts_of(figure)


@pytest.mark.parametrize("history", [pd.DataFrame(), pd.DataFrame({"train/loss": [1.0]})])
def test_an_almost_empty_history_can_be_drawn(history, assert_texts_stay_apart):
    assert_texts_stay_apart(figures.learning_curves(history, title="title", best_epoch=7))
