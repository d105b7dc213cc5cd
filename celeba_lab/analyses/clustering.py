"""Clustering of faces with any scikit-learn clusterer, and clustering metrics."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.base import ClusterMixin, TransformerMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, silhouette_score

from celeba_lab.analyses.estimators import check_parameters, has_parameter, refusals_of
from celeba_lab.console import Progress
from celeba_lab.errors import SettingError, check_at_least


@dataclass(frozen=True)
class Clustering:
    """Points and their clusters. The clusters are numbered from largest to smallest.

    Attributes:
        points: Clustered points, float64 (N, D).
        clusters: Cluster index of each point, from 0 to C - 1, or -1 if the point is not in a cluster, int64 (N,).

    Example:
        >>> found = Clustering(np.array([[0.0], [9.0], [11.0]]), np.array([1, 0, 0]))
        >>> found.sizes, found.centroids.ravel(), found.inertia
        (array([2, 1]), array([10.,  0.]), 2.0)
    """

    points: np.ndarray
    clusters: np.ndarray

    @property
    def count(self) -> int:
        """Number of clusters, C."""
        return len(self.sizes)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of points in each cluster, int64 (C,), in descending order."""
        return np.bincount(self.clusters[self.members])

    @cached_property
    def members(self) -> np.ndarray:
        """Indices of the points that are in a cluster, int64, in ascending order."""
        return np.flatnonzero(self.clusters >= 0)

    @cached_property
    def centroids(self) -> np.ndarray:
        """Mean of the points in each cluster, float64 (C, D)."""
        return self.means(self.points)

    @property
    def inertia(self) -> float:
        """Sum of squared distances from the points to their centroids."""
        away = self.points[self.members] - self.centroids[self.clusters[self.members]]
        return float((away**2).sum())

    def means(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of the rows of ``values`` in each cluster, float64 (C, K)."""
        return np.stack([values[self.clusters == c].mean(axis=0, dtype=np.float64) for c in range(self.count)])

    def centroid_distances(self) -> np.ndarray:
        """Return the Euclidean distances between the centroids, float64 (C, C)."""
        distances: np.ndarray = cdist(self.centroids, self.centroids)
        return distances

    def silhouette(self, sample: int, seed: int) -> float:
        """Return the mean silhouette coefficient (Rousseeuw, 1987) of up to ``sample`` points, in [-1, 1].

        The result is NaN if the sampled points are all in the same cluster or all in different clusters.
        """
        chosen = np.random.default_rng(seed).permutation(self.members)[:sample]
        groups = len(np.unique(self.clusters[chosen]))
        if not 1 < groups < len(chosen):
            return float("nan")
        return float(silhouette_score(self.points[chosen], self.clusters[chosen]))


def scale(
    values: np.ndarray, scaler: TransformerMixin | None, names: Sequence[str] | None = None
) -> tuple[np.ndarray, list[str] | None]:
    """Transform values with a scikit-learn transformer.

    Args:
        values: Values of shape (N, D).
        scaler: Unfitted transformer, or None to return the values unchanged.
        names: Names of the D columns, or None if they are unnamed.

    Returns:
        The transformed values, float64 (N, D'), and their column names. The names are None if they are unknown.

    Raises:
        SettingError: The scaler rejects its parameters or the data, or does not return a dense array of shape (N, D').
    """
    if scaler is None:
        return np.asarray(values, dtype=np.float64), None if names is None else list(names)
    fitted = clone(scaler)
    with refusals_of(scaler, "scaler"):
        points = fitted.fit_transform(values.astype(np.float64))
    if not isinstance(points, np.ndarray) or points.ndim != 2 or len(points) != len(values):
        raise SettingError("scaler", type(scaler).__name__, "must return a dense array with one row per face")
    if names is not None and hasattr(fitted, "get_feature_names_out"):
        names = fitted.get_feature_names_out(np.array(names, dtype=object))
    known = names is not None and len(names) == points.shape[1]
    return points, list(map(str, names)) if known and names is not None else None


def configure_clusterer(clusterer: ClusterMixin, n_clusters: int | None) -> ClusterMixin:
    """Check that an estimator can cluster rows, and set its number of clusters.

    Args:
        clusterer: Unfitted scikit-learn clusterer.
        n_clusters: Number of clusters, or None to keep the clusterer's own setting. This value is ignored if the
            clusterer has no ``n_clusters`` parameter.

    Returns:
        The clusterer itself, or a copy with the given number of clusters.

    Raises:
        SettingError: The estimator cannot cluster rows, a parameter is out of range, or ``n_clusters`` is below 1.
    """
    if not isinstance(clusterer, ClusterMixin) or not hasattr(clusterer, "fit_predict"):
        hint = "Use, for example, sklearn.cluster.MiniBatchKMeans."
        raise SettingError("clusterer", type(clusterer).__name__, "must be a scikit-learn clusterer", hint)
    check_parameters(clusterer, "clusterer")
    check_at_least("n_clusters", n_clusters, 1)
    if n_clusters is None or not has_parameter(clusterer, "n_clusters"):
        return clusterer
    return clone(clusterer).set_params(n_clusters=n_clusters)


def find_clusters(points: np.ndarray, clusterer: ClusterMixin, what: str = "labels") -> Clustering:
    """Cluster points.

    Args:
        points: Points, float64 (N, D).
        clusterer: Unfitted scikit-learn clusterer.
        what: Plural noun for the points, used in progress and error messages, such as "labels".

    Raises:
        SettingError: There are fewer distinct points than clusters, no point is assigned to a cluster, or the clusterer
            rejects its parameters or the data.

    Example:
        >>> from sklearn.cluster import KMeans
        >>> find_clusters(np.array([[0.0], [1.0], [9.0]]), KMeans(2, random_state=0)).clusters
        array([0, 0, 1])
    """
    wanted = clusterer.get_params(deep=False).get("n_clusters")
    with Progress(f"clustering the {what} of {len(points):,} faces"):
        if isinstance(wanted, int) and wanted > (different := count_different(points)):
            rule = (
                f"must be at most {different}, the number of distinct rows in the {what} of the {len(points):,} faces"
            )
            raise SettingError("n_clusters", wanted, rule, "Use fewer clusters or more faces (increase fraction).")
        found = _group(points, clusterer)
    if not found.count:
        hint = "Change the parameters of the clusterer (for DBSCAN, increase clusterer.eps)."
        raise SettingError(
            "clusterer", type(clusterer).__name__, "finds no clusters, because it labels all faces as noise", hint
        )
    return found


def count_different(points: np.ndarray) -> int:
    """Return the number of distinct rows of ``points``."""
    return len(np.unique(points, axis=0))


def _group(points: np.ndarray, clusterer: ClusterMixin) -> Clustering:
    """Cluster the points with a copy of the clusterer, and number the clusters by size."""
    with refusals_of(clusterer, "clusterer"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = np.asarray(clone(clusterer).fit_predict(points))
    clusters = np.full(len(points), -1, dtype=np.int64)
    inside = found >= 0  # DBSCAN and similar clusterers label noise as -1
    _, group, sizes = np.unique(found[inside], return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    clusters[inside] = rank[group]
    return Clustering(points, clusters)


def try_numbers(
    clustering: Clustering, clusterer: ClusterMixin, numbers: Sequence[int], sample: int, seed: int
) -> Iterator[tuple[int, float, float]]:
    """Repeat a clustering with different numbers of clusters.

    Args:
        clustering: Existing clustering, which is reused if ``numbers`` includes its number of clusters.
        clusterer: Unfitted scikit-learn clusterer with an ``n_clusters`` parameter.
        numbers: Numbers of clusters to try. Values greater than the number of distinct points are skipped.
        sample: Maximum number of points used to compute the silhouette coefficient.
        seed: Random seed for sampling the points.

    Yields:
        Each number of clusters with its inertia and mean silhouette coefficient; see :class:`Clustering`.
    """
    different = count_different(clustering.points)
    for number in sorted(set(numbers)):
        if number <= different:
            same = number == clustering.count
            found = clustering if same else _group(clustering.points, clone(clusterer).set_params(n_clusters=number))
            yield number, found.inertia, found.silhouette(sample, seed)


def try_seeds(clustering: Clustering, clusterer: ClusterMixin, seeds: Sequence[int]) -> Iterator[tuple[int, float]]:
    """Repeat a clustering with different seeds.

    Args:
        clustering: Reference clustering.
        clusterer: Unfitted scikit-learn clusterer with a ``random_state`` parameter.
        seeds: Seeds to try.

    Yields:
        Each seed with the adjusted Rand index (Hubert and Arabie, 1985) between the reference clustering and the
        clustering with that seed. The index is 1 for identical clusterings and about 0 for chance agreement.
    """
    for seed in seeds:
        other = _group(clustering.points, clone(clusterer).set_params(random_state=seed))
        yield seed, float(adjusted_rand_score(clustering.clusters, other.clusters))


def standardized_differences(clustering: Clustering, labels: np.ndarray) -> np.ndarray:
    """Return the difference between each cluster mean and the overall mean, in standard deviations.

    Args:
        clustering: Clustering of N points.
        labels: Labels of the points, of shape (N, K).

    Returns:
        Differences (0 for constant labels), float64 (C, K).
    """
    labels = labels.astype(np.float64)
    spread = labels.std(axis=0)
    difference: np.ndarray = clustering.means(labels) - labels.mean(axis=0)
    standardized: np.ndarray = np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 0)
    return standardized


def describe(differences: np.ndarray, attributes: Sequence[str], most: int = 3, least: float = 0.3) -> str:
    """Describe a cluster by its most over-represented and most under-represented attributes.

    Args:
        differences: Differences from the overall mean in standard deviations, of shape (K,).
        attributes: Names of the K attributes.
        most: Maximum number of attributes to mention per category (over-represented or under-represented).
        least: Minimum absolute difference for an attribute to be mentioned.

    Example:
        >>> describe(np.array([-1.2, 0.4, 0.1]), ["Male", "Wearing_Hat", "Smiling"])
        'often wearing hat; seldom male'
    """
    order = np.argsort(-differences, kind="stable")
    over = [attributes[k] for k in order[:most] if differences[k] >= least]
    under = [attributes[k] for k in order[::-1][:most] if differences[k] <= -least]
    kinds = (("often", over), ("seldom", under))
    parts = [f"{word} {', '.join(map(in_words, names))}" for word, names in kinds if names]
    return "; ".join(parts) or "close to average"


def in_words(attribute: str) -> str:
    """Convert an attribute name to lowercase words.

    Example:
        >>> in_words("Wearing_Hat")
        'wearing hat'
    """
    return attribute.replace("_", " ").lower()


def contingency(first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Compute the contingency table of two clusterings.

    Args:
        first: Cluster index of each point in the first clustering, int64 (N,).
        second: Cluster index of each point in the second clustering, int64 (N,).
        shape: Number of clusters in each clustering, (C1, C2).

    Returns:
        Number of points that each pair of clusters has in common, int64 (C1, C2).

    Example:
        >>> contingency(np.array([0, 0, 1]), np.array([0, 1, 1]), (2, 2))
        array([[1, 1],
               [0, 1]])
    """
    counts = np.zeros(shape, dtype=np.int64)
    np.add.at(counts, (first, second), 1)
    return counts
