"""What a person is told about clusters of faces: who is in them, how they differ, and whether to believe in them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin, clone

from celeba_lab import figures
from celeba_lab.analyses.clustering import Clustering, describe, standardised_differences, try_numbers, try_seeds
from celeba_lab.analyses.estimators import has_parameter, refusals_of
from celeba_lab.assembly import LabelSample
from celeba_lab.console import console, progress, show_table
from celeba_lab.errors import UserError
from celeba_lab.run import RunFolder


@dataclass(frozen=True)
class ClusterReport:
    """How much is looked at; the parts come in the order of the time they take.

    Attributes:
        pca: finds the axes of the first map.
        numbers: of clusters, to compare with the one chosen.
        silhouette_sample: points whose silhouette is measured; the time grows with its square.
        seeds: so many other seeds tell how stable the clusters are.
        faces: shown of each cluster.
        tsne: finds the coordinates of the second map; None for no such map.
        tsne_sample: points on that map; the time grows a little faster than their number.
    """

    pca: TransformerMixin
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
        for name in ("seeds", "faces"):
            if getattr(self, name) < 0:
                raise UserError(f"task.report.{name}={getattr(self, name)}: give a whole number from 0.")
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
            ``clusters``, ``inertia``, ``silhouette`` and the mean and least ``stability``.
        """
        names = self._write_clusters(run, sample, clustering)
        self._write_faces(run, sample, clustering, seed)
        self._write_pca(run, sample, clustering, names, seed, features)
        metrics = {
            "clusters": float(clustering.count),
            "inertia": clustering.inertia,
            "silhouette": clustering.silhouette(self.silhouette_sample, seed),
        }
        self._write_numbers(run, sample, clustering, clusterer, seed)
        metrics |= self._write_stability(run, clustering, clusterer, seed)
        self._write_tsne(run, sample, clustering, names, seed)
        return metrics

    def _write_clusters(self, run: RunFolder, sample: LabelSample, clustering: Clustering) -> list[str]:
        """Return the clusters' names."""
        differences = standardised_differences(clustering, sample.labels)
        described = [describe(row, sample.attributes) for row in differences]
        numbers = [str(c + 1) for c in range(clustering.count)]
        share = clustering.sizes / len(clustering.points)
        frame = pd.DataFrame({"cluster": numbers, "faces": clustering.sizes, "share": share, "description": described})
        run.table("clusters", frame)
        image_ids = sample.datamodule.image_ids(sample.rows)
        run.table("assignments", pd.DataFrame({"image_id": image_ids, "cluster": clustering.clusters + 1}))
        for name, values in (("prevalence", clustering.means(sample.labels)), ("standardised_means", differences)):
            table = pd.DataFrame(values, columns=sample.attributes)
            table.insert(0, "cluster", numbers)
            run.table(f"cluster_{name}", table)
        distances = clustering.centroid_distances()
        table = pd.DataFrame(distances, columns=numbers)
        table.insert(0, "cluster", numbers)
        run.table("centroid_distances", table)
        show_table(f"{sample.source}: {clustering.count} clusters", frame)
        headings = [f"cluster {c}: {size:,} faces" for c, size in zip(numbers, clustering.sizes.tolist(), strict=True)]
        profile = figures.cluster_profile(
            differences,
            sample.attributes,
            headings,
            label="cluster mean - mean of all, in standard deviations",
            title=sample.source,
            note="What is more common in a cluster than among all these faces, and what is rarer",
        )
        run.figure("cluster_means", profile)
        ticks = [f"cluster {c}" for c in numbers]
        picture = figures.matrix_heatmap(
            distances,
            ticks,
            ticks,
            label="Euclidean distance",
            annotate=".2f",
            title=sample.source,
            note=f"Distances between the centroids of the {clustering.count} clusters",
        )
        run.figure("centroid_distances", picture)
        return [f"{heading}\n{words}" for heading, words in zip(headings, described, strict=True)]

    def _write_faces(self, run: RunFolder, sample: LabelSample, clustering: Clustering, seed: int) -> None:
        if not self.faces:
            return
        if not sample.datamodule.has_images:
            console.print(f"no images in {sample.datamodule.root}: the faces of the clusters are left out")
            return
        chosen = choose_members(clustering, self.faces, seed)
        rows = sample.rows[chosen]
        image_ids = sample.datamodule.image_ids(rows)
        clusters = clustering.clusters[chosen]
        run.table("faces", pd.DataFrame({"image_id": image_ids, "cluster": clusters + 1}))
        picture = figures.face_grid(
            sample.datamodule.raw_images(rows),
            [f"cluster {c + 1}\n{name}" for c, name in zip(clusters, image_ids, strict=True)],
            columns=self.faces,
            borders=[figures.PALETTE[c % len(figures.PALETTE)] for c in clusters],
            title=f"{sample.source} · faces drawn at random from each cluster",
        )
        run.figure("faces", picture)

    def _write_pca(
        self,
        run: RunFolder,
        sample: LabelSample,
        clustering: Clustering,
        names: list[str],
        seed: int,
        features: list[str] | None,
    ) -> None:
        pca = clone(self.pca)
        limit = min(clustering.points.shape)
        if limit < 2:
            console.print("one column or one row has no principal components: the PCA is left out")
            return
        if isinstance(pca.get_params().get("n_components"), int):
            pca.set_params(n_components=min(pca.get_params()["n_components"], limit))
        with refusals_of(pca, "task.report.pca"):
            positions = pca.fit_transform(clustering.points)
        if positions.shape[1] < 2:
            raise UserError(f"task.report.pca={type(pca).__name__} finds one axis; a map needs two.")
        explained, loadings = pca.explained_variance_ratio_, pca.components_
        axes = features or [f"feature_{k}" for k in range(loadings.shape[1])]
        table = pd.DataFrame(loadings, columns=axes)
        table.insert(0, "component", np.arange(1, len(loadings) + 1))
        table.insert(1, "explained_variance_ratio", explained)
        run.table("pca", table)
        shown = figures.pca_overview(
            positions[:, :2], clustering.clusters, names, explained, loadings[:2], features, title=sample.source
        )
        run.figure("pca", shown)

    def _write_numbers(
        self, run: RunFolder, sample: LabelSample, clustering: Clustering, clusterer: ClusterMixin, seed: int
    ) -> None:
        if not has_parameter(clusterer, "n_clusters"):
            console.print(f"{type(clusterer).__name__} chooses the number of clusters itself: no elbow to show")
            return
        numbers = sorted({*self.numbers, clustering.count})
        found = try_numbers(clustering.points, clusterer, numbers, self.silhouette_sample, seed)
        rows = list(progress(found, "other numbers of clusters", len(numbers)))
        frame = pd.DataFrame(rows, columns=["n_clusters", "inertia", "silhouette"])
        run.table("numbers", frame)
        picture = figures.number_of_clusters(
            frame["n_clusters"].to_numpy(),
            frame["inertia"].to_numpy(),
            frame["silhouette"].to_numpy(),
            clustering.count,
            title=sample.source,
        )
        run.figure("numbers", picture)

    def _write_stability(
        self, run: RunFolder, clustering: Clustering, clusterer: ClusterMixin, seed: int
    ) -> dict[str, float]:
        if not self.seeds or not has_parameter(clusterer, "random_state"):
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

    def _write_tsne(
        self, run: RunFolder, sample: LabelSample, clustering: Clustering, names: list[str], seed: int
    ) -> None:
        if self.tsne is None:
            return
        chosen = np.random.default_rng(seed).permutation(len(clustering.points))[: self.tsne_sample]
        chosen.sort()
        tsne = clone(self.tsne)
        perplexity = tsne.get_params().get("perplexity")
        if perplexity is not None and perplexity >= len(chosen):
            console.print(f"no t-SNE: task.report.tsne.perplexity={perplexity:g} needs more than {len(chosen)} faces")
            return
        what = f"t-SNE of {len(chosen):,} of the {len(clustering.points):,} faces (task.report.tsne_sample)"
        with run.timed("tsne"), console.status(what), refusals_of(tsne, "task.report.tsne"):
            positions = tsne.fit_transform(clustering.points[chosen])
        console.print(what)
        frame = pd.DataFrame(positions[:, :2], columns=["x", "y"])
        frame.insert(0, "image_id", sample.datamodule.image_ids(sample.rows[chosen]))
        frame["cluster"] = clustering.clusters[chosen] + 1
        run.table("tsne", frame)
        note = (
            f"{len(chosen):,} faces, perplexity {perplexity:g}" if perplexity is not None else f"{len(chosen):,} faces"
        )
        picture = figures.cluster_scatter(
            positions[:, :2],
            clustering.clusters[chosen],
            names,
            axes=("t-SNE 1", "t-SNE 2"),
            title=sample.source,
            note=f"{note}: neighbours are alike; distances between groups and their sizes mean little",
        )
        run.figure("tsne", picture)


def choose_members(clustering: Clustering, each: int, seed: int) -> np.ndarray:
    """Draw members of each cluster at random; return the positions of their points, int64, cluster by cluster."""
    order = np.random.default_rng(seed).permutation(len(clustering.points))
    return np.concatenate([order[clustering.clusters[order] == c][:each] for c in range(clustering.count)])
