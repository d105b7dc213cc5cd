"""ROC and precision-recall curves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from celeba_lab.figures.predictions import check_predictions, why_undefined
from celeba_lab.figures.style import (
    BLACK,
    BLUE,
    GRAY,
    LINE_STYLES,
    PALETTE,
    STYLE,
    VERMILLION,
    finish_axes,
    new_figure,
    write_centered,
)

_NAMED = 8  # if there are more attributes, only the best and the worst are named
_ENDS = 5
_Points = tuple[NDArray[np.floating], NDArray[np.floating]]


@dataclass(frozen=True)
class _Curve:
    """Curve for one attribute. An undefined curve has no points."""

    name: str
    prevalence: float
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    area: float = float("nan")
    undefined: str | None = None


@dataclass(frozen=True)
class _Kind:
    """Properties that differ between ROC figures and precision-recall figures.

    Attributes:
        measure: Name of the area under a curve.
        x_label: Label of the x-axis.
        y_label: Label of the y-axis.
        compute: Function that computes the points of a curve from labels, bool (N,), and probabilities, float (N,).
        drawstyle: Matplotlib ``drawstyle`` of the curves.
        chance_is_prevalence: If true, the chance level is the prevalence of the attribute. Otherwise, the chance level
            is the diagonal.
    """

    measure: str
    x_label: str
    y_label: str
    compute: Callable[[NDArray[np.bool_], NDArray[np.floating]], _Points]
    drawstyle: Literal["default", "steps-post"] = "default"
    chance_is_prevalence: bool = False


def _compute_roc(truth: NDArray[np.bool_], probabilities: NDArray[np.floating]) -> _Points:
    from sklearn.metrics import roc_curve  # It is slow to import, and other figures do not need it.

    x, y, _ = roc_curve(truth, probabilities)
    return x, y


def _compute_precision_recall(truth: NDArray[np.bool_], probabilities: NDArray[np.floating]) -> _Points:
    from sklearn.metrics import precision_recall_curve  # It is slow to import, and other figures do not need it.

    precision, recall, _ = precision_recall_curve(truth, probabilities, drop_intermediate=True)
    return recall, precision


_ROC = _Kind("AUROC", "false positive rate", "true positive rate (recall)", _compute_roc)
_PRECISION_RECALL = _Kind(
    "AP",
    "recall (true positive rate)",
    "precision",
    _compute_precision_recall,
    drawstyle="steps-post",
    chance_is_prevalence=True,
)


@matplotlib.rc_context(STYLE)
def roc_curves(
    labels: ArrayLike,
    probabilities: ArrayLike,
    names: Sequence[str],
    *,
    areas: ArrayLike,
    title: str,
) -> Figure:
    """Draw the receiver operating characteristic (ROC) curve for each attribute, with the area under it (AUROC).

    If there are at most eight attributes, the legend lists all of them in descending order of AUROC. Otherwise, the
    legend lists only up to five of the best and of the worst attributes, and the other curves are grey. Attributes with
    only one class have no curve. They are still listed in the legend, but are excluded from the mean.

    Args:
        labels: True labels of shape (N, K), each 0 or 1.
        probabilities: Predicted probabilities of shape (N, K), in [0, 1].
        names: Names of the K attributes.
        areas: AUROC for each attribute, of shape (K,), shown in the legend and used for sorting. Values for attributes
            without a curve are ignored.
        title: Figure title.

    Raises:
        ValueError: The shapes of the arrays do not match, or a value is out of range.
    """
    return _draw(_ROC, _trace(_ROC, labels, probabilities, names, areas), title, len(np.asarray(labels)))


@matplotlib.rc_context(STYLE)
def precision_recall_curves(
    labels: ArrayLike,
    probabilities: ArrayLike,
    names: Sequence[str],
    *,
    areas: ArrayLike,
    title: str,
) -> Figure:
    """Draw the precision-recall curve for each attribute, with its average precision (AP) and prevalence.

    The prevalence is the precision expected by chance. The legend and undefined curves follow the same rules as in
    :func:`roc_curves`.

    Args:
        labels: True labels of shape (N, K), each 0 or 1.
        probabilities: Predicted probabilities of shape (N, K), in [0, 1].
        names: Names of the K attributes.
        areas: Average precision for each attribute, of shape (K,), shown in the legend and used for sorting.
        title: Figure title.

    Raises:
        ValueError: The shapes of the arrays do not match, or a value is out of range.
    """
    curves = _trace(_PRECISION_RECALL, labels, probabilities, names, areas)
    return _draw(_PRECISION_RECALL, curves, title, len(np.asarray(labels)))


def _trace(
    kind: _Kind, labels: ArrayLike, probabilities: ArrayLike, names: Sequence[str], areas: ArrayLike
) -> list[_Curve]:
    """Compute the curve for each attribute."""
    truth, ranked_by = check_predictions(labels, probabilities, names)
    values = np.asarray(areas, dtype=float)
    if values.shape != (len(names),):
        raise ValueError(
            f"Areas must have shape (K,), with one area per name: got {values.shape} and {len(names)} names."
        )
    curves = []
    for k, name in enumerate(names):
        positive = truth[:, k]
        prevalence = float(positive.mean()) if positive.size else float("nan")
        reason = why_undefined(positive)
        if reason:
            curves.append(_Curve(name, prevalence, np.empty(0), np.empty(0), undefined=reason))
            continue
        x, y = kind.compute(positive, ranked_by[:, k])
        curves.append(_Curve(name, prevalence, *_thin(x, y), area=float(values[k])))
    return curves


def _thin(x: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Drop points that are visually indistinguishable from the previous point."""
    cells = np.round(np.stack([x, y]) * 1000)
    keep = np.ones(len(x), dtype=bool)
    keep[1:-1] = (cells[:, 1:-1] != cells[:, :-2]).any(axis=0)
    return x[keep], y[keep]


