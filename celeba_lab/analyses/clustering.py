"""Groups of faces, by any clusterer of scikit-learn, and what can be said of them."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.base import ClusterMixin, TransformerMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, silhouette_score

from celeba_lab.analyses.estimators import has_parameter, refusals_of
from celeba_lab.errors import UserError


@dataclass(frozen=True)
class Clustering:
    """Points in groups, the largest first.

    Attributes:
        points: float64 (N, D), as the clusterer saw them.
        clusters: int64 (N,), 0..C-1.
    """

    points: np.ndarray
    clusters: np.ndarray

    @property
    def count(self) -> int:
        """C, the number of groups."""
        return len(self.sizes)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Points in each group, (C,), descending."""
        return np.bincount(self.clusters)

    @cached_property
    def centroids(self) -> np.ndarray:
        """The mean of each group's points, (C, D)."""
        return self.means(self.points)

    @property
    def inertia(self) -> float:
        """Sum of the squared distances of the points to their centroids."""
        return float(((self.points - self.centroids[self.clusters]) ** 2).sum())

    def means(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of each group's rows of ``values``, (N, K), as float64 (C, K)."""
        return np.stack([values[self.clusters == c].mean(axis=0, dtype=np.float64) for c in range(self.count)])

    def centroid_distances(self) -> np.ndarray:
        """Return the Euclidean distances between the centroids, (C, C)."""
        return cdist(self.centroids, self.centroids)

    def silhouette(self, sample: int, seed: int) -> float:
        """Return the mean silhouette of at most ``sample`` points, -1..1 (Rousseeuw, 1987); NaN for one group."""
        chosen = np.random.default_rng(seed).permutation(len(self.points))[:sample]
        groups = len(np.unique(self.clusters[chosen]))
        if not 1 < groups < len(chosen):
            return float("nan")
        return float(silhouette_score(self.points[chosen], self.clusters[chosen]))


def scale(values: np.ndarray, scaler: TransformerMixin | None) -> np.ndarray:
    """Return ``values``, (N, D), as the scaler transforms them; unchanged without one.

    Raises:
        UserError: the scaler refuses its settings or the data.
    """
    if scaler is None:
        return np.asarray(values, dtype=np.float64)
    with refusals_of(scaler, "task.scaler"):
        return np.asarray(clone(scaler).fit_transform(values.astype(np.float64)))


def check_clusterer(clusterer: ClusterMixin, n_clusters: int) -> ClusterMixin:
    """Return the clusterer, told the number of clusters if it can be told.

    Raises:
        UserError: it is no clusterer, or the number is below 1.
    """
    name = type(clusterer).__name__
    if not isinstance(clusterer, ClusterMixin):
        raise UserError(
            f"task.clusterer is {name}, which is no clusterer of scikit-learn's kind; take for example"
            " sklearn.cluster.MiniBatchKMeans."
        )
    if n_clusters < 1:
        raise UserError(f"task.n_clusters={n_clusters}: give at least 1.")
    if not has_parameter(clusterer, "n_clusters"):
        return clusterer
    return clone(clusterer).set_params(n_clusters=n_clusters)


def find_clusters(points: np.ndarray, clusterer: ClusterMixin) -> Clustering:
    """Group points, (N, D).

    Raises:
        UserError: there are fewer different points than clusters, or the clusterer refuses its settings.
    """
    wanted = clusterer.get_params(deep=False).get("n_clusters")
    if isinstance(wanted, int):
        different = len(np.unique(points, axis=0))
        if not 1 <= wanted <= different:
            raise UserError(
                f"task.n_clusters={wanted}, but the {len(points):,} rows hold {different:,} different ones: at most"
                f" {different:,} clusters can be found; ask for fewer, or use more rows (task.fraction)."
            )
    with refusals_of(clusterer, "task.clusterer"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = np.asarray(clone(clusterer).fit_predict(points))
    _, group, sizes = np.unique(found, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return Clustering(points, rank[group])


def try_numbers(
    points: np.ndarray, clusterer: ClusterMixin, numbers: Sequence[int], sample: int, seed: int
) -> Iterator[tuple[int, float, float]]:
    """Group points into other numbers of clusters.

    Yields:
        Number, inertia and mean silhouette; see :class:`Clustering`. Numbers above that of different points are
        left out.
    """
    different = len(np.unique(points, axis=0))
    for number in sorted(set(numbers)):
        if number <= different:
            found = find_clusters(points, clone(clusterer).set_params(n_clusters=number))
            yield number, found.inertia, found.silhouette(sample, seed)


def try_seeds(clustering: Clustering, clusterer: ClusterMixin, seeds: Sequence[int]) -> Iterator[tuple[int, float]]:
    """Group the same points with other seeds.

    Yields:
        Seed, and the adjusted Rand index of the two groupings: 1 for the same, 0 for no more agreement than by chance
        (Hubert and Arabie, 1985).
    """
    for seed in seeds:
        other = find_clusters(clustering.points, clone(clusterer).set_params(random_state=seed))
        yield seed, float(adjusted_rand_score(clustering.clusters, other.clusters))


def standardised_differences(clustering: Clustering, labels: np.ndarray) -> np.ndarray:
    """Return how far each group's mean lies from that of all, in standard deviations: (C, K); 0 for constant labels."""
    labels = labels.astype(np.float64)
    spread = labels.std(axis=0)
    difference = clustering.means(labels) - labels.mean(axis=0)
    return np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 0)


def describe(differences: np.ndarray, attributes: Sequence[str], most: int = 3, least: float = 0.3) -> str:
    """Return a cluster's name in words: its most over- and under-represented attributes.

    Args:
        differences: (K,), in standard deviations.
        attributes: their names.
        most: how many of each kind are named.
        least: what is nearer to the mean than this is not worth naming.
    """
    order = np.argsort(-differences, kind="stable")
    over = [attributes[k] for k in order[:most] if differences[k] >= least]
    under = [attributes[k] for k in order[::-1][:most] if differences[k] <= -least]
    kinds = (("often", over), ("seldom", under))
    parts = [f"{word} {', '.join(map(in_words, names))}" for word, names in kinds if names]
    return "; ".join(parts) or "like the average"


def in_words(attribute: str) -> str:
    """Return an attribute's name as words: ``Wearing_Hat`` becomes ``wearing hat``."""
    return attribute.replace("_", " ").lower()


def contingency(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how many points lie in each pair of groups, int64 (C1, C2), of two groupings, (N,) each."""
    return pd.crosstab(first, second).to_numpy()
