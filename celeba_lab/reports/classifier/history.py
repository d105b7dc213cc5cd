"""Metrics after each training epoch."""

import numpy as np
import pandas as pd

from celeba_lab import figures
from celeba_lab.reports.attribute_table import mean_majority_accuracy
from celeba_lab.reports.page.page import PageTable, Picture, Section
from celeba_lab.runs.folder import RunFolder

_PREFIX = "val/accuracy/"


def report_history(
    run: RunFolder, history: pd.DataFrame, best_epoch: int, val: pd.DataFrame, title: str
) -> Section | None:
    """Write the loss and accuracy curves, and the validation accuracy for each attribute after each epoch.

    Args:
        run: Run folder for the tables and figures.
        history: Metrics with one row per epoch and one column per metric.
        best_epoch: Epoch of the reported checkpoint.
        val: Table from :func:`~celeba_lab.reports.attribute_table.attribute_table` for the validation split.
        title: Title for the figures.

    Returns:
        The section, or None if the history is empty.
    """
    if history.empty:
        return None
    run.table("history", history)
    majority = mean_majority_accuracy(val)
    curves = figures.learning_curves(history, title=title, best_epoch=best_epoch, majority_accuracy=majority)
    caption = "Training and validation loss and accuracy after each epoch. A star marks the reported checkpoint."
    path = run.figure("learning_curves", curves)
    pictures, tables = [Picture(path, caption, alt=f"learning curves: {caption}")], []
    by_attribute = _write_attributes(run, history, val, title)
    if by_attribute is not None:
        tables.append(by_attribute[0])
        pictures.append(by_attribute[1])
    text = (
        f"The reported checkpoint is from epoch {best_epoch}. By default, this is the epoch with the highest"
        " validation accuracy."
    )
    return Section("Training", text, tables=tables, pictures=pictures)


def _write_attributes(
    run: RunFolder, history: pd.DataFrame, val: pd.DataFrame, title: str
) -> tuple[PageTable, Picture] | None:
    """Write the validation accuracy for each attribute after each epoch, sorted by the gain over the majority class."""
    measured = [name for name in history if str(name).startswith(_PREFIX)]
    rows = history.dropna(subset=measured, how="all")
    if not measured or rows.empty:
        return None
    ordered = val.sort_values("gain", ascending=False).set_index("attribute")
    names = ordered.index.tolist()
    accuracy = rows[[f"{_PREFIX}{name}" for name in names]].to_numpy().T  # (K, epochs)
    columns = ["majority", *(f"epoch {epoch}" for epoch in rows["epoch"])]
    values = np.column_stack([ordered["majority_accuracy"].to_numpy(), accuracy])
    file = run.matrix("attributes_by_epoch", values, names, columns, corner="attribute")
    note = "Validation accuracy of the majority-class prediction and of the network after each epoch, sorted by gain"
    figure = figures.matrix_heatmap(
        values,
        names,
        columns,
        label="validation accuracy",
        limits=(0.5, 1),
        annotate=".3f",
        title=title,
        note=note,
    )
    frame = pd.DataFrame(values, columns=columns)
    frame.insert(0, "attribute", names)
    path = run.figure("attributes_by_epoch", figure)
    return (
        PageTable("Validation accuracy after each epoch", frame, file=f"tables/{file.name}"),
        Picture(path, f"{note}.", alt="validation accuracy for each attribute after each epoch"),
    )
