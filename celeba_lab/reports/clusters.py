"""What a person is told about clusters of faces: who is in them, how they differ, and whether to believe in them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin, clone

from celeba_lab import figures
from celeba_lab.analyses.clustering import Clustering, describe, standardised_differences, try_numbers, try_seeds
from celeba_lab.analyses.estimators import has_parameter, refusals_of
from celeba_lab.analyses.sampling import LabelSample
from celeba_lab.console import console, progress, show_table
from celeba_lab.errors import UserError
from celeba_lab.runs.run import RunFolder

# A figure of more clusters, or of more faces of each, would be too large to read, and slow.
_MOST_SHOWN = 20
_MOST_FACES = 20
_NUMBERS = "One fit for each number: where the curves jump, the clusters depend on the seed"


@dataclass(frozen=True)
class ClusterReport:
    """How much is looked at; the parts come in the order of the time they take.

    Attributes:
        pca: finds the axes of the first map; None for no such map.
        numbers: of clusters, to compare with the one chosen.
        silhouette_sample: points whose silhouette is measured; the time grows with its square.
        seeds: so many other seeds tell how stable the clusters are.
        faces: shown of each cluster.
        tsne: finds the coordinates of the second map; None for no such map.
        tsne_sample: points on that map; the time grows a little faster than their number.
    """

    pca: TransformerMixin | None
    numbers: list[int]
    silhouette_sample: int = 5000
    seeds: int = 10
    faces: int = 8
    tsne: BaseEstimator | None = None
    tsne_sample: int = 3000

    def __post_init__(self) -> None:
        for name in ("silhouette_sample", "tsne_sample"):
            if getattr(self, name) < 2:
                raise UserError(f"task.report.{name}={getattr(self, name)}: give at least 2.")
        if self.seeds < 0:
            raise UserError(f"task.report.seeds={self.seeds}: give a whole number from 0.")
        if not 0 <= self.faces <= _MOST_FACES:
            raise UserError(f"task.report.faces={self.faces}: give a number from 0 to {_MOST_FACES}.")
        if any(number < 2 for number in self.numbers):
            raise UserError(f"task.report.numbers={self.numbers}: give numbers of clusters from 2.")

    def write(
        self,
        run: RunFolder,
        sample: LabelSample,
        clustering: Clustering,
        clusterer: ClusterMixin,
        seed: int,
        features: list[str] | None,
    ) -> dict[str, float]:
        """Write every table and figure, the clusters themselves first.

        Args:
            run: where they go.
            sample: the faces, a row for each point.
            clustering: their clusters.
            clusterer: what found them.
            seed: of every random choice here.
            features: what the axes of the points are called; None if they have no names.

        Returns:
            ``clusters``, ``inertia``, ``silhouette``, ``alone`` (the share of faces in no cluster) and the mean and
            least ``stability``.
        """
        names = _write_clusters(run, sample, clustering)
        _draw_distances(run, sample, clustering)
        if self.faces:
            _draw_faces(run, sample, clustering, self.faces, seed)
        if self.pca is not None:
            _write_pca(run, sample, clustering, names, clone(self.pca), features)
        metrics = {
            "clusters": float(clustering.count),
            "inertia": clustering.inertia,
            "silhouette": clustering.silhouette(self.silhouette_sample, seed),
            "alone": float(np.mean(clustering.clusters < 0)),
        }
        self._write_numbers(run, sample, clustering, clusterer, seed)
        metrics |= self._write_stability(run, clustering, clusterer, seed)
        if self.tsne is not None:
            _write_tsne(run, sample, clustering, names, clone(self.tsne), self.tsne_sample, seed)
        return metrics

    def _write_numbers(
        self, run: RunFolder, sample: LabelSample, clustering: Clustering, clusterer: ClusterMixin, seed: int
    ) -> None:
        if clusterer.get_params(deep=False).get("n_clusters") is None:
            console.print(f"{type(clusterer).__name__} was not told the number of clusters: no elbow to show")
            return
        numbers = sorted({*self.numbers, clustering.count})
        found = try_numbers(clustering, clusterer, numbers, self.silhouette_sample, seed)
        rows = list(progress(found, "other numbers of clusters", len(numbers)))
        frame = pd.DataFrame(rows, columns=["n_clusters", "inertia", "silhouette"])
        run.table("numbers", frame)
        k, inertia, silhouette = (frame[name].to_numpy() for name in frame)
        picture = figures.number_of_clusters(
            k, inertia, silhouette, clustering.count, title=sample.source, note=_NUMBERS
        )
        run.figure("numbers", picture)

    def _write_stability(
        self, run: RunFolder, clustering: Clustering, clusterer: ClusterMixin, seed: int
    ) -> dict[str, float]:
        if not self.seeds:
            return {}
        if not has_parameter(clusterer, "random_state"):
            console.print(f"{type(clusterer).__name__} leaves nothing to chance: no stability over seeds to show")
            return {}
        found = try_seeds(clustering, clusterer, range(seed + 1, seed + 1 + self.seeds))
        rows = list(progress(found, "other seeds", self.seeds))
        frame = pd.DataFrame(rows, columns=["seed", "adjusted_rand_index"])
        run.table("stability", frame)
        index = frame["adjusted_rand_index"]
        console.print(
            f"stability: {self.seeds} other seeds agree with these clusters to an adjusted Rand index of"
            f" {index.mean():.2f} on average, {index.min():.2f} at least (1: the same clusters, 0: by chance)"
        )
        return {"stability": float(index.mean()), "stability/least": float(index.min())}


def _write_clusters(run: RunFolder, sample: LabelSample, clustering: Clustering) -> list[str]:
    """Write who is in the clusters and how they differ; return their names, in words."""
    differences = standardised_differences(clustering, sample.labels)
    described = [describe(row, sample.attributes) for row in differences]
    numbers = _numbers(clustering)
    share = clustering.sizes / len(clustering.points)
    frame = pd.DataFrame({"cluster": numbers, "faces": clustering.sizes, "share": share, "description": described})
    run.table("clusters", frame)
    image_ids = sample.datamodule.image_ids(sample.rows)
    run.table("assignments", pd.DataFrame({"image_id": image_ids, "cluster": clustering.clusters + 1}))
    prevalence = clustering.means(sample.labels)
    run.matrix("cluster_prevalence", prevalence, numbers, sample.attributes, corner="cluster")
    run.matrix("cluster_standardised_means", differences, numbers, sample.attributes, corner="cluster")
    show_table(f"{sample.source}: {clustering.count} clusters", frame, most=_MOST_SHOWN)
    if alone := len(clustering.points) - len(clustering.members):
        console.print(f"{alone:,} faces belong to no cluster (cluster 0 in the tables)")
    headings = [f"cluster {c}:\n{size:,} faces" for c, size in zip(numbers, clustering.sizes.tolist(), strict=True)]
    profile = figures.cluster_profile(
        differences[:_MOST_SHOWN],
        sample.attributes,
        headings[:_MOST_SHOWN],
        label="cluster mean - mean of all, in standard deviations",
        title=sample.source,
        note=f"What is more common in a cluster than among all these faces, and what is rarer{_cut(clustering)};"
        " blocks: the cluster in which an attribute is most common",
    )
    run.figure("cluster_means", profile)
    named = zip(headings, described, strict=True)
    return [f"{heading.replace(chr(10), ' ')}\n{words}" for heading, words in named]


def _draw_distances(run: RunFolder, sample: LabelSample, clustering: Clustering) -> None:
    distances = clustering.centroid_distances()
    numbers = _numbers(clustering)
    run.matrix("centroid_distances", distances, numbers, numbers, corner="cluster")
    ticks = [f"cluster {c}" for c in numbers][:_MOST_SHOWN]
    picture = figures.matrix_heatmap(
        distances[:_MOST_SHOWN, :_MOST_SHOWN],
        ticks,
        ticks,
        label="Euclidean distance",
        title=sample.source,
        note=f"Distances between the centroids of the {clustering.count} clusters{_cut(clustering)}",
    )
    run.figure("centroid_distances", picture)


def _draw_faces(run: RunFolder, sample: LabelSample, clustering: Clustering, each: int, seed: int) -> None:
    """Draw members of each cluster, chosen at random among those whose image can be read."""
    if not sample.datamodule.has_images:
        console.print(f"no images in {sample.datamodule.root}: the faces of the clusters are left out")
        return
    faces, captions, borders, rows = [], [], [], []
    for cluster, position, face in readable_members(sample, clustering, each, seed):
        [image_id] = sample.datamodule.image_ids([sample.rows[position]])
        faces.append(face)
        captions.append(f"cluster {cluster + 1}\n{image_id}")
        borders.append(figures.cluster_colour(cluster))
        rows.append((image_id, cluster + 1))
    if not faces:
        console.print(
            f"none of the images tried in {sample.datamodule.root} can be read: the faces of the clusters are left out"
        )
        return
    run.table("faces", pd.DataFrame(rows, columns=["image_id", "cluster"]))
    title = f"{sample.source} · faces drawn at random from each cluster"
    run.figure("faces", figures.face_grid(faces, captions, columns=each, borders=borders, title=title))


def readable_members(
    sample: LabelSample, clustering: Clustering, each: int, seed: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Draw members of each cluster at random, passing over a few images that are missing or damaged.

    Yields:
        Cluster, position of the point, and the face, uint8 (H, W, 3), cluster by cluster.
    """
    order = np.random.default_rng(seed).permutation(clustering.members)
    for cluster in range(min(clustering.count, _MOST_SHOWN)):
        left = each
        for position in order[clustering.clusters[order] == cluster][: 5 * each].tolist():
            if not left:
                break
            try:
                [face] = sample.datamodule.raw_images([sample.rows[position]])
            except UserError:
                continue
            left -= 1
            yield cluster, position, face


