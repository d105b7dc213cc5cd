"""The figure of a sweep has one panel per setting, with readable axes for numbers and texts."""

import numpy as np
import pandas as pd
import pytest

from celeba_lab import figures


def settings_of(rows: int = 12) -> pd.DataFrame:
    content = {
        "lr": [10.0 ** -(k % 4) for k in range(rows)],
        "seed": [k % 3 for k in range(rows)],
        "backbone": [("mobilenet_v2", "shufflenet_v2_x0_5", None)[k % 3] for k in range(rows)],
        "flag": [k % 2 == 0 for k in range(rows)],
    }
    return pd.DataFrame(content, dtype=object)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_texts_do_not_overlap(count: int, assert_texts_stay_apart, long_title) -> None:
    settings = settings_of().iloc[:, :count]
    scores = np.linspace(0.5, 0.9, len(settings))
    figure = figures.sweep_scores(settings, scores, best=11, label="val/accuracy", title=long_title)
    assert len(figure.axes) == count
    assert_texts_stay_apart(figure)


def test_axes_fit_the_settings() -> None:
    settings = settings_of()
    figure = figures.sweep_scores(settings, np.linspace(0, 1, 12), best=11, label="score", title="title")
    lr, seed, backbone, flag = figure.axes
    assert (lr.get_xscale(), seed.get_xscale()) == ("log", "linear")
    assert next(text.get_text() for text in backbone.get_xticklabels()).replace("\n", "") == "mobilenet_v2"
    assert [text.get_text() for text in flag.get_xticklabels()] == ["True", "False"]
    means = lr.lines[0].get_ydata()
    assert len(means) == 4


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="1 to 12 settings and one score per run"):
        figures.sweep_scores(settings_of(), [0.5], best=0, label="score", title="title")
    with pytest.raises(ValueError, match="got 0 settings"):
        figures.sweep_scores(settings_of().iloc[:, :0], np.zeros(12), best=0, label="score", title="title")
