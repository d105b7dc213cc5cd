"""``experiment=embeddings``: clusters of a trained network's features, compared with clusters of the labels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.images import load_image

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.usefixtures("blank_figures")
def test_embeddings_are_clustered_and_compared_with_the_labels(
    command: Command, trained, tiny_celeba: Path, tmp_path: Path, run_folder, check_run, quick_clusters
) -> None:
    arguments = [f"checkpoint={trained.checkpoint}", "data.partitions=[train,test]", "task.n_clusters=3"]
    quiet = ["trainer=cpu", "~callbacks.progress_bar", "task.projector_images=10"]
    code, out, err = command("experiment=embeddings", f"data.root={tiny_celeba}", *quick_clusters, *arguments, *quiet)
    assert code == 0, err
    folder = run_folder("embeddings")
    summary = check_run(folder, "embeddings")
    assert summary["details"]["rows"] == 40
    assert summary["checkpoint"] == str(trained.checkpoint)
    counts = pd.read_csv(folder / "tables" / "agreement.csv").drop(columns="cluster").to_numpy()
    first, second = np.repeat(np.argwhere(counts >= 0), counts.ravel(), axis=0).T
    assert summary["metrics"]["labels/adjusted_rand_index"] == pytest.approx(adjusted_rand_score(first, second))
    assert "agreement with the label clusters" in out

    with np.load(folder / "features.npz") as file:
        stored = dict(file)
    assert stored["features"].shape == (40, 1280)
    assert stored["image_id"].tolist() == [f"{k:06d}.jpg" for k in [*range(1, 33), *range(41, 49)]]
    assert pd.read_csv(folder / "tables" / "agreement.csv").drop(columns="cluster").to_numpy().sum() == 40

    [metadata] = folder.glob("00000/features/metadata.tsv")
    header, *rows = metadata.read_text().splitlines()
    assert header.split("\t") == ["image_id", "cluster", *ATTRIBUTES]
    assert len(rows) == 10
    assert (metadata.parent / "sprite.png").exists()


@pytest.mark.usefixtures("blank_figures")
def test_embeddings_are_the_features_of_the_named_images(
    command: Command, trained, tiny_celeba: Path, tmp_path: Path, quick_clusters, run_folder
) -> None:
    import torch

    from celeba_lab.models.classifier.module import AttributeClassifier

    quick = [argument for argument in quick_clusters if "tsne" not in argument]
    options = [*quick, "task.report.tsne=null", "task.fraction=0.5", "data.partitions=[train]", "task.n_clusters=2"]
    quiet = ["trainer=cpu", "~callbacks.progress_bar", f"checkpoint={trained.checkpoint}"]
    assert command("experiment=embeddings", f"data.root={tiny_celeba}", *options, *quiet)[0] == 0
    with np.load(run_folder("embeddings") / "features.npz") as file:
        stored = dict(file)
    model = AttributeClassifier.load_from_checkpoint(trained.checkpoint, map_location="cpu").eval()
    images = tiny_celeba / "img_align_celeba" / "img_align_celeba"
    assert len(stored["features"]) == 16
    for name, features in list(zip(stored["image_id"], stored["features"], strict=True))[:4]:
        face = torch.from_numpy(load_image(images / str(name), 10**6)).permute(2, 0, 1)[None]
        with torch.no_grad():
            np.testing.assert_allclose(features, model.features(face)[0].numpy(), atol=1e-4)


def test_embedding_without_a_checkpoint_is_rejected(assert_refused) -> None:
    assert_refused("To embed faces, specify a checkpoint", "experiment=embeddings")
