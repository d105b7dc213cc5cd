"""``experiment=logistic``, ``cooccurrence``, ``clusters`` and ``embeddings`` by the real command line."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from celeba_lab.data.annotations import Annotations
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.images import load_image
from celeba_lab.reports import clusters

Command = Callable[..., tuple[int, str, str]]
# A few faces: fewer than the perplexity, and groups that are there by chance.
QUICK = [
    "task.fraction=1",
    "task.report.numbers=[2,3]",
    "task.report.seeds=2",
    "task.report.tsne.perplexity=5",
    "task.report.tsne.max_iter=250",
]


@pytest.fixture
def labels_only(write_celeba, tmp_path: Path) -> Path:
    return write_celeba(tmp_path / "labels", n=240, images=False)


def run_folder(tmp_path: Path, name: str) -> Path:
    [summary] = tmp_path.glob(f"outputs/{name}/*/summary.json")
    return summary.parent


def figures_in_tensorboard(folder: Path) -> set[str]:
    events = EventAccumulator(str(folder)).Reload()
    return {tag.removeprefix("figures/") for tag in events.Tags()["images"]}


def check_run(folder: Path, task: str) -> dict:
    """What every analysis leaves; returns its summary."""
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["task"] == task
    assert summary["data"]["name"] == "celeba"
    assert summary["rows"]
    pictures = {path.stem for path in (folder / "figures").glob("*.png")}
    assert pictures
    assert figures_in_tensorboard(folder) == pictures
    return summary


# ------------------------------------------------------------------------------------------------------------- logistic


def test_logistic(command: Command, labels_only: Path, tmp_path: Path) -> None:
    code, out, err = command("experiment=logistic", f"data.root={labels_only}")
    assert code == 0, err
    folder = run_folder(tmp_path, "logistic")
    summary = check_run(folder, "logistic")
    table = pd.read_csv(folder / "tables" / "attributes.csv").set_index("attribute")
    assert list(table.index) == list(ATTRIBUTES)
    assert summary["rows"] == {"train": 192, "test": 48}
    assert summary["metrics"]["test/accuracy"] == pytest.approx(table["accuracy"].mean())
    assert summary["metrics"]["test/accuracy/Smiling"] == pytest.approx(table.loc["Smiling", "accuracy"])
    odds = pd.read_csv(folder / "tables" / "odds_ratios.csv").set_index("attribute")
    assert np.isnan(np.diag(odds)).all()
    assert (odds.to_numpy()[~np.eye(40, dtype=bool)] > 0).all()
    assert re.search(r"^converged, in at most \d+ iterations$", out, flags=re.MULTILINE)


def test_logistic_on_the_official_split_of_a_part(command: Command, labels_only: Path, tmp_path: Path) -> None:
    arguments = ["task.split=official", "task.fraction=0.5", "task.attributes=[Male,Young,Bald]", "seed=3"]
    for name in ("first", "second"):
        where = f"hydra.run.dir={tmp_path / name}"
        assert command("experiment=logistic", f"data.root={labels_only}", *arguments, where)[0] == 0
    first, second = (tmp_path / name / "tables" / "attributes.csv" for name in ("first", "second"))
    assert first.read_text() == second.read_text(), "the same seed gives the same rows"
    summary = json.loads((first.parents[1] / "summary.json").read_text())
    assert summary["rows"]["train"] + summary["rows"]["test"] < 120, "validation is neither fitted nor tested"
    assert [line.split(",")[0] for line in first.read_text().splitlines()[1:]] == ["Male", "Young", "Bald"]


def test_another_classifier_is_a_setting(command: Command, labels_only: Path, tmp_path: Path) -> None:
    code, out, err = command("experiment=logistic", f"data.root={labels_only}", "task/estimator=naive_bayes")
    assert code == 0, err
    assert "odds ratios are left out" in out
    assert not (run_folder(tmp_path, "logistic") / "figures" / "odds_ratios.png").exists()


def test_a_solver_that_did_not_finish_is_told(command: Command, labels_only: Path) -> None:
    _, out, _ = command("experiment=logistic", f"data.root={labels_only}", "task.estimator.max_iter=1")
    assert "NOT CONVERGED" in out


# --------------------------------------------------------------------------------------------------------- cooccurrence


def test_cooccurrence(command: Command, labels_only: Path, tmp_path: Path) -> None:
    code, _, err = command("experiment=cooccurrence", f"data.root={labels_only}", "data.partitions=[val,test]")
    assert code == 0, err
    folder = run_folder(tmp_path, "cooccurrence")
    assert check_run(folder, "cooccurrence")["rows"] == 80
    annotations = Annotations.load(labels_only)
    labels = annotations.labels[annotations.partition > 0].astype(int)
    joint = pd.read_csv(folder / "tables" / "joint.csv").set_index("attribute")
    assert (joint.to_numpy() == labels.T @ labels).all()
    assert list(joint.columns) == list(joint.index) == list(ATTRIBUTES)
    pairs = pd.read_csv(folder / "tables" / "pairs.csv")
    assert len(pairs) == 780
    assert pairs["phi"].abs().is_monotonic_decreasing
    row = pairs.iloc[0]
    assert row["both"] == joint.loc[row["first"], row["second"]]
    assert row["P(first | second)"] == pytest.approx(row["both"] / joint.loc[row["second"], row["second"]])


# ------------------------------------------------------------------------------------------------------------- clusters


def test_clusters(command: Command, tiny_celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two defects of the notebook are gone: its pictures were of other faces, its distances of other clusters."""
    shown = {}
    draw = clusters.figures.face_grid

    def spy(images, captions, **options):
        shown.update(zip(captions, images, strict=True))
        return draw(images, captions, **options)

    monkeypatch.setattr(clusters.figures, "face_grid", spy)
    code, out, err = command("experiment=clusters", f"data.root={tiny_celeba}", *QUICK, "task.report.faces=3")
    assert code == 0, err
    folder = run_folder(tmp_path, "clusters")
    summary = check_run(folder, "clusters")
    assert summary["metrics"]["clusters"] == 5
    assert {"inertia", "silhouette", "stability", "stability/least"} <= set(summary["metrics"])

    # Found again, by scikit-learn alone.
    annotations = Annotations.load(tiny_celeba)
    points = StandardScaler().fit_transform(annotations.labels.astype(float))
    model = MiniBatchKMeans(5, batch_size=1000, n_init=3, random_state=42).fit(points)
    order = np.argsort(-np.bincount(model.labels_), kind="stable")
    expected = dict(zip(annotations.image_ids.tolist(), (np.argsort(order)[model.labels_] + 1).tolist(), strict=True))
    assignments = pd.read_csv(folder / "tables" / "assignments.csv").set_index("image_id")["cluster"].to_dict()
    assert assignments == expected

    # Each picture is the file in its caption, and that file is a member of the cluster in its caption.
    images = tiny_celeba / "img_align_celeba" / "img_align_celeba"
    assert len(shown) >= 5
    for caption, image in shown.items():
        cluster, name = re.fullmatch(r"cluster (\d)\n(\d+\.jpg)", caption).groups()
        assert expected[name] == int(cluster)
        np.testing.assert_array_equal(image, load_image(images / name, 10**6))

    # The distances are those between the centroids of these five clusters.
    centroids = np.stack([points[model.labels_ == c].mean(axis=0) for c in order])
    distances = pd.read_csv(folder / "tables" / "centroid_distances.csv").set_index("cluster")
    assert distances.shape == (5, 5)
    np.testing.assert_allclose(distances, cdist(centroids, centroids))
    assert "adjusted Rand index" in out


