"""Groups of faces, by any clusterer of scikit-learn, and what can be said of them."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
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
        clusters: int64 (N,), 0..C-1, or -1 for a point that belongs to none.
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
        return np.bincount(self.clusters[self.members])

    @cached_property
    def members(self) -> np.ndarray:
        """The positions of the points that belong to a group, int64, ascending."""
        return np.flatnonzero(self.clusters >= 0)

    @cached_property
    def centroids(self) -> np.ndarray:
        """The mean of each group's points, (C, D)."""
        return self.means(self.points)

    @property
    def inertia(self) -> float:
        """Sum of the squared distances of the points to their centroids."""
        away = self.points[self.members] - self.centroids[self.clusters[self.members]]
        return float((away**2).sum())

    def means(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of each group's rows of ``values``, (N, K), as float64 (C, K)."""
        return np.stack([values[self.clusters == c].mean(axis=0, dtype=np.float64) for c in range(self.count)])

    def centroid_distances(self) -> np.ndarray:
        """Return the Euclidean distances between the centroids, (C, C)."""
        return cdist(self.centroids, self.centroids)

    def silhouette(self, sample: int, seed: int) -> float:
        """Return the mean silhouette of at most ``sample`` points, -1..1 (Rousseeuw, 1987); NaN for one group."""
        chosen = np.random.default_rng(seed).permutation(self.members)[:sample]
        groups = len(np.unique(self.clusters[chosen]))
        if not 1 < groups < len(chosen):
            return float("nan")
        return float(silhouette_score(self.points[chosen], self.clusters[chosen]))


def scale(
    values: np.ndarray, scaler: TransformerMixin | None, names: Sequence[str] | None = None
) -> tuple[np.ndarray, list[str] | None]:
    """Transform values.

    Args:
        values: (N, D).
        scaler: of scikit-learn; None for nothing.
        names: of the D columns, if they have names.

    Returns:
        float64 (N, D'), and the names of its columns if they are known.

    Raises:
        UserError: the scaler refuses its settings or the data, or does not give a number for each row and column.
    """
    if scaler is None:
        return np.asarray(values, dtype=np.float64), None if names is None else list(names)
    fitted = clone(scaler)
    with refusals_of(scaler, "task.scaler"):
        points = fitted.fit_transform(values.astype(np.float64))
    if not isinstance(points, np.ndarray) or points.ndim != 2 or len(points) != len(values):
        raise UserError(f"task.scaler={type(scaler).__name__} gives no dense table with a row for each face.")
    if names is not None and hasattr(fitted, "get_feature_names_out"):
        names = fitted.get_feature_names_out(np.array(names, dtype=object))
    known = names is not None and len(names) == points.shape[1]
    return points, list(map(str, names)) if known and names is not None else None


def check_clusterer(clusterer: ClusterMixin, n_clusters: int | None) -> ClusterMixin:
    """Return the clusterer, told the number of clusters if it can be told.

    Raises:
        UserError: it is no clusterer of rows, or the number is below 1.
    """
    name = type(clusterer).__name__
    if not isinstance(clusterer, ClusterMixin) or not hasattr(clusterer, "fit_predict"):
        raise UserError(
            f"task.clusterer is {name}, which is no clusterer of scikit-learn's kind; take for example"
            " sklearn.cluster.MiniBatchKMeans."
        )
    if n_clusters is not None and n_clusters < 1:
        raise UserError(f"task.n_clusters={n_clusters}: give at least 1.")
    if n_clusters is None or not has_parameter(clusterer, "n_clusters"):
        return clusterer
    return clone(clusterer).set_params(n_clusters=n_clusters)


def find_clusters(points: np.ndarray, clusterer: ClusterMixin, what: str = "labels") -> Clustering:
    """Group points, (N, D).

    Args:
        points: see above.
        clusterer: of scikit-learn.
        what: the points are, for the error.

    Raises:
        UserError: there are fewer different points than clusters, none belongs to any, or the clusterer refuses its
            settings or the data.
    """
    wanted = clusterer.get_params(deep=False).get("n_clusters")
    if isinstance(wanted, int) and wanted > (different := count_different(points)):
        raise UserError(
            f"task.n_clusters={wanted}, but the {what} of the {len(points):,} faces hold {different:,} different rows:"
            f" at most {different:,} clusters can be found; ask for fewer, or use more faces (task.fraction)."
        )
    found = _group(points, clusterer)
    if not found.count:
        raise UserError(
            f"task.clusterer={type(clusterer).__name__} finds no cluster: it takes every face for noise; loosen its"
            " settings (for DBSCAN a larger task.clusterer.eps)."
        )
    return found


def count_different(points: np.ndarray) -> int:
    """Return how many of the rows, (N, D), differ from one another."""
    return len(np.unique(points, axis=0))


def _group(points: np.ndarray, clusterer: ClusterMixin) -> Clustering:
    with refusals_of(clusterer, "task.clusterer"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = np.asarray(clone(clusterer).fit_predict(points))
    clusters = np.full(len(points), -1, dtype=np.int64)
    inside = found >= 0  # DBSCAN and its kind call noise -1
    _, group, sizes = np.unique(found[inside], return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    clusters[inside] = rank[group]
    return Clustering(points, clusters)


def try_numbers(
    clustering: Clustering, clusterer: ClusterMixin, numbers: Sequence[int], sample: int, seed: int
) -> Iterator[tuple[int, float, float]]:
    """Group the same points into other numbers of clusters.

    Yields:
        Number, inertia and mean silhouette; see :class:`Clustering`. Numbers above that of different points are left
        out, and that of ``clustering`` is not grouped again.
    """
    different = count_different(clustering.points)
    for number in sorted(set(numbers)):
        if number <= different:
            same = number == clustering.count
            found = clustering if same else _group(clustering.points, clone(clusterer).set_params(n_clusters=number))
            yield number, found.inertia, found.silhouette(sample, seed)


def try_seeds(clustering: Clustering, clusterer: ClusterMixin, seeds: Sequence[int]) -> Iterator[tuple[int, float]]:
    """Group the same points with other seeds.

    Yields:
        Seed, and the adjusted Rand index of the two groupings: 1 for the same, 0 for no more agreement than by chance
        (Hubert and Arabie, 1985).
    """
    for seed in seeds:
        other = _group(clustering.points, clone(clusterer).set_params(random_state=seed))
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


def contingency(first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return how many points lie in each pair of groups, int64 (C1, C2) = ``shape``, of two groupings, (N,) each."""
    counts = np.zeros(shape, dtype=np.int64)
    np.add.at(counts, (first, second), 1)
    return counts