def _draw(kind: _Kind, curves: Sequence[_Curve], title: str, images: int) -> Figure:
    """Draw all curves in a new figure."""
    ranked = sorted((curve for curve in curves if not curve.undefined), key=lambda curve: -curve.area)
    note = f"{images:,} images"
    if len(curves) > 1 and ranked:
        mean = np.mean([curve.area for curve in ranked])
        note += f", mean {kind.measure} {mean:.3f} over {len(ranked)} of {len(curves)} attributes"
    figure = new_figure(*_size(len(curves), kind), title, note)
    ax = figure.add_subplot()
    if len(curves) > _NAMED:
        entries = _draw_crowd(ax, ranked, kind)
    else:
        # Colours depend on the attribute rather than its rank, so each attribute has the same colour in both kinds of
        # figure.
        looks = {
            curve.name: {"color": PALETTE[k], "linestyle": LINE_STYLES[k % len(LINE_STYLES)]}
            for k, curve in enumerate(curves)
        }
        several = len(curves) > 1
        entries = [_draw_curve(ax, curve, kind, several, **looks[curve.name]) for curve in ranked]
    if not ranked:
        write_centered(ax, "undefined: " + " or ".join(sorted({curve.undefined or "" for curve in curves})))
    entries += _draw_chance(ax, curves, kind) + _undefined_entries(curves)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=kind.x_label, ylabel=kind.y_label)
    finish_axes(ax)
    _add_legend(ax, entries, below=len(curves) == 1)
    return figure


def _size(count: int, kind: _Kind) -> tuple[float, float]:
    """Return the figure size, in inches, at which the axes are square."""
    if count == 1:
        return 5.6, 5.8
    return (10.2 if kind.chance_is_prevalence else 8.9), 5.4


def _add_legend(ax: Axes, entries: Sequence[Line2D], *, below: bool) -> None:
    # This is an axes legend, because a figure legend at "outside right upper" would overlap long titles.
    if below:
        legend = ax.legend(handles=entries, handlelength=2.6, loc="upper center", bbox_to_anchor=(0.5, -0.11))
    else:
        legend = ax.legend(
            handles=entries, handlelength=2.6, loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0
        )
    for entry, text in zip(entries, legend.get_texts(), strict=True):
        text.set_parse_math(False)
        text.set_fontweight("bold" if entry.get_gid() == "heading" else "normal")


def _draw_curve(ax: Axes, curve: _Curve, kind: _Kind, several: bool, **look: Any) -> Line2D:
    """Draw a curve. If there are several precision-recall curves, their labels include the prevalence."""
    label = f"{curve.name}  {kind.measure} {curve.area:.3f}"
    if several and kind.chance_is_prevalence:
        label += f" (prevalence {curve.prevalence:.3f})"
    return ax.plot(curve.x, curve.y, drawstyle=kind.drawstyle, label=label, **look)[0]


def _draw_crowd(ax: Axes, ranked: Sequence[_Curve], kind: _Kind) -> list[Line2D]:
    """Draw many curves, with only the best and the worst in colour, and return the legend entries."""
    best, worst = ranked[:_ENDS], ranked[_ENDS:][-_ENDS:]
    middle = ranked[len(best) : len(ranked) - len(worst)]
    for curve in middle:
        _draw_curve(ax, curve, kind, several=True, color=GRAY, linewidth=0.7, alpha=0.55)
    entries: list[Line2D] = []
    for heading, curves, color in (("Highest", best, BLUE), ("Lowest", worst, VERMILLION)):
        if curves:
            entries.append(Line2D([], [], linestyle="", gid="heading", label=f"{heading} {kind.measure}"))
            styles = LINE_STYLES[: len(curves)]
            entries += [
                _draw_curve(ax, curve, kind, several=True, color=color, linestyle=style, linewidth=1.5)
                for curve, style in zip(curves, styles, strict=True)
            ]
    if middle:
        entries.append(
            Line2D([], [], color=GRAY, linewidth=0.7, label=f"{len(middle)} other attribute{'s' * (len(middle) > 1)}")
        )
    return entries


def _draw_chance(ax: Axes, curves: Sequence[_Curve], kind: _Kind) -> list[Line2D]:
    """Draw the chance level, which precision-recall figures show only for a single attribute."""
    look: dict[str, Any] = {"color": BLACK, "linestyle": ":", "linewidth": 1.3, "zorder": 1}
    if not kind.chance_is_prevalence:
        return ax.plot([0, 1], [0, 1], label="chance", **look)
    if len(curves) > 1 or curves[0].undefined:
        return []
    level = curves[0].prevalence
    return ax.plot([0, 1], [level, level], label=f"chance (prevalence {level:.3f})", **look)


def _undefined_entries(curves: Sequence[_Curve]) -> list[Line2D]:
    """Return legend entries without lines for attributes that have no curve."""
    labels = [f"{curve.name}: undefined ({curve.undefined})" for curve in curves if curve.undefined]
    if len(labels) > _NAMED:
        labels = [*labels[: _NAMED - 1], f"and {len(labels) - _NAMED + 1} more undefined"]
    return [Line2D([], [], linestyle="", label=label) for label in labels]
