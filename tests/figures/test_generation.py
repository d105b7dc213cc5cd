"""Figures of GAN training show the given values, and their texts do not overlap."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from celeba_lab import figures


def history(epochs: int, conditional: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = [f"{player}_{what}" for player in ("generator", "discriminator") for what in ("loss", "gradient_norm")]
    names += ["D(x)", "D(G(z))", "images_per_second"]
    names += ["generator_attribute_loss", "discriminator_attribute_loss"] if conditional else []
    return pd.DataFrame({"epoch": np.arange(1, epochs + 1), **{f"train/{name}": rng.random(epochs) for name in names}})


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("epochs", [1, 3, 250])
def test_curves_show_the_given_numbers(
    epochs: int, conditional: bool, assert_texts_stay_apart: Callable[[Figure], None], long_title: str
) -> None:
    table = history(epochs, conditional)
    figure = figures.adversarial_curves(table, title=long_title)
    assert_texts_stay_apart(figure)
    drawn = {line.get_label(): line for ax in figure.axes for line in ax.lines}
    columns = {
        "D(G(z)), generated faces": "D(G(z))",
        "D(x), real faces": "D(x)",
        "images per second": "images_per_second",
    }
    columns |= {"generator, attribute loss": "generator_attribute_loss"} if conditional else {}
    for label, column in columns.items():
        assert list(drawn[label].get_ydata()) == table[f"train/{column}"].tolist()
    loss, probability, norm, speed = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines[:2]] == [
        table["train/generator_loss"].tolist(),
        table["train/discriminator_loss"].tolist(),
    ]
    assert (norm.get_yscale(), loss.get_yscale()) == ("log", "linear")
    assert probability.get_ylim() == (-0.02, 1.02)
    assert speed.get_ylim()[0] == 0


def test_a_panel_without_values_explains_this(texts_of: Callable[[Figure], list[str]]) -> None:
    figure = figures.adversarial_curves(history(3)[["epoch", "train/D(x)"]], title="title")
    assert texts_of(figure).count("no values were recorded") == 3


def test_distance_curves_are_drawn_with_their_floor(
    assert_texts_stay_apart: Callable[[Figure], None], long_title: str, legend_texts: Callable[[Figure], list[str]]
) -> None:
    epochs, note = [50, 100, 150], "in the features of a network with a long name; " * 5
    lines = {"average of the weights": (epochs, [400.0, 240.0, 130.0]), "last weights": (epochs, [500.0, 300.0, 150.0])}
    figure = figures.distance_curves(lines, floor=-0.5, metric="KID x 1,000", title=long_title, note=note)
    assert_texts_stay_apart(figure)
    [ax] = figure.axes
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [values for _, values in lines.values()]
    assert ax.get_ylim()[0] <= -0.5
    assert legend_texts(figure) == [*lines, "distance between real faces: -0.5"]
    assert {" 130", " 150"} <= {text.get_text() for text in ax.texts}