def _write_pca(
    run: RunFolder,
    sample: LabelSample,
    clustering: Clustering,
    names: list[str],
    pca: TransformerMixin,
    features: list[str] | None,
) -> None:
    limit = min(clustering.points.shape)
    if limit < 2:
        console.print("one column or one row has no principal components: the PCA is left out")
        return
    if isinstance(pca.get_params().get("n_components"), int):
        pca.set_params(n_components=min(pca.get_params()["n_components"], limit))
    with refusals_of(pca, "task.report.pca"):
        positions = pca.fit_transform(clustering.points)
    if not hasattr(pca, "explained_variance_ratio_") or positions.shape[1] < 2:
        raise UserError(
            f"task.report.pca={type(pca).__name__} does not explain variance by two components or more; take for"
            " example sklearn.decomposition.PCA or TruncatedSVD with n_components=10."
        )
    explained, loadings = pca.explained_variance_ratio_, pca.components_
    axes = features or [f"feature_{k}" for k in range(loadings.shape[1])]
    components = [str(number + 1) for number in range(len(loadings))]
    run.matrix("pca_loadings", loadings, components, axes, corner="component")
    run.table("pca", pd.DataFrame({"component": components, "explained_variance_ratio": explained}))
    seen = _seen(clustering)
    picture = figures.pca_overview(
        positions[seen, :2],
        clustering.clusters[seen],
        names[:_MOST_SHOWN],
        explained,
        loadings[:2],
        features,
        title=sample.source,
    )
    run.figure("pca", picture)


