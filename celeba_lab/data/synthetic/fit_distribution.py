"""Fit ``distribution.csv`` to the annotations of CelebA.

    python -m celeba_lab.data.synthetic.fit_distribution path/to/celeba

The result contains 40 intercepts and 780 weights, but no data rows.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import expit
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from celeba_lab.console import console
from celeba_lab.data.annotations import Annotations
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.synthetic.distribution import TABLE, AttributeDistribution

_HEADER = """\
A model of the joint distribution of CelebA's forty attributes, fitted to the labels of all {n:,} images. It is a chain
of logistic regressions, in which each attribute depends on the attributes above it in this table:
P(attribute = 1) = sigmoid(intercept + sum of the weights of the attributes above it that are present).
The table was written by fit_distribution.py. It contains only coefficients and no rows of the data."""


def fit(labels: np.ndarray, inverse_penalty: float = 100.0) -> AttributeDistribution:
    """Fit a chain of logistic regressions to labels, starting with the most frequent attribute.

    Args:
        labels: Binary labels with columns in the order of ``ATTRIBUTES``, (N, 40).
        inverse_penalty: Inverse regularisation strength, ``C`` in scikit-learn. Without regularisation, the weights of
            attributes that never occur together would grow without bound.
    """
    order = np.argsort(-labels.mean(axis=0), kind="stable")
    chain = labels[:, order].astype(np.float64)
    k_all = chain.shape[1]
    intercept, weight = np.zeros(k_all), np.zeros((k_all, k_all))
    intercept[0] = np.log(chain[:, 0].mean() / (1 - chain[:, 0].mean()))
    for k in range(1, k_all):
        model = LogisticRegression(C=inverse_penalty, max_iter=1000).fit(chain[:, :k], chain[:, k])
        intercept[k], weight[k, :k] = model.intercept_[0], model.coef_[0]
    model = AttributeDistribution(tuple(ATTRIBUTES[j] for j in order), intercept, weight)
    return calibrate(model, chain.mean(axis=0))


def calibrate(model: AttributeDistribution, prevalence: np.ndarray, n: int = 400_000) -> AttributeDistribution:
    """Adjust the intercepts so that samples from the model have the given prevalences.

    The intercepts were fitted to the combinations of preceding attributes in the real labels. In a sample, these
    combinations occur with slightly different frequencies. Without the adjustment, the prevalences would therefore
    differ as well.

    Args:
        model: The fitted model.
        prevalence: Target prevalence of each attribute, in the model's attribute order, (40,).
        n: Number of faces to sample.
    """
    chance = np.random.default_rng(0).random((n, len(prevalence)))
    drawn, intercept = np.zeros(chance.shape), model.intercept.copy()
    for k, wanted in enumerate(prevalence):
        others = drawn[:, :k] @ model.weight[k, :k]
        for _ in range(8):  # Newton's method
            p = expit(intercept[k] + others)
            intercept[k] += (wanted - p.mean()) / (p * (1 - p)).mean()
        drawn[:, k] = chance[:, k] < expit(intercept[k] + others)
    return AttributeDistribution(model.order, intercept, model.weight)


def conditional(labels: np.ndarray) -> np.ndarray:
    """Return P(A | B) for all pairs, with A in the rows, float64 (40, 40). Values are NaN if B never occurs."""
    x = labels.astype(np.float64)
    with np.errstate(invalid="ignore"):
        given: np.ndarray = (x.T @ x) / x.sum(axis=0)
    return given


def main() -> None:
    """Fit and save the model, and print comparisons of its samples with CelebA."""
    parser = argparse.ArgumentParser(description="Fit the model of CelebA's attributes.")
    parser.add_argument("root", type=Path, help="folder that contains CelebA's list_attr_celeba")
    parser.add_argument("--out", type=Path, default=TABLE)
    arguments = parser.parse_args()
    labels = Annotations.load(arguments.root).labels
    fit(labels).save(arguments.out, _HEADER.format(n=len(labels)))
    drawn = AttributeDistribution.load(arguments.out).sample(200_000, seed=0)
    for comparison in (compare, compare_predictability, compare_clusters):
        console.print(comparison(labels, drawn), soft_wrap=True)


def compare(real: np.ndarray, drawn: np.ndarray, worst: int = 10) -> str:
    """Compare prevalences and P(A | B) in sampled and real labels, for all B with a prevalence of at least 2%."""
    prevalence = drawn.mean(axis=0) - real.mean(axis=0)
    gap = conditional(drawn) - conditional(real)
    frequent = real.mean(axis=0) >= 0.02
    pairs = [(a, b) for a in range(len(ATTRIBUTES)) for b in np.flatnonzero(frequent) if a != b]
    gaps = np.array([gap[pair] for pair in pairs])
    k = int(np.abs(prevalence).argmax())
    lines = [
        f"prevalence: largest error {100 * prevalence[k]:+.2f} percentage points ({ATTRIBUTES[k]})",
        f"P(A|B), {len(pairs)} ordered pairs: mean absolute error {np.abs(gaps).mean():.4f},"
        f" largest {np.abs(gaps).max():.4f}",
        *(
            f"  {gaps[j]:+.4f}  P({ATTRIBUTES[pairs[j][0]]} | {ATTRIBUTES[pairs[j][1]]})"
            for j in np.argsort(-np.abs(gaps))[:worst]
        ),
    ]
    return "\n".join(lines)


def compare_predictability(real: np.ndarray, drawn: np.ndarray, n: int = 40_000) -> str:
    """Compare real and sampled labels by how accurately each attribute can be predicted from the other 39."""
    accuracy = np.array([[_accuracy(labels, k, n) for k in range(len(ATTRIBUTES))] for labels in (real, drawn)])
    gap = accuracy[1] - accuracy[0]
    k = int(np.abs(gap).argmax())
    return (
        f"logistic regression on the other 39 labels: mean accuracy {accuracy[0].mean():.4f} real,"
        f" {accuracy[1].mean():.4f} sampled; mean absolute difference {np.abs(gap).mean():.4f},"
        f" largest {gap[k]:+.4f} ({ATTRIBUTES[k]}), correlation {np.corrcoef(accuracy)[0, 1]:.4f}"
    )


def _accuracy(labels: np.ndarray, k: int, n: int) -> float:
    rows = np.random.default_rng(0).permutation(len(labels))
    x, y = np.delete(labels, k, axis=1).astype(np.float32), labels[:, k]
    train, test = rows[:n], rows[n : 2 * n]
    return float(LogisticRegression(max_iter=300).fit(x[train], y[train]).score(x[test], y[test]))


def compare_clusters(real: np.ndarray, drawn: np.ndarray) -> str:
    """Compare five clusters of real labels with five clusters of sampled labels.

    K-means finds different clusters with each seed. Even a perfect model would therefore differ from the real labels
    by about as much as two seeds differ on the real labels.
    """
    scaler = StandardScaler().fit(real)
    first, second, other = (_cluster_means(scaler, *pair) for pair in ((real, 42), (real, 43), (drawn, 42)))
    return (
        "mean absolute difference between the forty means of five matched clusters:"
        f" {_distance(first, other):.3f} between real and sampled labels, {_distance(first, second):.3f} between two"
        " seeds on real labels"
    )


def _cluster_means(scaler: StandardScaler, labels: np.ndarray, seed: int) -> np.ndarray:
    model = MiniBatchKMeans(5, random_state=seed, batch_size=1000, n_init=10).fit(scaler.transform(labels))
    means: np.ndarray = scaler.inverse_transform(model.cluster_centers_)  # (5, 40)
    return means


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    rows, columns = linear_sum_assignment(np.abs(first[:, None] - second[None]).mean(axis=2))
    return float(np.abs(first[rows] - second[columns]).mean())


if __name__ == "__main__":
    main()
