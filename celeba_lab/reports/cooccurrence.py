"""The report for ``task=cooccurrence``: attributes that occur together."""

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list

from celeba_lab import figures
from celeba_lab.analyses.cooccurrence import Cooccurrence, cluster_attributes
from celeba_lab.console import show_table
from celeba_lab.runs.folder import RunFolder

_SHOWN = ["first", "second", "both", "lift", "phi"]


def write_cooccurrence(run: RunFolder, found: Cooccurrence, pairs: pd.DataFrame, names: list[str], title: str) -> None:
    """Write a matrix for each measure, the table of pairs, and the figures.

    Args:
        run: Run folder for the tables and figures.
        found: Co-occurrence measures for all pairs of attributes.
        pairs: Table from :func:`~celeba_lab.analyses.cooccurrence.pair_table`.
        names: Names of the K attributes.
        title: Title for all figures.
    """
    for name, values in found.tables().items():
        run.matrix(name, values, names, names, corner="attribute")
    run.table("pairs", pairs)
    tree = cluster_attributes(found.phi)
    _draw_heatmaps(run, found, names, leaves_list(tree), title)
    strongest = figures.strongest_pairs(
        found.phi,
        names,
        label="phi (correlation)",
        title=title,
        note="The fifteen pairs with the highest correlation and the fifteen with the lowest",
    )
    run.figure("pairs", strongest)
    dendrogram = figures.dendrogram(
        tree,
        names,
        label="distance (1 - phi, average linkage)",
        title=title,
        note="Attributes that are joined further to the left are more strongly correlated",
    )
    run.figure("dendrogram", dendrogram)


def _draw_heatmaps(run: RunFolder, found: Cooccurrence, names: list[str], order: np.ndarray, title: str) -> None:
    """Draw heat maps of P(A | B), phi and lift, with related attributes next to each other."""
    ordered = [names[k] for k in order]
    square = np.ix_(order, order)
    off_diagonal = np.where(np.eye(len(names), dtype=bool), np.nan, 1.0)
    conditional = figures.matrix_heatmap(
        found.conditional[square],
        ordered,
        ordered,
        label="P(A | B)",
        title=title,
        limits=(0, 1),
        row_title="A",
        column_title="B",
        note="Share of faces with attribute B (column) that also have attribute A (row)",
    )
    run.figure("conditional", conditional)
    phi = figures.matrix_heatmap(
        (found.phi * off_diagonal)[square],
        ordered,
        ordered,
        label="phi",
        title=title,
        scale="diverging",
        note="Correlation between two attributes. The diagonal is omitted",
    )
    run.figure("phi", phi)
    lift = figures.matrix_heatmap(
        (found.lift * off_diagonal)[square],
        ordered,
        ordered,
        label="lift",
        title=title,
        scale="ratio",
        limits=(1 / 16, 16),
        note="How often two attributes occur together, relative to the frequency expected if they were independent."
        " The diagonal is omitted",
    )
    run.figure("lift", lift)


def show_cooccurrence(pairs: pd.DataFrame, title: str) -> None:
    """Print the pairs with the strongest association and the pairs closest to independence."""
    show_table(f"{title}: strongest pairs", pairs[_SHOWN], most=10)
    show_table("pairs closest to independence", pairs.loc[pairs["phi"].notna(), _SHOWN][::-1], most=5)