def _write_tsne(
    run: RunFolder,
    sample: LabelSample,
    clustering: Clustering,
    names: list[str],
    tsne: BaseEstimator,
    most: int,
    seed: int,
) -> None:
    chosen = np.sort(np.random.default_rng(seed).permutation(_seen(clustering))[:most])
    perplexity = tsne.get_params().get("perplexity")
    if min(clustering.points.shape) < 2 or (perplexity is not None and perplexity >= len(chosen)):
        needs = "two columns" if perplexity is None else f"more than task.report.tsne.perplexity={perplexity:g} faces"
        console.print(f"the t-SNE is left out: it needs {needs}, and there are {len(chosen)}")
        return
    what = f"t-SNE of {len(chosen):,} of the {len(clustering.points):,} faces (task.report.tsne_sample)"
    with run.timed("tsne"), console.status(what), refusals_of(tsne, "task.report.tsne"):
        positions = tsne.fit_transform(clustering.points[chosen])
    if positions.shape[1] < 2:
        raise UserError(f"task.report.tsne={type(tsne).__name__} gives one coordinate; a map needs n_components=2.")
    console.print(what)
    frame = pd.DataFrame(positions[:, :2], columns=["x", "y"])
    frame.insert(0, "image_id", sample.datamodule.image_ids(sample.rows[chosen]))
    frame["cluster"] = clustering.clusters[chosen] + 1
    run.table("tsne", frame)
    settings = "" if perplexity is None else f", perplexity {perplexity:g}"
    picture = figures.cluster_scatter(
        positions[:, :2],
        clustering.clusters[chosen],
        names[:_MOST_SHOWN],
        axes=("t-SNE 1", "t-SNE 2"),
        title=sample.source,
        note=f"{len(chosen):,} faces{settings}: neighbours are alike; distances and sizes of groups mean little",
    )
    run.figure("tsne", picture)


def _numbers(clustering: Clustering) -> list[str]:
    return [str(c + 1) for c in range(clustering.count)]


def _seen(clustering: Clustering) -> np.ndarray:
    """Return the positions of the points that figures show: the members of the largest clusters."""
    return clustering.members[clustering.clusters[clustering.members] < _MOST_SHOWN]


def _cut(clustering: Clustering) -> str:
    return f" (the {_MOST_SHOWN} largest)" if clustering.count > _MOST_SHOWN else ""
