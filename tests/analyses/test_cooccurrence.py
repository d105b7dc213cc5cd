"""Co-occurrence tables match manual computations, scikit-learn and the notebook."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import leaves_list
from sklearn.metrics import matthews_corrcoef

from celeba_lab.analyses.cooccurrence import Cooccurrence, cluster_attributes
from celeba_lab.data.annotations import Annotations
from celeba_lab.data.attributes import ATTRIBUTES

# A occurs in rows 0-2, B occurs in rows 1-4, C never occurs, D always occurs, and E is identical to A.
LABELS = np.array(
    [[1, 0, 0, 1, 1], [1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [0, 1, 0, 1, 0], [0, 1, 0, 1, 0], [0, 0, 0, 1, 0]],
    dtype=np.int8,
)
A, B, C, D, E = range(5)


@pytest.fixture(scope="module")
def found() -> Cooccurrence:
    return Cooccurrence.of(LABELS)


def test_counts_equal_values_computed_by_hand(found: Cooccurrence) -> None:
    assert found.n == 6
    assert found.joint[A, B] == found.joint[B, A] == 2
    assert np.diag(found.joint).tolist() == [3, 4, 0, 6, 3]


def test_conditional_probabilities_equal_values_computed_by_hand(found: Cooccurrence) -> None:
    assert found.conditional[A, B] == pytest.approx(2 / 4)
    assert found.conditional[B, A] == pytest.approx(2 / 3)
    assert found.conditional[D, A] == 1
    assert found.conditional[C, A] == 0
    assert np.isnan(found.conditional[:, C]).all(), "P(A | B) must be undefined if B never occurs"


def test_lift_and_mutual_information_equal_values_computed_by_hand(found: Cooccurrence) -> None:
    assert found.lift[A, B] == pytest.approx((2 / 6) / ((3 / 6) * (4 / 6)))
    assert found.pmi[A, E] == pytest.approx(1), "identical attributes with a prevalence of 0.5 share one bit"
    assert np.isnan(found.lift[A, C])
    assert np.isnan(found.pmi[A, C])


def test_the_mutual_information_of_disjoint_attributes_is_minus_infinity() -> None:
    apart = Cooccurrence.of(np.array([[1, 0], [0, 1], [0, 0]], dtype=np.int8))
    assert apart.pmi[0, 1] == -np.inf
    assert apart.lift[0, 1] == 0


def test_phi_equals_the_correlation_coefficient(found: Cooccurrence) -> None:
    assert found.phi[A, B] == pytest.approx(matthews_corrcoef(LABELS[:, A], LABELS[:, B]))
    assert found.phi[A, E] == pytest.approx(1)
    assert np.isnan(found.phi[A, C])
    assert np.isnan(found.phi[A, D]), "the correlation with a constant must be undefined"


@pytest.mark.parametrize("rows", [1, 2])
def test_one_or_two_rows_are_allowed(rows: int) -> None:
    few = Cooccurrence.of(LABELS[:rows])
    assert few.joint[A, E] == rows
    assert few.conditional[D, A] == 1


def test_neighbouring_leaves_of_the_dendrogram_are_similar() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2, (2, 500))
    noise = rng.random((4, 500)) < 0.05
    labels = np.stack([first, second, first ^ noise[0], second ^ noise[1], np.zeros(500, int)], axis=1)
    leaves = leaves_list(cluster_attributes(Cooccurrence.of(labels).phi)).tolist()
    assert abs(leaves.index(0) - leaves.index(2)) == 1
    assert abs(leaves.index(1) - leaves.index(3)) == 1


def test_counts_are_exact_beyond_the_range_of_float32() -> None:
    """float32 cannot represent 2 ** 24 + 1, so rows must be counted in parts."""
    n = 2**24 + 3
    ones = np.broadcast_to(np.ones((1, 2), dtype=np.int8), (n, 2))
    assert Cooccurrence.of(ones).joint.tolist() == [[n, n], [n, n]]


def test_the_table_agrees_with_the_notebook(shared: Path) -> None:
    labels = Annotations.load(shared / "celeba").labels
    reference = pd.read_csv(shared / "reference" / "conditional_probability.csv").set_index("A_given_B")
    ours = pd.DataFrame(Cooccurrence.of(labels).conditional, index=list(ATTRIBUTES), columns=list(ATTRIBUTES))
    np.testing.assert_allclose(ours.loc[reference.index, reference.columns], reference, atol=1e-6, rtol=0)
