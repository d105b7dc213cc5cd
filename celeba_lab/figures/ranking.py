"""Figures of how well probabilities order the images, whatever the threshold: ROC and precision-recall curves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from celeba_lab.figures.predictions import check_predictions, why_undefined
from celeba_lab.figures.style import (
    BLACK,
    BLUE,
    GREY,
    LINE_STYLES,
    PALETTE,
    STYLE,
    VERMILLION,
    finish_axes,
    new_figure,
    say,
)

_NAMED = 8  # with more attributes than this, only the ends of the ranking are named
_ENDS = 5


@dataclass(frozen=True)
class _Curve:
    """One attribute's curve; without points where the labels leave it undefined."""

    name: str
    prevalence: float
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    area: float = float("nan")
    undefined: str | None = None


@dataclass(frozen=True)
class _Style:
    """What a ROC figure and a precision-recall figure do differently."""

    measure: str
    x_label: str
    y_label: str
    drawstyle: Literal["default", "steps-post"] = "default"
    prevalence_in_legend: bool = False


@matplotlib.rc_context(STYLE)
def roc_curves(
    labels: ArrayLike, probabilities: ArrayLike, names: Sequence[str], *, areas: ArrayLike, title: str
) -> Figure:
    """Receiver operating characteristic of every attribute, with the area below it (AUROC).

    Up to eight attributes are all named, best first; of more, the five best and the five worst, the others are grey.
    An attribute without positives or without negatives has no curve: the legend says so, and the mean leaves it out.

    Args:
        labels: True labels, (N, K), 0 or 1.
        probabilities: Predicted probabilities, (N, K), in [0, 1].
        names: Names of the K attributes.
        areas: AUROC of each attribute, (K,), for the legend and the ranking; not used where the curve is undefined.
        title: Title of the figure.

    Raises:
        ValueError: The arrays do not fit together or have values outside their range.
    """
    truth, scores = check_predictions(labels, probabilities, names)
    columns = zip(truth.T, scores.T, names, _check_areas(areas, names), strict=True)
    curves = [_curve(_roc, *column) for column in columns]
    return _draw(curves, _Style("AUROC", "false positive rate", "true positive rate (recall)"), title, len(truth))


@matplotlib.rc_context(STYLE)
def precision_recall_curves(
    labels: ArrayLike, probabilities: ArrayLike, names: Sequence[str], *, areas: ArrayLike, title: str
) -> Figure:
    """Precision against recall of every attribute, with average precision (AP) and prevalence, which is chance.

    Which attributes are named, and what happens to those without positives or negatives, is as in :func:`roc_curves`.

    Args:
        labels: True labels, (N, K), 0 or 1.
        probabilities: Predicted probabilities, (N, K), in [0, 1].
        names: Names of the K attributes.
        areas: Average precision of each attribute, (K,), as in :func:`roc_curves`.
        title: Title of the figure.

    Raises:
        ValueError: The arrays do not fit together or have values outside their range.
    """
    truth, scores = check_predictions(labels, probabilities, names)
    columns = zip(truth.T, scores.T, names, _check_areas(areas, names), strict=True)
    curves = [_curve(_precision_recall, *column) for column in columns]
    several = len(curves) > 1
    style = _Style("AP", "recall (true positive rate)", "precision", "steps-post", prevalence_in_legend=several)
    return _draw(curves, style, title, len(truth))


def _check_areas(areas: ArrayLike, names: Sequence[str]) -> NDArray[np.floating]:
    values = np.asarray(areas, dtype=float)
    if values.shape != (len(names),):
        raise ValueError(f"Expected one area for each of {len(names)} attributes: got {values.shape}.")
    return values


_Points = tuple[NDArray[np.floating], NDArray[np.floating]]


def _curve(
    points: Callable[[NDArray[np.bool_], NDArray[np.floating]], _Points],
    truth: NDArray[np.bool_],
    scores: NDArray[np.floating],
    name: str,
    area: float,
) -> _Curve:
    """Return the curve of one attribute through the points that ``points`` computes."""
    reason = why_undefined(truth)
    if reason:
        return _undefined(truth, name, reason)
    return _Curve(name, float(truth.mean()), *_thin(*points(truth, scores)), area=float(area))


