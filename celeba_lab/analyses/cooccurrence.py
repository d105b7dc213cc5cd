"""Co-occurrence of attributes, and measures of their association."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform


@dataclass(frozen=True)
class Cooccurrence:
    """Co-occurrence of K attributes and measures of their association.

    In each table, rows correspond to attribute A and columns to attribute B. Undefined values are NaN.

    Attributes:
        n: Number of images.
        joint: Number of images with both attributes, int64 (K, K). The diagonal contains the number of images with each
            attribute.
        conditional: Conditional probability P(A | B), float64 (K, K), in [0, 1]. The probability is undefined if B
            never occurs.
        lift: Ratio P(A, B) / (P(A) P(B)), float64 (K, K), at least 0. The lift is 1 for independent attributes and
            undefined if A or B never occurs.
        phi: Pearson correlation of the two binary variables, float64 (K, K), in [-1, 1]. The correlation is undefined
            if A or B is constant.
        pmi: Pointwise mutual information in bits (Church and Hanks, 1990), float64 (K, K). The PMI is the base-2
            logarithm of the lift, so it is -inf for attributes that never occur together.

    Example:
        >>> found = Cooccurrence.of(np.array([[1, 1], [1, 0], [0, 0], [0, 0]]))
        >>> found.joint
        array([[2, 1],
               [1, 1]])
        >>> found.conditional
        array([[1. , 1. ],
               [0.5, 1. ]])
    """

    n: int
    joint: np.ndarray
    conditional: np.ndarray
    lift: np.ndarray
    phi: np.ndarray
    pmi: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> "Cooccurrence":
        """Compute the co-occurrence of binary labels of shape (N, K), with N at least 1."""
        n = len(labels)
        joint = count_together(labels, labels)
        count = np.diag(joint).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            conditional = joint / count
            lift = n * joint / np.outer(count, count)
            spread = count * (n - count)
            phi = (n * joint - np.outer(count, count)) / np.sqrt(np.outer(spread, spread))
            return cls(n, joint, conditional, lift, phi, np.log2(lift))

    def tables(self) -> dict[str, np.ndarray]:
        """Return the five tables as a dictionary keyed by table name."""
        return {name: getattr(self, name) for name in ("joint", "conditional", "lift", "phi", "pmi")}


def count_together(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each column of ``first`` and each column of ``second``, count the rows in which both are 1.

    Args:
        first: Labels of shape (N, J), each 0 or 1.
        second: Labels of the same rows, of shape (N, K), each 0 or 1.

    Returns:
        Counts, int64 (J, K).
    """
    together = np.zeros((first.shape[1], second.shape[1]), dtype=np.int64)
    # BLAS is fastest in float32. However, float32 is exact only for integers up to 2 ** 24, so large tables are
    # processed in parts.
    for start in range(0, len(first), 2**23):
        rows = slice(start, start + 2**23)
        together += (first[rows].T.astype(np.float32) @ second[rows].astype(np.float32)).astype(np.int64)
    return together


def cluster_attributes(phi: np.ndarray) -> np.ndarray:
    """Cluster attributes hierarchically, using average linkage and the distance 1 - phi.

    Args:
        phi: Correlations, float64 (K, K), with K at least 2. Undefined correlations are treated as 0.

    Returns:
        SciPy linkage matrix, float64 (K - 1, 4). The leaves are ordered so that similar attributes are adjacent
        (Bar-Joseph et al., 2001).
    """
    distance = 1 - np.nan_to_num((phi + phi.T) / 2)
    np.fill_diagonal(distance, 0)
    condensed = squareform(np.maximum(distance, 0), checks=False)
    tree: np.ndarray = optimal_leaf_ordering(linkage(condensed, "average"), condensed)
    return tree


def pair_table(found: Cooccurrence, attributes: Sequence[str]) -> pd.DataFrame:
    """Return a table with one row per pair of attributes, sorted by absolute phi in descending order, with NaN last."""
    first, second = np.triu_indices(len(attributes), k=1)
    names = np.array(attributes)
    frame = pd.DataFrame(
        {
            "first": names[first],
            "second": names[second],
            "both": found.joint[first, second],
            "P(first | second)": found.conditional[first, second],
            "P(second | first)": found.conditional[second, first],
            "lift": found.lift[first, second],
            "phi": found.phi[first, second],
            "pmi": found.pmi[first, second],
        }
    )
    return frame.sort_values("phi", key=abs, ascending=False, kind="stable", ignore_index=True)
