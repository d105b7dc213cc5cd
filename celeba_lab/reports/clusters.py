"""The report on clusters of faces: their members, differences and stability."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin, clone

from celeba_lab import figures
from celeba_lab.analyses.clustering import Clustering, describe, standardized_differences, try_numbers, try_seeds
from celeba_lab.analyses.estimators import check_parameters, has_parameter, refusals_of
from celeba_lab.analyses.sampling import LabelSample
from celeba_lab.console import Progress, console, progress, show_table
from celeba_lab.errors import SettingError, UserError, check_at_least, check_between
from celeba_lab.reports.iterations import BackgroundFit
from celeba_lab.runs.folder import RunFolder

# Figures with more clusters or more faces per cluster than these limits would be hard to read and slow to draw.
_MOST_SHOWN = 20
_MOST_FACES = 20


@dataclass(frozen=True)
class ClusteringResult:
    """Clusters of a sample of faces, with everything needed to report them.

    Attributes:
        run: Run folder for the tables and figures.
        sample: Sample that contains one face for each of the N points.
        clustering: Assignment of the points to C clusters.
        clusterer: Unfitted scikit-learn clusterer with the parameters that produced the clusters.
        axes: Names of the points' coordinates, or None if the coordinates are unnamed.
        seed: Seed for all random choices in the report.
    """

    run: RunFolder
    sample: LabelSample
    clustering: Clustering
    clusterer: ClusterMixin
    axes: list[str] | None
    seed: int

    @property
    def title(self) -> str:
        """Title used for all figures."""
        return self.sample.title

    @property
    def numbers(self) -> list[str]:
        """Cluster numbers, starting at 1."""
        return [str(c + 1) for c in range(self.clustering.count)]

    @cached_property
    def differences(self) -> np.ndarray:
        """Differences between each cluster's attribute means and the overall means, in standard deviations, (C, K)."""
        return standardized_differences(self.clustering, self.sample.labels)

    @property
    def descriptions(self) -> list[str]:
        """Description of each cluster, based on its attributes."""
        return [describe(row, self.sample.attributes) for row in self.differences]

    @property
    def headings(self) -> list[str]:
        """Heading for each cluster, with its number and size on separate lines."""
        sizes = self.clustering.sizes.tolist()
        return [f"cluster {c}:\n{size:,} faces" for c, size in zip(self.numbers, sizes, strict=True)]

    @property
    def legend(self) -> list[str]:
        """Number, size and description of each cluster shown on the maps."""
        named = zip(self.headings, self.descriptions, strict=True)
        return [f"{heading.replace(chr(10), ' ')}\n{words}" for heading, words in named][:_MOST_SHOWN]

    @property
    def shown(self) -> np.ndarray:
        """Indices of the points shown on the maps, int64. The maps show the members of the largest clusters."""
        members = self.clustering.members
        shown: np.ndarray = members[self.clustering.clusters[members] < _MOST_SHOWN]
        return shown

    @property
    def scope(self) -> str:
        """Parenthesised note on which clusters are shown in a figure, or an empty string if all are shown."""
        return f" (only the {_MOST_SHOWN} largest are shown)" if self.clustering.count > _MOST_SHOWN else ""


