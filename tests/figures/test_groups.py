"""Figures of subgroups show all rows of the table, including subgroups with few or no images."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

from celeba_lab import figures
from celeba_lab.analyses.groups import subgroup_table
from celeba_lab.figures.style import GRAY, VERMILLION


def some_subgroups(targets: int, groups: int, images: int = 400, smallest: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    truth = (rng.random((images, targets)) < np.linspace(0.5, 0.1, targets)).astype(np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.9, truth, 1 - truth)
    members = (rng.random((images, groups)) < np.linspace(0.5, 0.02, groups)).astype(np.uint8)
    names = [f"Group_Of_The_Name_No_{g:02d}" for g in range(groups)]
    targeted = [f"Target_Of_The_Name_No_{k:02d}" for k in range(targets)]
    return subgroup_table(truth, predicted, targeted, members, names, smallest)


@pytest.fixture
def pair() -> pd.DataFrame:
    """A pair in which the subgroup with the lowest accuracy has few images and another subgroup has none."""
    return pd.DataFrame(
        {
            "target": "Blond_Hair",
            "group": "Male",
            "label": [0, 0, 1, 1],
            "member": [0, 1, 0, 1],
            "images": [1500, 1000, 0, 3],
            "accuracy": [0.9, 0.8, np.nan, 1 / 3],
            "low": [0.88, 0.77, np.nan, 0.06],
            "high": [0.92, 0.83, np.nan, 0.79],
            "few": [False, False, True, True],
        }
    )


def dots(ax: Axes) -> list[tuple[float, float, str, str]]:
    """Return the position and both colours of each marker, from top to bottom."""
    found = []
    for collection in ax.collections:
        if isinstance(collection, PathCollection):
            for k, (x, y) in enumerate(collection.get_offsets()):
                edges, faces = collection.get_edgecolors(), collection.get_facecolors()
                found.append((x, y, to_hex(edges[k % len(edges)]).upper(), to_hex(faces[k % len(faces)]).upper()))
    return sorted(found, key=lambda dot: dot[1])


def whiskers(ax: Axes) -> list[np.ndarray]:
    segments = [s for c in ax.collections if isinstance(c, LineCollection) for s in c.get_segments()]
    return sorted(segments, key=lambda segment: segment[0, 1])


@pytest.mark.parametrize(("targets", "groups"), [(1, 1), (3, 5), pytest.param(1, 15, marks=pytest.mark.slow)])
def test_texts_of_subgroups_do_not_overlap(targets, groups, assert_texts_stay_apart, long_title, axes_texts):
    subgroups = some_subgroups(targets, groups)
    figure = figures.subgroup_accuracy(subgroups, title=long_title, note="a note")
    assert_texts_stay_apart(figure)
    assert figure.get_suptitle().endswith("\na note")
    assert sum(" by " in text for text in axes_texts(figure.axes[0])) == targets * groups


def test_every_subgroup_has_a_row_with_a_dot_an_interval_and_numbers(pair, tick_labels):
    other = pair.assign(target="Young", group="Bald", images=2000, accuracy=0.5, low=0.4, high=0.6, few=False)
    ax = figures.subgroup_accuracy(pd.concat([pair, other]), title="title").axes[0]
    assert tick_labels(ax.yaxis)[:4] == [
        "not Blond_Hair, not Male", "not Blond_Hair, Male", "Blond_Hair, not Male", "Blond_Hair, Male",
    ]  # fmt: skip
    assert tick_labels(ax.yaxis)[4] == "not Young, not Bald"
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    heights = ax.get_yticks()
    known = [0, 1, 3, 4, 5, 6, 7]
    np.testing.assert_allclose([dot[0] for dot in dots(ax)], [0.9, 0.8, 1 / 3, *[0.5] * 4])
    np.testing.assert_allclose([dot[1] for dot in dots(ax)], heights[known])
    found = whiskers(ax)
    np.testing.assert_allclose([w[:, 0] for w in found], [[0.88, 0.92], [0.77, 0.83], [0.06, 0.79], *[[0.4, 0.6]] * 4])
    np.testing.assert_allclose([w[0, 1] for w in found], heights[known])
    texts = {(text.get_text(), float(text.xy[1])) for text in ax.texts}
    numbers = [("1,500", "0.900"), ("1,000", "0.800"), ("0", "no images"), ("3", "0.333")]
    for height, (images, accuracy) in zip(heights[:4], numbers, strict=True):
        assert (images, height) in texts
        assert (accuracy, height) in texts


def test_each_heading_is_above_its_block(pair):
    other = pair.assign(target="Young", group="Bald")
    ax = figures.subgroup_accuracy(pd.concat([pair, other]), title="title").axes[0]
    heights = ax.get_yticks()
    places = {text.get_text(): float(text.xy[1]) for text in ax.texts if " by " in text.get_text()}
    assert places["Blond_Hair by Male"] < heights[0]
    assert heights[3] < places["Young by Bald"] < heights[4]


def test_an_empty_subgroup_is_listed_but_not_drawn(pair):
    ax = figures.subgroup_accuracy(pair, title="title").axes[0]
    (sentence,) = [text for text in ax.texts if text.get_text() == "no images"]
    assert float(sentence.xy[1]) == ax.get_yticks()[2]
    assert len(dots(ax)) == len(whiskers(ax)) == 3


def test_the_worst_subgroup_with_enough_images_is_orange_and_small_subgroups_are_hollow_and_grey(pair, legend_texts):
    figure = figures.subgroup_accuracy(pair, title="title")
    best, worst, few = dots(figure.axes[0])
    assert worst[2:] == (VERMILLION, VERMILLION)
    assert few[2:] == (GRAY, "#FFFFFF")
    assert best[2] == best[3] not in {VERMILLION, GRAY}
    assert any("few" in entry for entry in legend_texts(figure))
    without = figures.subgroup_accuracy(
        pair.assign(few=False, images=100, accuracy=0.5, low=0.4, high=0.6), title="title"
    )
    assert not any("few" in entry for entry in legend_texts(without))


def test_each_pair_has_its_own_worst_subgroup(pair):
    both = pd.concat([pair, pair.assign(group="Bald", accuracy=[0.5, 0.6, 0.7, 0.8], images=99, few=False)])
    ax = figures.subgroup_accuracy(both, title="title").axes[0]
    assert [dot[0] for dot in dots(ax) if dot[2] == VERMILLION] == [0.8, 0.5]


def test_a_pair_without_images_is_still_listed(pair, assert_texts_stay_apart, axes_texts):
    nothing = pair.assign(images=0, accuracy=np.nan, low=np.nan, high=np.nan, few=True)
    figure = figures.subgroup_accuracy(nothing, title="title")
    assert_texts_stay_apart(figure)
    assert axes_texts(figure.axes[0]).count("no images") == 4
    assert not dots(figure.axes[0])


def test_the_index_of_the_table_does_not_affect_the_figure(pair, axes_texts):
    plain = figures.subgroup_accuracy(pair, title="title").axes[0]
    shuffled = figures.subgroup_accuracy(pair.set_index(pd.Index([7, 7, 2, 0])), title="title").axes[0]
    assert dots(plain) == dots(shuffled)
    assert axes_texts(plain) == axes_texts(shuffled)


def test_a_table_with_missing_columns_is_rejected(pair):
    with pytest.raises(ValueError, match="missing: low, few"):
        figures.subgroup_accuracy(pair.drop(columns=["few", "low"]), title="title")


def test_subgroup_accuracy_does_not_change_matplotlib_settings(pair):
    before = dict(mpl.rcParams)
    figures.subgroup_accuracy(pair, title="title")
    assert dict(mpl.rcParams) == before
