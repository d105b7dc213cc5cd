"""Count which attributes occur together."""

from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from scipy.cluster.hierarchy import leaves_list

from celeba_lab import figures
from celeba_lab.analyses.cooccurrence import Cooccurrence, cluster_attributes, pair_table
from celeba_lab.console import show_table
from celeba_lab.data.describe import summary_of_data
from celeba_lab.engine.build import sample_labels
from celeba_lab.errors import UserError
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.run import RunFolder, log_settings, open_run, show_ending, task_name

_PAIRS = "The fifteen pairs that go together most, and the fifteen that exclude each other most"
_TREE = "Attributes that are joined far to the left go together"
_SHOWN = ["first", "second", "both", "lift", "phi"]


def cooccurrence(cfg: DictConfig, attributes: list[str] | None = None, fraction: float = 1.0) -> dict[str, float]:
    """Write joint counts, P(A | B), lift, phi and pointwise mutual information of every pair of attributes.

    Args:
        cfg: the configuration.
        attributes: at least two; all forty by default.
        fraction: of the rows in use.

    Returns:
        ``images`` and the largest and smallest ``phi``.

    Raises:
        UserError: a setting or the data cannot be used.
    """
    sample = sample_labels(cfg, attributes, fraction)
    names = sample.attributes
    if len(names) < 2:
        raise UserError("task.attributes names one attribute; at least two are needed, to see which go together.")
    run = open_run(cfg)
    with run.timed("compute"):
        found = Cooccurrence.of(sample.labels)
    pairs = pair_table(found, names)
    with run.timed("report"):
        for name, values in found.tables().items():
            run.matrix(name, values, names, names, corner="attribute")
        run.table("pairs", pairs)
        _draw(run, found, names, sample.source)
    metrics = {
        "images": float(found.n),
        "phi/largest": float(pairs["phi"].max()),
        "phi/smallest": float(pairs["phi"].min()),
    }
    log_settings(cfg, run, metrics)
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=summary_of_data(sample.datamodule),
        rows=found.n,
        metrics=metrics,
        device=device_name(torch.device("cpu")),
    )
    show_table(f"{sample.source}: the strongest pairs", pairs[_SHOWN], most=10)
    show_table("the pairs nearest to independence", pairs.loc[pairs["phi"].notna(), _SHOWN][::-1], most=5)
    show_ending(run.path, [])
    return metrics


def _draw(run: RunFolder, found: Cooccurrence, names: list[str], title: str) -> None:
    tree = cluster_attributes(found.phi)
    order = leaves_list(tree)
    ordered = [names[k] for k in order]
    square = np.ix_(order, order)
    off_diagonal = np.where(np.eye(len(names), dtype=bool), np.nan, 1.0)
    heatmaps: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "conditional": (
            found.conditional,
            {
                "label": "P(A | B)",
                "limits": (0, 1),
                "row_title": "A",
                "column_title": "B",
                "note": "The share of the faces with attribute B (column) that also have attribute A (row)",
            },
        ),
        "phi": (
            found.phi * off_diagonal,
            {
                "label": "phi",
                "scale": "diverging",
                "note": "The correlation of two attributes; the diagonal is left out",
            },
        ),
        "lift": (
            found.lift * off_diagonal,
            {
                "label": "lift",
                "scale": "ratio",
                "limits": (1 / 16, 16),
                "note": "How many times as often as if they were independent two attributes meet; no diagonal",
            },
        ),
    }
    for name, (values, options) in heatmaps.items():
        run.figure(name, figures.matrix_heatmap(values[square], ordered, ordered, title=title, **options))
    run.figure("pairs", figures.strongest_pairs(found.phi, names, label="phi (correlation)", title=title, note=_PAIRS))
    run.figure(
        "dendrogram",
        figures.dendrogram(tree, names, label="distance (1 - phi, average linkage)", title=title, note=_TREE),
    )
