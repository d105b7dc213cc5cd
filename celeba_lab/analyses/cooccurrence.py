"""Which attributes go together: five 40 x 40 tables from one matrix product."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform


@dataclass(frozen=True)
class Cooccurrence:
    """How often pairs of attributes occur together, and what follows from it.

    In every table the first attribute, A, is the row and the second, B, is the column. What the data do not define is
    NaN.

    Attributes:
        n: images.
        joint: int64 (K, K): images with both; on the diagonal, images with the attribute.
        conditional: float64 (K, K): P(A | B), 0..1; undefined where B never occurs.
        lift: float64 (K, K): P(A, B) / (P(A) P(B)), from 0; 1 for independent attributes; undefined where A or B never
            occurs.
        phi: float64 (K, K): Pearson's correlation of two binary variables, -1..1; undefined where A or B is constant.
        pmi: float64 (K, K): pointwise mutual information, the logarithm of the lift to base 2, in bits; -inf for
            attributes that never occur together (Church and Hanks, 1990).
    """

    n: int
    joint: np.ndarray
    conditional: np.ndarray
    lift: np.ndarray
    phi: np.ndarray
    pmi: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> "Cooccurrence":
        """Count labels, (N, K) of 0 and 1, N at least 1."""
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
        """Return the five tables by name."""
        return {name: getattr(self, name) for name in ("joint", "conditional", "lift", "phi", "pmi")}


def count_together(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return int64 (J, K): in how many rows of (N, J) and (N, K), of 0 and 1, two columns are both 1."""
    together = np.zeros((first.shape[1], second.shape[1]), dtype=np.int64)
    # float32 for the speed of BLAS; it counts exactly up to 2 ** 24, so larger tables go in pieces.
    for start in range(0, len(first), 2**23):
        rows = slice(start, start + 2**23)
        together += (first[rows].T.astype(np.float32) @ second[rows].astype(np.float32)).astype(np.int64)
    return together


def cluster_attributes(phi: np.ndarray) -> np.ndarray:
    """Join attributes that go together, by average linkage on the distance 1 - phi.

    Args:
        phi: float64 (K, K), K at least 2; undefined correlations count as 0.

    Returns:
        SciPy's linkage matrix, (K - 1, 4), its leaves ordered so that neighbours are alike (Bar-Joseph et al., 2001).
    """
    distance = 1 - np.nan_to_num((phi + phi.T) / 2)
    np.fill_diagonal(distance, 0)
    condensed = squareform(np.maximum(distance, 0), checks=False)
    return optimal_leaf_ordering(linkage(condensed, "average"), condensed)


def pair_table(found: Cooccurrence, attributes: Sequence[str]) -> pd.DataFrame:
    """Return one row for each pair of attributes, the largest absolute phi first and undefined ones last."""
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