@dataclass(frozen=True)
class ClusterReport:
    """The report on the clusters of a sample of faces. Faster parts are written first.

    Args:
        pca: scikit-learn transformer that computes the principal components. If None, PCA is skipped.
        numbers: Additional cluster counts to try for comparison.
        silhouette_sample: Number of points used to compute the silhouette score. The computation time grows with
            the square of this number.
        seeds: Number of additional seeds used to measure the stability of the clusters.
        faces: Number of faces to show for each cluster.
        tsne: scikit-learn transformer that computes the t-SNE map. If None, t-SNE is skipped.
        tsne_sample: Number of points on the t-SNE map. The computation time grows slightly faster
            than linearly with this number.

    Raises:
        SettingError: A number is out of range.

    Example:
        >>> ClusterReport(pca=None, numbers=[2, 3, 4], seeds=5).tsne_sample
        3000
    """

    pca: TransformerMixin | None
    numbers: list[int]
    silhouette_sample: int = 5000
    seeds: int = 10
    faces: int = 8
    tsne: BaseEstimator | None = None
    tsne_sample: int = 3000

    def __post_init__(self) -> None:
        check_at_least("silhouette_sample", self.silhouette_sample, 2)
        check_at_least("tsne_sample", self.tsne_sample, 2)
        check_at_least("seeds", self.seeds, 0)
        check_between("faces", self.faces, 0, _MOST_FACES)
        if any(number < 2 for number in self.numbers):
            raise SettingError("numbers", self.numbers, "must not contain numbers below 2")
        check_parameters(self.pca, "pca")
        check_parameters(self.tsne, "tsne")

    def write(self, result: ClusteringResult) -> dict[str, float]:
        """Write all tables and figures, and print the clusters.

        Returns:
            The metrics ``clusters``, ``inertia``, ``silhouette``, ``alone`` (the share of faces without a cluster),
            ``stability`` (the mean adjusted Rand index over the seeds) and ``stability/least`` (the minimum).

        Raises:
            SettingError: An estimator rejects its parameters or the data.
        """
        with Progress("writing the report on the clusters"), ExitStack() as stack:
            _write_clusters(result)
            tsne = None if self.tsne is None else _prepare_tsne(result, clone(self.tsne), self.tsne_sample)
            if tsne is not None:  # It takes longest, and is computed while the rest is written.
                stack.enter_context(tsne.fit)
            _draw_profile(result)
            _draw_distances(result)
            if self.faces:
                _write_faces(result, self.faces)
            if self.pca is not None:
                _write_pca(result, clone(self.pca))
            metrics = self._measure(result)
            self._write_numbers(result)
            metrics |= self._write_stability(result)
            if tsne is not None:
                _write_tsne(result, tsne)
        return metrics

    def _measure(self, result: ClusteringResult) -> dict[str, float]:
        clustering = result.clustering
        with Progress("computing the silhouette score"):
            silhouette = clustering.silhouette(self.silhouette_sample, result.seed)
        return {
            "clusters": float(clustering.count),
            "inertia": clustering.inertia,
            "silhouette": silhouette,
            "alone": float(np.mean(clustering.clusters < 0)),
        }

    def _write_numbers(self, result: ClusteringResult) -> None:
        """Write the inertia and the silhouette score for other numbers of clusters."""
        clustering, clusterer = result.clustering, result.clusterer
        if clusterer.get_params(deep=False).get("n_clusters") is None:
            console.print(
                f"Skipping the comparison with other numbers of clusters, because {type(clusterer).__name__} does not"
                " use n_clusters."
            )
            return
        numbers = sorted({*self.numbers, clustering.count})
        found = try_numbers(clustering, clusterer, numbers, self.silhouette_sample, result.seed)
        rows = list(progress(found, "trying other numbers of clusters", len(numbers), "numbers"))
        frame = pd.DataFrame(rows, columns=["n_clusters", "inertia", "silhouette"])
        result.run.table("numbers", frame)
        figure = figures.number_of_clusters(
            frame["n_clusters"].to_numpy(),
            frame["inertia"].to_numpy(),
            frame["silhouette"].to_numpy(),
            clustering.count,
            title=result.title,
            note="One clustering per number of clusters. Jumps in the curves show that the clusters depend on the seed",
        )
        result.run.figure("numbers", figure)

    def _write_stability(self, result: ClusteringResult) -> dict[str, float]:
        """Write and print how closely clusters found with other seeds agree with the reported clusters."""
        if not self.seeds:
            return {}
        if not has_parameter(result.clusterer, "random_state"):
            console.print(
                f"Skipping the stability analysis, because {type(result.clusterer).__name__} is deterministic."
            )
            return {}
        seeds = range(result.seed + 1, result.seed + 1 + self.seeds)
        found = try_seeds(result.clustering, result.clusterer, seeds)
        rows = list(progress(found, "trying other seeds", self.seeds, "seeds"))
        frame = pd.DataFrame(rows, columns=["seed", "adjusted_rand_index"])
        result.run.table("stability", frame)
        index = frame["adjusted_rand_index"]
        console.print(
            f"stability across {self.seeds} other seeds: mean adjusted Rand index {index.mean():.2f}, minimum"
            f" {index.min():.2f} (1: identical clusters, 0: chance level)"
        )
        return {"stability": float(index.mean()), "stability/least": float(index.min())}


