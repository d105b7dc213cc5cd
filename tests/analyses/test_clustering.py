"""Clusters have the right order, means and names, and reproduce the notebook's sizes and means."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import DBSCAN, AgglomerativeClustering, FeatureAgglomeration, KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler

from celeba_lab.analyses.clustering import (
    Clustering,
    configure_clusterer,
    contingency,
    describe,
    find_clusters,
    scale,
    standardized_differences,
    try_numbers,
    try_seeds,
)
from celeba_lab.analyses.sampling import take_fraction
from celeba_lab.data.annotations import Annotations
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.errors import UserError
from celeba_lab.files import config_directory


def blobs(sizes: tuple[int, ...] = (20, 60, 40)) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal((10 * k, 0), 0.5, (size, 2)) for k, size in enumerate(sizes)])


def configured(seed: int = 42) -> MiniBatchKMeans:
    node = OmegaConf.load(config_directory() / "task" / "clusterer" / "minibatch_kmeans.yaml")
    node.random_state = seed
    return configure_clusterer(instantiate(node), 5)


def test_the_largest_cluster_comes_first() -> None:
    found = find_clusters(blobs(), KMeans(3, random_state=0))
    assert found.sizes.tolist() == [60, 40, 20]
    assert found.clusters[[0, 20, 80]].tolist() == [2, 0, 1]


def test_centroids_are_the_means_of_the_members() -> None:
    points = blobs()
    found = find_clusters(points, KMeans(3, random_state=0))
    np.testing.assert_allclose(found.centroids[2], points[:20].mean(axis=0))
    distances = found.centroid_distances()
    assert distances.shape == (3, 3)
    assert distances[0, 1] == pytest.approx(np.linalg.norm(points[20:80].mean(axis=0) - points[80:].mean(axis=0)))
    assert np.diag(distances).tolist() == [0, 0, 0]


def test_inertia_and_silhouette_equal_scikit_learn() -> None:
    points = blobs()
    model = KMeans(3, random_state=0).fit(points)
    found = find_clusters(points, KMeans(3, random_state=0))
    assert found.inertia == pytest.approx(model.inertia_)
    assert found.silhouette(1000, seed=0) == pytest.approx(silhouette_score(points, model.labels_))
    assert np.isnan(find_clusters(points, KMeans(1)).silhouette(1000, seed=0))


def test_the_right_number_of_clusters_has_the_best_silhouette() -> None:
    three = find_clusters(blobs(), KMeans(3, random_state=0))
    tried = pd.DataFrame(try_numbers(three, KMeans(random_state=0), [2, 3, 4, 3], 1000, seed=0))
    assert tried[0].tolist() == [2, 3, 4]
    assert tried[1].is_monotonic_decreasing
    assert tried[0][tried[2].idxmax()] == 3


def test_well_separated_clusters_are_stable() -> None:
    found = find_clusters(blobs(), KMeans(3, random_state=0))
    assert [(seed, round(index, 6)) for seed, index in try_seeds(found, KMeans(3), [1, 2])] == [(1, 1.0), (2, 1.0)]


def test_clusters_of_random_points_are_not_stable() -> None:
    points = np.random.default_rng(0).normal(size=(300, 20))
    found = find_clusters(points, KMeans(5, n_init=1, random_state=0))
    assert max(index for _, index in try_seeds(found, KMeans(5, n_init=1), range(1, 4))) < 0.7


def test_a_cluster_is_described_by_its_most_and_least_common_attributes() -> None:
    names = ["Male", "Wearing_Hat", "Smiling", "Young", "5_o_Clock_Shadow"]
    assert (
        describe(np.array([-1.2, 0.4, 0.1, -0.5, 2.0]), names)
        == "often 5 o clock shadow, wearing hat; seldom male, young"
    )
    assert describe(np.zeros(5), names) == "close to average"


def test_differences_are_in_standard_deviations_and_constants_have_none() -> None:
    labels = np.array([[1, 0, 1], [1, 0, 1], [0, 0, 1], [0, 0, 1]])
    differences = standardized_differences(Clustering(labels.astype(float), np.array([0, 0, 1, 1])), labels)
    assert differences.tolist() == [[1, 0, 0], [-1, 0, 0]]


def test_the_contingency_table_counts_pairs_of_clusters() -> None:
    assert contingency(np.array([0, 0, 1, 1]), np.array([1, 0, 1, 1]), (2, 3)).tolist() == [[1, 1, 0], [0, 2, 0]]


@pytest.mark.parametrize("column", [np.zeros(50), np.ones(50)])
def test_a_constant_column_is_scaled_to_zero(column: np.ndarray) -> None:
    labels = np.column_stack([np.arange(50) % 2, column, np.arange(50) % 2])
    points, _ = scale(labels, StandardScaler())
    assert np.isfinite(points).all()
    assert find_clusters(points, configured().set_params(n_clusters=2)).sizes.tolist() == [25, 25]


def test_two_rows_can_be_clustered() -> None:
    found = find_clusters(scale(np.array([[0, 1], [1, 0]]), StandardScaler())[0], KMeans(2))
    assert found.sizes.tolist() == [1, 1]
    assert np.isnan(found.silhouette(10, seed=0))


def test_more_clusters_than_distinct_rows_are_rejected() -> None:
    points = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], 10, axis=0)
    with pytest.raises(
        UserError, match=r"^n_clusters=4 must be at most 3, the number of distinct rows in the labels of the 30 faces"
    ):
        find_clusters(points, KMeans(4))
    two = find_clusters(points, KMeans(2))
    assert [number for number, *_ in try_numbers(two, KMeans(), range(2, 9), 100, seed=0)] == [2, 3]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: configure_clusterer(LogisticRegression(), 5),
            "^clusterer=LogisticRegression must be a scikit-learn clusterer",
        ),
        (
            lambda: configure_clusterer(FeatureAgglomeration(), 5),
            "^clusterer=FeatureAgglomeration must be a scikit-learn clusterer",
        ),
        (lambda: configure_clusterer(KMeans(), 0), "^n_clusters=0 must be at least 1"),
        (lambda: find_clusters(blobs(), DBSCAN(eps=1e-6)), "^clusterer=DBSCAN finds no clusters"),
        (lambda: scale(blobs(), OneHotEncoder()), "^scaler=OneHotEncoder must return a dense array"),
        (lambda: scale(blobs(), MinMaxScaler(feature_range=(1, 0))), "^scaler=MinMaxScaler cannot be fitted: "),
        (
            lambda: find_clusters(blobs(), KMeans(3, n_init=-1)),
            "^clusterer=KMeans cannot be fitted: The 'n_init' parameter",
        ),
    ],
)
def test_an_unsuitable_estimator_is_explained_in_one_sentence(make, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make()


def test_a_clusterer_can_choose_the_number_of_clusters() -> None:
    found = find_clusters(blobs(), configure_clusterer(DBSCAN(eps=1.5), 5))
    assert found.count == 3


def test_noise_is_not_a_cluster() -> None:
    """DBSCAN labels noise as -1, which must not become a cluster with a centroid and a name."""
    points = np.concatenate([blobs(), [[0.0, 50.0], [5.0, -50.0]]])
    found = find_clusters(points, DBSCAN(eps=1.5))
    assert found.sizes.tolist() == [60, 40, 20]
    assert found.clusters[-2:].tolist() == [-1, -1]
    assert found.members.tolist() == list(range(120))
    alone = find_clusters(blobs(), KMeans(3, random_state=0))
    np.testing.assert_allclose(found.centroids, alone.centroids)
    assert found.inertia == pytest.approx(alone.inertia)
    assert found.silhouette(1000, seed=0) == pytest.approx(alone.silhouette(1000, seed=0))


def test_the_number_of_clusters_may_be_omitted() -> None:
    threshold = AgglomerativeClustering(n_clusters=None, distance_threshold=20)
    assert find_clusters(blobs(), configure_clusterer(threshold, None)).count == 3


def test_column_names_are_kept_only_if_the_scaler_keeps_the_columns() -> None:
    values = np.random.default_rng(0).normal(size=(20, 3))
    assert scale(values, StandardScaler(), ["a", "b", "c"])[1] == ["a", "b", "c"]
    assert scale(values, FunctionTransformer(), ["a", "b", "c"])[1] == ["a", "b", "c"]
    assert scale(values, PCA(2), ["a", "b", "c"])[1] == ["pca0", "pca1"]
    assert scale(values, StandardScaler())[1] is None


def test_the_clusters_agree_with_the_notebook(shared: Path) -> None:
    """The sizes agree within 2%, and the standardised means of matched clusters within 0.05."""
    labels = Annotations.load(shared / "celeba").labels
    labels = labels[take_fraction(np.arange(len(labels)), 0.1, seed=42)]
    found = find_clusters(scale(labels, StandardScaler())[0], configured())
    np.testing.assert_allclose(found.sizes, [6578, 5723, 4735, 1791, 1433], rtol=0.02)
    reference = pd.read_csv(shared / "reference" / "cluster_means.csv").set_index("cluster")
    ours = found.centroids[:, [ATTRIBUTES.index(name) for name in reference]]
    gap = np.abs(
        reference.to_numpy()[:, None] - ours[None]
    )  # (5, 5, 40): notebook's clusters, our clusters, attributes
    matched = linear_sum_assignment(gap.mean(axis=2))
    assert gap[matched].max() <= 0.05


def test_clustering_shows_its_progress(work_shown: dict[str, str]) -> None:
    find_clusters(np.array([[0.0], [1.0], [9.0]]), KMeans(2, random_state=0))
    assert list(work_shown) == ["clustering the labels of 3 faces"]
