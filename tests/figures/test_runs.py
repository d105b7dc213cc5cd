"""Figures of several runs show the given curves, the intervals and the name of every run."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from celeba_lab import figures
from celeba_lab.figures.style import BLUE, GRAY, VERMILLION

# run names from a sweep
LONG_NAMES = [f"{k}_loss-weighted_bce_model.backbone-efficientnet_v2_s_model.lr-0.0001_seed-{k}" for k in range(12)]


def history(seed: int, epochs: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    columns = ["val/loss", "val/accuracy", "train/loss"]
    return pd.DataFrame({"epoch": np.arange(1, epochs + 1), **{name: rng.random(epochs) for name in columns}})


def curves(count: int, **settings) -> Figure:
    return figures.run_curves({f"run {k}": history(k, 3 + k % 3) for k in range(count)}, title="title", **settings)


def drawn(ax) -> list[tuple[list[float], list[float]]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines]


# --- curves


@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize("names", [[f"a/{k}" for k in range(12)], LONG_NAMES])
def test_texts_of_curves_do_not_overlap(names, count, assert_texts_stay_apart, long_title, legend_texts):
    histories = {name: history(k) for k, name in enumerate(names[:count])}
    best = dict.fromkeys(histories, 2)
    figure = figures.run_curves(histories, title=long_title, note="a note", best_epochs=best)
    assert_texts_stay_apart(figure)
    unwrapped = [text.replace("\n", "") for text in legend_texts(figure)]
    assert unwrapped[:count] == names[:count]


def test_curves_show_the_given_numbers():
    figure = curves(5)
    for ax, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        expected = [history(k, 3 + k % 3) for k in range(5)]
        assert drawn(ax) == [(table["epoch"].tolist(), table[f"val/{name}"].tolist()) for table in expected]
        assert ax.get_ylabel() == f"validation {name}"


def test_all_of_twelve_runs_look_different():
    looks = {(to_hex(line.get_color()), line.get_linestyle()) for line in curves(12).axes[0].lines}
    assert len(looks) == 12


def test_figures_of_few_runs_show_the_training_loss_and_the_reported_epochs(legend_texts):
    figure = curves(2, best_epochs={"run 0": 3, "run 1": 9})
    assert legend_texts(figure) == ["run 0", "run 1", "reported epoch", "validation", "training"]
    left, right = figure.axes
    assert left.get_ylabel() == "loss"  # with the training losses
    table = history(0, 3)
    assert ([3], [table["val/loss"].iloc[2]]) in drawn(left)
    assert ([3], [table["val/accuracy"].iloc[2]]) in drawn(right)
    assert len(right.lines) == 3  # the second run has no epoch 9
    assert (table["epoch"].tolist(), table["train/loss"].tolist()) in drawn(left)
    assert legend_texts(curves(5, best_epochs={"run 0": 3})) == [f"run {k}" for k in range(5)]


def test_another_metric_can_be_drawn_and_epochs_without_validation_are_skipped():
    tables = {"a": history(0).assign(**{"val/f1": [0.1, np.nan, 0.3, np.nan]}), "b": history(1)}
    right = figures.run_curves(tables, metric="f1", title="title").axes[1]
    assert drawn(right) == [([1, 3], [0.1, 0.3])]
    assert right.get_ylabel() == "validation f1"


def test_a_panel_without_values_explains_this(texts_of):
    figure = figures.run_curves({"a": history(0)[["epoch", "val/loss"]]}, title="title")
    assert "no accuracy was recorded" in texts_of(figure)
    assert "no loss was recorded" not in texts_of(figure)


@pytest.mark.parametrize("count", [0, 13])
def test_too_many_or_no_curves_are_rejected(count):
    with pytest.raises(ValueError, match=f"between 1 and 12: got {count}"):
        curves(count)


# --- differences


def differences(values, low, high, names=None, **settings) -> Figure:
    names = names or [f"run {k}" for k in range(len(values))]
    settings = {"label": "accuracy minus that of the baseline", "title": "title"} | settings
    return figures.run_differences(names, values, low, high, **settings)


@pytest.mark.parametrize("count", [1, 2, 11, 30])
@pytest.mark.parametrize("long", [False, True])
def test_texts_of_differences_do_not_overlap(count, long, assert_texts_stay_apart, long_title):
    values = np.random.default_rng(0).normal(0, 0.01, count)
    names = [(LONG_NAMES[0] if long else "seed") + f"-{k}" for k in range(count)]
    figure = differences(values, values - 0.008, values + 0.008, names, title=long_title, note="a note")
    assert_texts_stay_apart(figure)
    labels = [text.get_text().replace("\n", "") for text in figure.axes[0].get_yticklabels()]
    assert labels == [names[k] for k in np.argsort(-values)]


def test_the_best_run_is_at_the_top_with_its_interval_and_values(legend_texts):
    figure = differences([-0.02, 0.0, 0.03], [-0.03, -0.01, 0.02], [-0.01, 0.01, 0.04])
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["run 2", "run 1", "run 0"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    (segments,) = [found for found in ax.collections if hasattr(found, "get_segments")]
    expected = [[[0.02, 0], [0.04, 0]], [[-0.01, 1], [0.01, 1]], [[-0.03, 2], [-0.01, 2]]]
    np.testing.assert_allclose(segments.get_segments(), expected)
    assert [to_hex(color).upper() for color in segments.get_colors()] == [BLUE, GRAY, VERMILLION]
    assert [text.get_text() for text in ax.texts] == [
        "difference (95% interval)",
        "+0.0300 (+0.0200 to +0.0400)",
        "+0.0000 (−0.0100 to +0.0100)",
        "−0.0200 (−0.0300 to −0.0100)",
    ]
    assert legend_texts(figure) == ["better than the baseline", "no significant difference", "worse than the baseline"]
    assert 0 in ax.lines[0].get_xdata()


def test_an_interval_that_ends_at_0_is_not_a_difference(legend_texts):
    assert legend_texts(differences([0.01, 0.0], [0.0, 0.0], [0.02, 0.0])) == ["no significant difference"]


@pytest.mark.parametrize(("values", "low"), [([], []), ([0.1], [0.0, 0.1]), ([[0.1]], [[0.0]])])
def test_differences_of_the_wrong_shape_are_rejected(values, low):
    with pytest.raises(ValueError, match=r"must have shape \(R,\), with R at least 1"):
        differences(values, low, low)