def test_clusters_need_no_images(command: Command, labels_only: Path, tmp_path: Path) -> None:
    code, out, err = command("experiment=clusters", f"data.root={labels_only}", *QUICK, "task.fraction=0.5", "seed=1")
    assert code == 0, err
    assert "the faces of the clusters are left out" in out.replace("\n", " ")
    folder = run_folder(tmp_path, "clusters")
    assert not (folder / "figures" / "faces.png").exists()
    assert len(pd.read_csv(folder / "tables" / "assignments.csv")) == 120
    assert pd.read_csv(folder / "tables" / "numbers.csv")["n_clusters"].tolist() == [2, 3, 5]


def test_missing_and_damaged_images_are_passed_over(command: Command, write_celeba, tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    images = sorted((root / "img_align_celeba" / "img_align_celeba").glob("*.jpg"))
    for path in images[::2]:
        path.unlink()
    images[1].write_bytes(b"no picture")
    code, _, err = command("experiment=clusters", f"data.root={root}", *QUICK, "task.report.faces=2")
    assert code == 0, err
    shown = pd.read_csv(run_folder(tmp_path, "clusters") / "tables" / "faces.csv")["image_id"]
    assert len(shown)
    assert set(shown) <= {path.name for path in images[3::2]}


def test_an_empty_image_folder_is_no_reason_to_stop(command: Command, labels_only: Path) -> None:
    (labels_only / "img_align_celeba").mkdir()
    code, out, err = command("experiment=clusters", f"data.root={labels_only}", *QUICK)
    assert code == 0, err
    assert "can be read: the faces of the clusters are left out" in out.replace("\n", " ")


def test_dense_regions_and_the_rest(command: Command, labels_only: Path, tmp_path: Path) -> None:
    few = [argument for argument in QUICK if "tsne" not in argument]
    dense = ["task/clusterer=dbscan", "task.clusterer.eps=1.5", "task.clusterer.min_samples=3", "task/scaler=none"]
    only = ["task.attributes=[Male,Young,Smiling,Bald,Bangs,Blurry,Chubby]", "task.report.tsne=null"]
    code, out, err = command("experiment=clusters", f"data.root={labels_only}", *few, *dense, *only)
    assert code == 0, err
    assert "was not told the number of clusters: no elbow" in out.replace("\n", " ")
    assert "leaves nothing to chance" in out
    assert not (run_folder(tmp_path, "clusters") / "tables" / "numbers.csv").exists()


def test_a_scaler_that_makes_other_columns(command: Command, labels_only: Path, tmp_path: Path) -> None:
    """Loadings belong to the columns that the clusterer saw."""
    few = [argument for argument in QUICK if "tsne" not in argument]
    scaler = ["task.scaler._target_=sklearn.decomposition.PCA", "+task.scaler.n_components=5", "task.report.tsne=null"]
    code, _, err = command("experiment=clusters", f"data.root={labels_only}", *few, *scaler)
    assert code == 0, err
    loadings = pd.read_csv(run_folder(tmp_path, "clusters") / "tables" / "pca_loadings.csv")
    assert list(loadings) == ["component", "pca0", "pca1", "pca2", "pca3", "pca4"]


def test_constant_attributes_leave_both_means(command: Command, write_celeba, tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba", n=240, images=False)
    table = root / "list_attr_celeba.csv"
    frame = pd.read_csv(table)
    frame["Bald"] = -1
    frame.to_csv(table, index=False)
    code, out, err = command("experiment=logistic", f"data.root={root}", "task.attributes=[Bald,Male,Young]")
    assert code == 0, err
    folder = run_folder(tmp_path, "logistic")
    rows = pd.read_csv(folder / "tables" / "attributes.csv").set_index("attribute").loc[["Male", "Young"]]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["majority_accuracy"]["test"] == pytest.approx(rows["majority_accuracy"].mean())
    assert summary["metrics"]["test/gain"] == pytest.approx(rows["accuracy"].mean() - rows["majority_accuracy"].mean())
    assert "no model for Bald" in out


def test_clusters_in_a_sweep(command: Command, labels_only: Path, tmp_path: Path) -> None:
    quick = [argument for argument in QUICK if "tsne" not in argument]
    options = [*quick, "task.report.tsne=null", "task/scaler=none", "task/clusterer=agglomerative"]
    code, _, err = command("-m", "experiment=clusters", f"data.root={labels_only}", *options, "task.n_clusters=2,3")
    assert code == 0, err
    summaries = sorted(tmp_path.glob("outputs/clusters/sweep_*/*/summary.json"))
    assert [json.loads(path.read_text())["metrics"]["clusters"] for path in summaries] == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["experiment=clusters", "task.fraction=0"], "task.fraction=0 must be above 0 and at most 1."),
        (["experiment=logistic", "task.fraction=1.5"], "task.fraction=1.5 must be above 0 and at most 1."),
        (["experiment=cooccurrence", "task.attributes=[Smilling,Male]"], "'Smilling' is not an attribute of CelebA"),
        (
            ["experiment=cooccurrence", "task.attributes=[Male]"],
            "task.attributes=[Male] must name at least two attributes.",
        ),
        (["experiment=clusters", "task.fraction=1", "task.n_clusters=241"], "the labels of the 240 faces have"),
        (["experiment=logistic", "~task.estimator"], "task.estimator has no value"),
        (["experiment=logistic", "task.estimator=null"], "task.estimator=None has the wrong type"),
        (
            ["experiment=clusters", "task.clusterer._target_=sklearn.cluster.KMaens"],
            "task.clusterer._target_=sklearn.cluster.KMaens cannot be imported",
        ),
        (["experiment=clusters", "task/clusterer=kmaens"], "Did you mean 'kmeans'"),
        (
            ["experiment=clusters", "task.report.numbers=[1,2]"],
            "task.report.numbers=[1,2] must be numbers of clusters of at least 2.",
        ),
        (["experiment=logistic", "task.split=offical"], "Did you mean 'official'"),
        (
            ["experiment=logistic", "task.split=official", "data.partitions=[train]"],
            "task.split=official needs rows of the test split",
        ),
        (["experiment=logistic", "data.partitions=[tain]"], "data.partitions=tain must be one of train, val, test."),
        (["experiment=embeddings"], "To embed faces, name a checkpoint"),
        (
            ["experiment=clusters", "task.attributes=[Male]"],
            "task.attributes=[Male] must name at least two attributes.",
        ),
        (["experiment=clusters", "task.report.faces=21"], "task.report.faces=21 must be between 0 and 20."),
        (
            ["experiment=clusters", "task.report.pca._target_=sklearn.decomposition.FactorAnalysis"],
            "task.report.pca=FactorAnalysis must",
        ),
    ],
)
def test_a_mistake_is_one_sentence(
    command: Command, labels_only: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    code, _, err = command(*arguments, f"data.root={labels_only}")
    assert code == 1
    assert sentence in err
    assert len(err.strip().splitlines()) == 1, err
    assert not list(tmp_path.glob("outputs/*/*/summary.json"))


# ----------------------------------------------------------------------------------------------------------- embeddings


def test_embeddings(command: Command, trained, tiny_celeba: Path, tmp_path: Path) -> None:
    arguments = [f"checkpoint={trained.checkpoint}", "data.partitions=[train,test]", "task.n_clusters=3"]
    quiet = ["trainer=cpu", "~callbacks.progress_bar", "task.projector_images=10"]
    code, out, err = command("experiment=embeddings", f"data.root={tiny_celeba}", *QUICK, *arguments, *quiet)
    assert code == 0, err
    folder = run_folder(tmp_path, "embeddings")
    summary = check_run(folder, "embeddings")
    assert summary["rows"] == 40
    assert summary["checkpoint"] == str(trained.checkpoint)
    counts = pd.read_csv(folder / "tables" / "agreement.csv").drop(columns="cluster").to_numpy()
    first, second = np.repeat(np.argwhere(counts >= 0), counts.ravel(), axis=0).T
    assert summary["metrics"]["labels/adjusted_rand_index"] == pytest.approx(adjusted_rand_score(first, second))
    assert "agreement with the clusters of the labels" in out

    stored = np.load(folder / "features.npz")
    assert stored["features"].shape == (40, 1280)
    assert stored["image_id"].tolist() == [f"{k:06d}.jpg" for k in [*range(1, 33), *range(41, 49)]]
    assert pd.read_csv(folder / "tables" / "agreement.csv").drop(columns="cluster").to_numpy().sum() == 40

    [metadata] = folder.glob("00000/features/metadata.tsv")
    header, *rows = metadata.read_text().splitlines()
    assert header.split("\t") == ["image_id", "cluster", *ATTRIBUTES]
    assert len(rows) == 10
    assert (metadata.parent / "sprite.png").exists()


def test_embeddings_are_the_features_of_the_named_images(
    command: Command, trained, tiny_celeba: Path, tmp_path: Path
) -> None:
    import torch

    from celeba_lab.models.classifier.module import AttributeClassifier

    quick = [argument for argument in QUICK if "tsne" not in argument]
    options = [*quick, "task.report.tsne=null", "task.fraction=0.5", "data.partitions=[train]", "task.n_clusters=2"]
    quiet = ["trainer=cpu", "~callbacks.progress_bar", f"checkpoint={trained.checkpoint}"]
    assert command("experiment=embeddings", f"data.root={tiny_celeba}", *options, *quiet)[0] == 0
    stored = np.load(run_folder(tmp_path, "embeddings") / "features.npz")
    model = AttributeClassifier.load_from_checkpoint(trained.checkpoint, map_location="cpu").eval()
    images = tiny_celeba / "img_align_celeba" / "img_align_celeba"
    assert len(stored["features"]) == 16
    for name, features in list(zip(stored["image_id"], stored["features"], strict=True))[:4]:
        face = torch.from_numpy(load_image(images / str(name), 10**6)).permute(2, 0, 1)[None]
        with torch.no_grad():
            np.testing.assert_allclose(features, model.features(face)[0].numpy(), atol=1e-4)
