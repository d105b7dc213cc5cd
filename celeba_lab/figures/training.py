"""Learning curves of a classifier."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from celeba_lab.figures.style import BLACK, BLUE, ORANGE, STYLE, finish_axes, integer_ticks, new_figure, write_centered

# Line styles and markers distinguish the splits even in black and white.
_SPLITS = {
    "train": {"color": ORANGE, "linestyle": (0, (5, 1.5)), "marker": "o", "markerfacecolor": "white", "label": "train"},
    "val": {"color": BLUE, "linestyle": "-", "marker": "s", "label": "validation"},
}


@matplotlib.rc_context(STYLE)
def learning_curves(
    history: pd.DataFrame,
    *,
    title: str,
    best_epoch: int,
    majority_accuracy: float | None = None,
) -> Figure:
    """Draw curves of the training and validation loss and accuracy.

    Args:
        history: Table with any of the columns ``epoch``, ``train/loss``, ``val/loss``, ``train/accuracy`` and
            ``val/accuracy``, with accuracies in [0, 1]. Values can be NaN. Rows with the same epoch are merged. If
            there is no ``epoch`` column, the rows correspond to epochs 0, 1, 2, ...
        title: Figure title.
        best_epoch: Epoch of the reported checkpoint.
        majority_accuracy: Accuracy of always predicting the majority class, in [0, 1], drawn as a dotted line.
    """
    table = _by_epoch(history)
    figure = new_figure(9.6, 4.3, title, _describe(table, best_epoch))
    left, right = figure.subplots(1, 2, sharex=True)
    for ax, metric in ((left, "loss"), (right, "accuracy")):
        _draw_metric(ax, table, metric, best_epoch)
    if majority_accuracy is not None:
        label = f"majority class {majority_accuracy:.3f}"
        right.axhline(majority_accuracy, color=BLACK, linestyle=":", linewidth=1.5, label=label)
    if right.get_ylim()[1] > 1:
        right.set_ylim(top=1.005)  # Avoid ticks above an accuracy of 1, but leave space for markers at 1.
    if len(table):
        margin = max(0.4, 0.02 * len(table))
        left.set_xlim(table.index.min() - margin, table.index.max() + margin)
    handles = {handle.get_label(): handle for ax in (left, right) for handle in ax.get_legend_handles_labels()[0]}
    if handles:
        figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=len(handles))
    return figure


@matplotlib.rc_context(STYLE)
def learning_rate_search(rates: Sequence[float], losses: Sequence[float], *, lr: float, title: str) -> Figure:
    """Draw the loss while the learning rate rose, and the learning rate that was chosen.

    Args:
        rates: Learning rate of each step.
        losses: Smoothed loss of each step. Values can be NaN.
        lr: The chosen learning rate.
        title: Figure title.
    """
    figure = new_figure(7.2, 4.0, title, f"Chosen learning rate: {lr:.3g}, where the loss fell fastest")
    ax = figure.subplots()
    ax.plot(rates, losses, color=BLUE)
    ax.axvline(lr, color=ORANGE, linestyle=(0, (5, 1.5)))
    near = min(range(len(rates)), key=lambda step: abs(np.log(rates[step] / lr)))
    ax.plot([rates[near]], [losses[near]], marker="o", markersize=8, color=ORANGE, linestyle="")
    ax.set_xscale("log")
    ax.set(xlabel="learning rate", ylabel="smoothed loss")
    # The last losses can be many times as high as the others.
    shown = [loss for loss in losses if np.isfinite(loss)]
    if shown:
        low, high = min(shown), float(np.quantile(shown, 0.9))
        margin = max(0.1 * (high - low), 1e-3)
        ax.set_ylim(low - margin, high + 5 * margin)
    finish_axes(ax)
    return figure


def _by_epoch(history: pd.DataFrame) -> pd.DataFrame:
    """Merge the rows of each epoch, because loggers often write training and validation metrics in separate rows."""
    table = history if "epoch" in history else history.assign(epoch=np.arange(len(history)))
    table = table.dropna(subset=["epoch"])
    return table.assign(epoch=table["epoch"].astype(int)).groupby("epoch").last()


def _describe(table: pd.DataFrame, best_epoch: int) -> str:
    """Return a sentence about the best epoch and its validation metrics."""
    found = [(metric, _value(table, f"val/{metric}", best_epoch)) for metric in ("loss", "accuracy")]
    values = ", ".join(f"validation {metric} {value:.3f}" for metric, value in found if value is not None)
    return f"Best epoch {best_epoch}: {values}" if values else f"Best epoch {best_epoch}"


def _value(table: pd.DataFrame, column: str, epoch: int) -> float | None:
    values = table[column].dropna() if column in table else pd.Series(dtype=float)
    return float(values[epoch]) if epoch in values.index else None


def _draw_metric(ax: Axes, table: pd.DataFrame, metric: str, best_epoch: int) -> None:
    """Draw one metric for both splits, and mark the best epoch."""
    for split, look in _SPLITS.items():
        values = table.get(f"{split}/{metric}", pd.Series(dtype=float)).dropna()
        if len(values):
            # Limit each line to about twenty markers, because more would hide the line.
            ax.plot(values.index, values, markevery=max(1, len(values) // 20), markersize=5, **look)  # type: ignore[arg-type]
    if not ax.lines:
        write_centered(ax, f"no {metric} was recorded")
    else:
        ax.axvline(best_epoch, color=BLACK, linewidth=1, alpha=0.5, zorder=1)
        value = _value(table, f"val/{metric}", best_epoch)
        if value is not None:
            star = {"marker": "*", "markersize": 15, "color": BLACK, "markeredgecolor": "white"}
            ax.plot([best_epoch], [value], linestyle="", zorder=5, label=f"best epoch {best_epoch}", **star)  # type: ignore[arg-type]
    ax.set(xlabel="epoch", ylabel=metric)
    integer_ticks(ax.xaxis)
    finish_axes(ax)