def _write_clusters(result: ClusteringResult) -> None:
    """Write tables of the clusters, their members and their attribute means, and print the table of clusters."""
    run, sample, clustering = result.run, result.sample, result.clustering
    share = clustering.sizes / len(clustering.points)
    columns = {"cluster": result.numbers, "faces": clustering.sizes, "share": share}
    frame = pd.DataFrame(columns | {"description": result.descriptions})
    run.table("clusters", frame)
    image_ids = sample.data.image_ids(sample.rows)
    run.table("assignments", pd.DataFrame({"image_id": image_ids, "cluster": clustering.clusters + 1}))
    prevalence = clustering.means(sample.labels)
    run.matrix("cluster_prevalence", prevalence, result.numbers, sample.attributes, corner="cluster")
    run.matrix("cluster_standardised_means", result.differences, result.numbers, sample.attributes, corner="cluster")
    show_table(f"{result.title}: {clustering.count} clusters", frame, most=_MOST_SHOWN)
    if alone := len(clustering.points) - len(clustering.members):
        console.print(f"{alone:,} faces do not belong to any cluster (cluster 0 in the tables).")


def _draw_profile(result: ClusteringResult) -> None:
    """Draw the differences between each cluster's attribute means and the overall means."""
    figure = figures.cluster_profile(
        result.differences[:_MOST_SHOWN],
        result.sample.attributes,
        result.headings[:_MOST_SHOWN],
        label="cluster mean - overall mean, in standard deviations",
        title=result.title,
        note=f"Difference between each cluster{result.scope} and the whole sample. Attributes in the"
        " same block have their highest mean in the same cluster",
    )
    result.run.figure("cluster_means", figure)


def _draw_distances(result: ClusteringResult) -> None:
    """Write and draw the distances between the cluster centroids."""
    distances = result.clustering.centroid_distances()
    result.run.matrix("centroid_distances", distances, result.numbers, result.numbers, corner="cluster")
    ticks = [f"cluster {c}" for c in result.numbers][:_MOST_SHOWN]
    figure = figures.matrix_heatmap(
        distances[:_MOST_SHOWN, :_MOST_SHOWN],
        ticks,
        ticks,
        label="Euclidean distance",
        title=result.title,
        note=f"Distances between the centroids of the {result.clustering.count} clusters{result.scope}",
    )
    result.run.figure("centroid_distances", figure)


def _write_faces(result: ClusteringResult, each: int) -> None:
    """Draw random members of each cluster, skipping members with unreadable images."""
    data = result.sample.data
    if not data.has_images:
        console.print(f"Skipping the figure of cluster faces, because there are no images in {data.root}.")
        return
    faces, captions, borders, rows = [], [], [], []
    for cluster, position, face in readable_members(result.sample, result.clustering, each, result.seed):
        [image_id] = data.image_ids([result.sample.rows[position]])
        faces.append(face)
        captions.append(f"cluster {cluster + 1}\n{image_id}")
        borders.append(figures.cluster_color(cluster))
        rows.append((image_id, cluster + 1))
    if not faces:
        console.print(
            f"Skipping the figure of cluster faces, because none of the selected images in {data.root} can be read."
        )
        return
    result.run.table("faces", pd.DataFrame(rows, columns=["image_id", "cluster"]))
    title = f"{result.title} · random faces from each cluster"
    result.run.figure("faces", figures.face_grid(faces, captions, columns=each, borders=borders, title=title))


