"""``experiment=clusters``: clusters of labels, their faces and their distances."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import MiniBatchKMeans
from sklearn.preprocessing import StandardScaler

from celeba_lab.data.annotations import Annotations
from celeba_lab.data.images import load_image
from celeba_lab.reports import clusters

Command = Callable[..., tuple[int, str, str]]


def test_clusters_faces_and_distances_match_scikit_learn(
    command: Command,
    tiny_celeba: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_folder,
    check_run,
    quick_clusters,
) -> None:
    """Unlike in the notebook, the faces and distances must belong to the clusters in the report."""
    shown = {}
    draw = clusters.figures.face_grid

    def spy(images, captions, **options):
        shown.update(zip(captions, images, strict=True))
        return draw(images, captions, **options)

    monkeypatch.setattr(clusters.figures, "face_grid", spy)
    code, out, err = command("experiment=clusters", f"data.root={tiny_celeba}", *quick_clusters, "task.report.faces=3")
    assert code == 0, err
    folder = run_folder("clusters")
    summary = check_run(folder, "clusters")
    assert summary["metrics"]["clusters"] == 5
    assert {"inertia", "silhouette", "stability", "stability/least"} <= set(summary["metrics"])

    # Repeat the clustering with scikit-learn alone.
    annotations = Annotations.load(tiny_celeba)
    points = StandardScaler().fit_transform(annotations.labels.astype(float))
    model = MiniBatchKMeans(5, batch_size=1000, n_init=3, random_state=42).fit(points)
    order = np.argsort(-np.bincount(model.labels_), kind="stable")
    expected = dict(zip(annotations.image_ids.tolist(), (np.argsort(order)[model.labels_] + 1).tolist(), strict=True))
    assignments = pd.read_csv(folder / "tables" / "assignments.csv").set_index("image_id")["cluster"].to_dict()
    assert assignments == expected

    # Each image is the file named in its caption, and that file is a member of the cluster named there.
    images = tiny_celeba / "img_align_celeba" / "img_align_celeba"
    assert len(shown) >= 5
    for caption, image in shown.items():
        cluster, name = re.fullmatch(r"cluster (\d)\n(\d+\.jpg)", caption).groups()
        assert expected[name] == int(cluster)
        np.testing.assert_array_equal(image, load_image(images / name, 10**6))

    # The distances are between the centroids of these five clusters.
    centroids = np.stack([points[model.labels_ == c].mean(axis=0) for c in order])
    distances = pd.read_csv(folder / "tables" / "centroid_distances.csv").set_index("cluster")
    assert distances.shape == (5, 5)
    np.testing.assert_allclose(distances, cdist(centroids, centroids))
    assert "adjusted Rand index" in out


@pytest.mark.usefixtures("blank_figures")
def test_clusters_need_no_images(
    command: Command, labels_only: Path, tmp_path: Path, run_folder, quick_clusters
) -> None:
    code, out, err = command(
        "experiment=clusters", f"data.root={labels_only}", *quick_clusters, "task.fraction=0.5", "seed=1"
    )
    assert code == 0, err
    assert "Skipping the figure of cluster faces, because there are no images in" in " ".join(out.split())
    folder = run_folder("clusters")
    assert not (folder / "figures" / "faces.png").exists()
    assert len(pd.read_csv(folder / "tables" / "assignments.csv")) == 120
    assert pd.read_csv(folder / "tables" / "numbers.csv")["n_clusters"].tolist() == [2, 3, 5]


@pytest.mark.usefixtures("blank_figures")
def test_missing_and_damaged_images_are_skipped(
    command: Command, write_celeba, tmp_path: Path, quick_clusters, run_folder
) -> None:
    root = write_celeba(tmp_path / "celeba")
    images = sorted((root / "img_align_celeba" / "img_align_celeba").glob("*.jpg"))
    for path in images[::2]:
        path.unlink()
    images[1].write_bytes(b"no picture")
    code, _, err = command("experiment=clusters", f"data.root={root}", *quick_clusters, "task.report.faces=2")
    assert code == 0, err
    shown = pd.read_csv(run_folder("clusters") / "tables" / "faces.csv")["image_id"]
    assert len(shown)
    assert set(shown) <= {path.name for path in images[3::2]}


@pytest.mark.usefixtures("blank_figures")
def test_an_empty_image_folder_does_not_stop_the_run(command: Command, labels_only: Path, quick_clusters) -> None:
    (labels_only / "img_align_celeba").mkdir()
    code, out, err = command("experiment=clusters", f"data.root={labels_only}", *quick_clusters)
    assert code == 0, err
    assert "Skipping the figure of cluster faces, because none of the selected images in" in " ".join(out.split())


def test_dbscan_omits_the_analyses_that_it_does_not_support(
    command: Command, labels_only: Path, tmp_path: Path, quick_clusters, run_folder
) -> None:
    few = [argument for argument in quick_clusters if "tsne" not in argument]
    dense = ["task/clusterer=dbscan", "task.clusterer.eps=1.5", "task.clusterer.min_samples=3", "task/scaler=none"]
    only = ["task.attributes=[Male,Young,Smiling,Bald,Bangs,Blurry,Chubby]", "task.report.tsne=null"]
    code, out, err = command("experiment=clusters", f"data.root={labels_only}", *few, *dense, *only)
    assert code == 0, err
    words = " ".join(out.split())
    assert "Skipping the comparison with other numbers of clusters, because DBSCAN does not use n_clusters." in words
    assert "Skipping the stability analysis, because DBSCAN is deterministic." in words
    assert not (run_folder("clusters") / "tables" / "numbers.csv").exists()


@pytest.mark.usefixtures("blank_figures")
def test_loadings_refer_to_the_columns_after_scaling(
    command: Command, labels_only: Path, tmp_path: Path, quick_clusters, run_folder
) -> None:
    """The loadings refer to the columns that were clustered."""
    few = [argument for argument in quick_clusters if "tsne" not in argument]
    scaler = ["task.scaler._target_=sklearn.decomposition.PCA", "+task.scaler.n_components=5", "task.report.tsne=null"]
    code, _, err = command("experiment=clusters", f"data.root={labels_only}", *few, *scaler)
    assert code == 0, err
    loadings = pd.read_csv(run_folder("clusters") / "tables" / "pca_loadings.csv")
    assert list(loadings) == ["component", "pca0", "pca1", "pca2", "pca3", "pca4"]


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_clusters_can_be_computed_in_a_sweep(
    command: Command, labels_only: Path, tmp_path: Path, quick_clusters, read_summary
) -> None:
    quick = [argument for argument in quick_clusters if "tsne" not in argument]
    options = [*quick, "task.report.tsne=null", "task/scaler=none", "task/clusterer=agglomerative"]
    code, _, err = command("-m", "experiment=clusters", f"data.root={labels_only}", *options, "task.n_clusters=2,3")
    assert code == 0, err
    summaries = sorted(tmp_path.glob("outputs/clusters/sweep_*/*/summary.json"))
    assert [read_summary(path.parent)["metrics"]["clusters"] for path in summaries] == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["task.fraction=0"], "task.fraction=0 must be above 0 and at most 1."),
        (["task.fraction=1", "task.n_clusters=241"], "distinct rows in the labels of the 240 faces"),
        (
            ["task.clusterer._target_=sklearn.cluster.KMaens"],
            "task.clusterer._target_=sklearn.cluster.KMaens cannot be imported",
        ),
        (["task/clusterer=kmaens"], "Did you mean 'kmeans'"),
        (
            ["task.report.numbers=[1,2]"],
            "task.report.numbers=[1,2] must not contain numbers below 2.",
        ),
        (
            ["task.attributes=[Male]"],
            "task.attributes=[Male] must name at least two attributes.",
        ),
        (["task.report.faces=21"], "task.report.faces=21 must be between 0 and 20."),
        (
            ["task.report.pca._target_=sklearn.decomposition.FactorAnalysis"],
            "task.report.pca=FactorAnalysis must",
        ),
    ],
)
def test_a_mistake_gives_a_one_sentence_error(arguments: list[str], sentence: str, assert_refused) -> None:
    assert_refused(sentence, "experiment=clusters", *arguments)