def _roc(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> _Points:
    x, y, _ = roc_curve(truth, scores)
    return x, y


def _precision_recall(truth: NDArray[np.bool_], scores: NDArray[np.floating]) -> _Points:
    precision, recall, _ = precision_recall_curve(truth, scores, drop_intermediate=True)
    return recall, precision


def _undefined(truth: NDArray[np.bool_], name: str, reason: str) -> _Curve:
    prevalence = float(truth.mean()) if truth.size else float("nan")
    return _Curve(name, prevalence, np.empty(0), np.empty(0), undefined=reason)


def _thin(x: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Drop points within a thousandth of the one before: invisible, and 200,000 images make as many."""
    cells = np.round(np.stack([x, y]) * 1000)
    keep = np.ones(len(x), dtype=bool)
    keep[1:-1] = (cells[:, 1:-1] != cells[:, :-2]).any(axis=0)
    return x[keep], y[keep]


def _draw(curves: Sequence[_Curve], style: _Style, title: str, images: int) -> Figure:
    ranked = sorted((curve for curve in curves if not curve.undefined), key=lambda curve: -curve.area)
    note = f"{images:,} images"
    if len(curves) > 1 and ranked:
        mean = np.mean([curve.area for curve in ranked])
        note += f", mean {style.measure} {mean:.3f} over {len(ranked)} of {len(curves)} attributes"
    figure = new_figure(*_size(len(curves), style), title, note)
    ax = figure.add_subplot()
    if len(curves) > _NAMED:
        entries = _draw_crowd(ax, ranked, style)
    else:
        # The colour goes with the attribute, not with its rank: the same in both kinds of figure.
        looks = {
            curve.name: {"color": PALETTE[k], "linestyle": LINE_STYLES[k % len(LINE_STYLES)]}
            for k, curve in enumerate(curves)
        }
        entries = [_draw_curve(ax, curve, style, **looks[curve.name]) for curve in ranked]
    if not ranked:
        say(ax, "undefined: " + " or ".join(sorted({curve.undefined or "" for curve in curves})))
    entries += _draw_chance(ax, curves, style) + _undefined_entries(curves)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=style.x_label, ylabel=style.y_label)
    finish_axes(ax)
    _add_legend(ax, entries, below=len(curves) == 1)
    return figure


def _size(count: int, style: _Style) -> tuple[float, float]:
    """Inches that make the axes square next to, or above, the legend."""
    if count == 1:
        return 5.6, 5.8
    return (10.2 if style.prevalence_in_legend else 8.9), 5.4


def _add_legend(ax: Axes, entries: Sequence[Line2D], *, below: bool) -> None:
    # A legend of the axes, as one of the figure ("outside right upper") runs into long titles.
    if below:
        legend = ax.legend(handles=entries, handlelength=2.6, loc="upper center", bbox_to_anchor=(0.5, -0.11))
    else:
        legend = ax.legend(
            handles=entries, handlelength=2.6, loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0
        )
    for entry, text in zip(entries, legend.get_texts(), strict=True):
        text.set_parse_math(False)
        text.set_fontweight("bold" if entry.get_gid() == "heading" else "normal")


def _draw_curve(ax: Axes, curve: _Curve, style: _Style, **look: Any) -> Line2D:
    label = f"{curve.name}  {style.measure} {curve.area:.3f}"
    if style.prevalence_in_legend:
        label += f" (prevalence {curve.prevalence:.3f})"
    return ax.plot(curve.x, curve.y, drawstyle=style.drawstyle, label=label, **look)[0]


def _draw_crowd(ax: Axes, ranked: Sequence[_Curve], style: _Style) -> list[Line2D]:
    """Draw many curves, the ends of the ranking in colour; returns the legend's entries."""
    best, worst = ranked[:_ENDS], ranked[_ENDS:][-_ENDS:]
    middle = ranked[len(best) : len(ranked) - len(worst)]
    for curve in middle:
        _draw_curve(ax, curve, style, color=GREY, linewidth=0.7, alpha=0.55)
    entries: list[Line2D] = []
    for heading, curves, colour in (("Highest", best, BLUE), ("Lowest", worst, VERMILLION)):
        if curves:
            entries.append(Line2D([], [], linestyle="", gid="heading", label=f"{heading} {style.measure}"))
            looks = LINE_STYLES[: len(curves)]
            entries += [
                _draw_curve(ax, curve, style, color=colour, linestyle=look, linewidth=1.5)
                for curve, look in zip(curves, looks, strict=True)
            ]
    if middle:
        entries.append(Line2D([], [], color=GREY, linewidth=0.7, label=f"the {len(middle)} between"))
    return entries


def _draw_chance(ax: Axes, curves: Sequence[_Curve], style: _Style) -> list[Line2D]:
    """The line of an answer that ignores the image. For precision and recall each prevalence has its own."""
    look: dict[str, Any] = {"color": BLACK, "linestyle": ":", "linewidth": 1.3, "zorder": 1}
    if style.measure == "AUROC":
        return ax.plot([0, 1], [0, 1], label="chance", **look)
    if len(curves) > 1 or curves[0].undefined:
        return []
    level = curves[0].prevalence
    return ax.plot([0, 1], [level, level], label=f"chance (prevalence {level:.3f})", **look)


def _undefined_entries(curves: Sequence[_Curve]) -> list[Line2D]:
    """Legend entries without a line, for attributes that have no curve."""
    labels = [f"{curve.name}: undefined ({curve.undefined})" for curve in curves if curve.undefined]
    if len(labels) > _NAMED:
        labels = [*labels[: _NAMED - 1], f"and {len(labels) - _NAMED + 1} more undefined"]
    return [Line2D([], [], linestyle="", label=label) for label in labels]