def readable_members(
    sample: LabelSample, clustering: Clustering, each: int, seed: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Choose random members of each cluster, skipping members with missing or damaged images.

    At most ``5 * each`` members of a cluster are tried.

    Args:
        sample: Sample that contains one face for each point.
        clustering: Clusters of the points.
        each: Number of members to choose from each cluster.
        seed: Seed for the random choice.

    Yields:
        Cluster index, point index and face image of each chosen member, ordered by cluster. Images are uint8 (H, W, 3).
    """
    order = np.random.default_rng(seed).permutation(clustering.members)
    for cluster in range(min(clustering.count, _MOST_SHOWN)):
        left = each
        for position in order[clustering.clusters[order] == cluster][: 5 * each].tolist():
            if not left:
                break
            try:
                [face] = sample.data.raw_images([sample.rows[position]])
            except UserError:
                continue
            left -= 1
            yield cluster, position, face


def _write_pca(result: ClusteringResult, pca: TransformerMixin) -> None:
    """Write the explained variance and the loadings of the principal components, and draw the first two components."""
    points = result.clustering.points
    limit = min(points.shape)
    if limit < 2:
        console.print("Skipping PCA, because it needs at least two rows and two columns.")
        return
    if isinstance(pca.get_params().get("n_components"), int):
        pca.set_params(n_components=min(pca.get_params()["n_components"], limit))
    with refusals_of(pca, "pca"), Progress("computing the principal components"):
        positions = pca.fit_transform(points)
    if not hasattr(pca, "explained_variance_ratio_") or positions.shape[1] < 2:
        hint = "Use, for example, sklearn.decomposition.PCA or TruncatedSVD with n_components=10."
        rule = "must be a transformer with explained_variance_ratio_ and at least two components"
        raise SettingError("pca", type(pca).__name__, rule, hint)
    explained, loadings = pca.explained_variance_ratio_, pca.components_
    axes = result.axes or [f"feature_{k}" for k in range(loadings.shape[1])]
    components = [str(number + 1) for number in range(len(loadings))]
    result.run.matrix("pca_loadings", loadings, components, axes, corner="component")
    result.run.table("pca", pd.DataFrame({"component": components, "explained_variance_ratio": explained}))
    figure = figures.pca_overview(
        positions[result.shown, :2],
        result.clustering.clusters[result.shown],
        result.legend,
        explained,
        loadings[:2],
        result.axes,
        title=result.title,
    )
    result.run.figure("pca", figure)


@dataclass(frozen=True)
class _Tsne:
    """The computation of a t-SNE map.

    Attributes:
        estimator: The estimator that computes the map.
        chosen: Indices of the points on the map, int64 (M,).
        what: Description of the map.
        fit: The fit, which goes on in the background.
    """

    estimator: BaseEstimator
    chosen: np.ndarray
    what: str
    fit: BackgroundFit


def _prepare_tsne(result: ClusteringResult, tsne: BaseEstimator, most: int) -> _Tsne | None:
    """Prepare the computation of t-SNE coordinates of up to ``most`` faces, or return None if there are too few."""
    points = result.clustering.points
    chosen = np.sort(np.random.default_rng(result.seed).permutation(result.shown)[:most])
    perplexity = tsne.get_params().get("perplexity")
    if min(points.shape) < 2 or (perplexity is not None and perplexity >= len(chosen)):
        needs = "" if perplexity is None else f", and more rows than its perplexity of {perplexity:g}"
        console.print(
            f"Skipping t-SNE for {len(chosen)} rows with {points.shape[1]} columns, because it needs at least two"
            f" rows and two columns{needs}."
        )
        return None
    what = f"t-SNE of {len(chosen):,} of the {len(points):,} faces"
    return _Tsne(tsne, chosen, what, BackgroundFit(tsne, points[chosen], what))


def _write_tsne(result: ClusteringResult, tsne: _Tsne) -> None:
    """Wait for the t-SNE coordinates, and write and draw them."""
    chosen, perplexity = tsne.chosen, tsne.estimator.get_params().get("perplexity")
    with refusals_of(tsne.estimator, "tsne"):
        positions = tsne.fit.wait()
    result.run.seconds["tsne"] = round(tsne.fit.seconds, 3)
    if positions.shape[1] < 2:
        name = type(tsne.estimator).__name__
        raise SettingError("tsne", name, "must have n_components of at least 2 to draw a map")
    console.print(tsne.what)
    clusters = result.clustering.clusters[chosen]
    frame = pd.DataFrame(positions[:, :2], columns=["x", "y"])
    frame.insert(0, "image_id", result.sample.data.image_ids(result.sample.rows[chosen]))
    frame["cluster"] = clusters + 1
    result.run.table("tsne", frame)
    settings = "" if perplexity is None else f", perplexity {perplexity:g}"
    figure = figures.cluster_scatter(
        positions[:, :2],
        clusters,
        result.legend,
        axes=("t-SNE 1", "t-SNE 2"),
        title=result.title,
        note=f"{len(chosen):,} faces{settings}. Neighbouring faces are similar, but the sizes of groups and the"
        " distances between groups are not meaningful",
    )
    result.run.figure("tsne", figure)
