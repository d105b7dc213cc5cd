"""The tables of a report, on predictions small enough to work out by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from celeba_lab import figures
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.report import Predictions, attribute_table, mistakes, prediction_table, write_report, write_thresholds
from celeba_lab.run import RunFolder

pytestmark = pytest.mark.filterwarnings("ignore:No (positive|negative) samples")


def predictions(labels, probabilities, threshold=0.5, **options) -> Predictions:
    labels, probabilities = np.array(labels, dtype=np.uint8), np.array(probabilities, dtype=np.float32)
    n, count = labels.shape
    named = {
        "image_ids": [f"{row + 1:06d}.jpg" for row in range(n)],
        "index": np.arange(n),
        "attributes": [f"attribute_{k}" for k in range(count)],
        **options,
    }
    return Predictions(split="val", labels=labels, probabilities=probabilities, threshold=threshold, **named)


# Four faces, two attributes. Said at 0.5: [1, 0], [1, 1], [0, 0], [1, 0]; wrong: (1, 0), (2, 1), (3, 0), (3, 1).
FOUR = predictions([[1, 0], [0, 1], [0, 1], [0, 1]], [[0.9, 0.2], [0.6, 0.7], [0.1, 0.4], [0.95, 0.05]])


def test_every_mistake_and_the_most_confident_first():
    found = mistakes(FOUR)
    assert list(zip(found["row"], found["attribute"], strict=True)) == [
        (3, "attribute_0"),  # both 0.95 sure: in the order of the table
        (3, "attribute_1"),
        (1, "attribute_0"),
        (2, "attribute_1"),
    ]
    assert found["image_id"].tolist() == ["000004.jpg", "000004.jpg", "000002.jpg", "000003.jpg"]
    assert found["label"].tolist() == [0, 1, 0, 1]
    assert found["probability"].tolist() == pytest.approx([0.95, 0.05, 0.6, 0.4])
    assert found["confidence"].tolist() == pytest.approx([0.95, 0.95, 0.6, 0.6])
    assert found.index.tolist() == [0, 1, 2, 3]


def test_another_threshold_makes_other_mistakes():
    found = mistakes(predictions([[1], [1], [0], [0]], [[0.3], [0.1], [0.25], [0.2]], threshold=0.25))
    assert found["row"].tolist() == [1, 2]  # 0.25 itself is present, though the label says absent
    assert found["confidence"].tolist() == pytest.approx([0.9, 0.25])


def test_no_mistakes_is_an_empty_table():
    found = mistakes(predictions([[1], [0]], [[0.9], [0.1]]))
    assert len(found) == 0
    assert {"image_id", "attribute", "label", "probability", "confidence"} <= set(found)


def test_mistakes_and_accuracy_agree():
    generator = np.random.default_rng(0)
    some = predictions(
        generator.integers(0, 2, (200, 5)), generator.integers(0, 101, (200, 5)) / np.float32(100), threshold=0.35
    )
    accuracy = attribute_table(some).set_index("attribute")["accuracy"]
    wrong = mistakes(some)["attribute"].value_counts()
    np.testing.assert_allclose(1 - wrong[accuracy.index] / 200, accuracy, rtol=1e-6)


def test_the_gain_is_over_the_majority_class():
    table = attribute_table(FOUR).set_index("attribute")
    assert table["images"].tolist() == [4, 4]
    assert table["prevalence"].tolist() == [0.25, 0.75]
    assert table["majority_accuracy"].tolist() == [0.75, 0.75]
    assert table["accuracy"].tolist() == [0.5, 0.5]
    assert table["gain"].tolist() == [-0.25, -0.25]
    assert table["precision"].tolist() == pytest.approx([1 / 3, 1.0])
    assert table["recall"].tolist() == pytest.approx([1.0, 1 / 3])
    for k in range(2):
        column = FOUR.labels[:, k], FOUR.probabilities[:, k]
        assert table["auroc"].iloc[k] == pytest.approx(roc_auc_score(*column))
        assert table["average_precision"].iloc[k] == pytest.approx(average_precision_score(*column))
    assert "loss" not in table


def test_the_threshold_reaches_the_table():
    labels, probabilities = [[1], [1], [0], [0]], [[0.3], [0.1], [0.2], [0.2]]
    assert attribute_table(predictions(labels, probabilities))["accuracy"].tolist() == [0.5]
    assert attribute_table(predictions(labels, probabilities, threshold=0.25))["accuracy"].tolist() == [0.75]


@pytest.mark.parametrize("present", [0, 1])
def test_an_attribute_with_one_class_only(present):
    table = attribute_table(predictions([[present], [present]], [[0.9], [0.8]]))
    assert table["majority_accuracy"].tolist() == [1.0]
    assert table["gain"].tolist() == [present - 1.0]
    assert table[["auroc", "average_precision", "balanced_accuracy"]].isna().all(axis=None)


def test_one_row_of_predictions_for_each_image():
    table = prediction_table(FOUR)
    assert list(table) == [
        "image_id",
        "label/attribute_0",
        "probability/attribute_0",
        "label/attribute_1",
        "probability/attribute_1",
    ]
    assert table["image_id"].tolist() == FOUR.image_ids
    np.testing.assert_array_equal(table.filter(like="label/"), FOUR.labels)
    np.testing.assert_array_equal(table.filter(like="probability/"), FOUR.probabilities)


# -- the report on disk ----------------------------------------------------------------------------------------------


@pytest.fixture
def data(tiny_celeba) -> CelebADataModule:
    datamodule = CelebADataModule(str(tiny_celeba), attributes=["Smiling", "Male"], image_size=32, num_workers=0)
    datamodule.setup_split("val")
    return datamodule


def predictions_of(data: CelebADataModule, probabilities: np.ndarray) -> Predictions:
    index = data.split_indices("val")
    labels = np.stack([data.dataset("val")[row]["label"].numpy() for row in range(len(index))])
    return predictions(
        labels, probabilities(labels), image_ids=data.image_ids(index), index=index, attributes=data.attributes
    )


def test_a_report_is_tables_and_figures(tmp_path, data):
    def guess(labels: np.ndarray) -> np.ndarray:
        return np.random.default_rng(0).random(labels.shape)

    found = predictions_of(data, guess)
    table = write_report(RunFolder(tmp_path), found, data, "tiny CelebA")
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {
        *(f"tables/{name}_val.csv" for name in ("attributes", "predictions", "mistakes")),
        *(f"figures/{name}_val.png" for name in ("confusion", "roc", "precision_recall", "scores", "mistakes")),
    }
    pd.testing.assert_frame_equal(table, attribute_table(found))
    on_disk = pd.read_csv(tmp_path / "tables/attributes_val.csv")
    assert on_disk["accuracy"].tolist() == pytest.approx(table["accuracy"].tolist())
    assert len(pd.read_csv(tmp_path / "tables/predictions_val.csv")) == len(found.labels)
    wrong = pd.read_csv(tmp_path / "tables/mistakes_val.csv")
    assert "row" not in wrong
    assert set(wrong["image_id"]) <= set(found.image_ids)


def test_the_pictures_of_mistakes_are_those_images(tmp_path, data, monkeypatch):
    shown: dict[str, list] = {}

    def spy(images, captions, **options):
        shown.update(images=images, captions=captions)
        return original(images, captions, **options)

    original = figures.face_grid
    monkeypatch.setattr(figures, "face_grid", spy)
    found = predictions_of(data, lambda labels: np.where(labels == 1, 0.1, 0.2))  # every positive is a mistake
    write_report(RunFolder(tmp_path), found, data, "tiny CelebA")
    wrong = mistakes(found)
    assert len(shown["images"]) == len(wrong) == found.labels.sum()
    for image, row in zip(shown["images"], wrong["row"], strict=True):
        [expected] = data.raw_images(found.index[[row]])
        np.testing.assert_array_equal(image, expected)
    for caption, image_id in zip(shown["captions"], wrong["image_id"], strict=True):
        assert image_id in str(caption)


def test_without_mistakes_no_picture_of_them(tmp_path, data):
    write_report(RunFolder(tmp_path), predictions_of(data, lambda labels: labels.astype(float)), data, "tiny CelebA")
    assert not (tmp_path / "figures/mistakes_val.png").exists()
    assert len(pd.read_csv(tmp_path / "tables/mistakes_val.csv")) == 0


def test_tuned_thresholds_never_see_the_labels_they_are_measured_on(tmp_path: Path) -> None:
    """Other test labels give other scores, and the same thresholds."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (300, 2)).astype(np.uint8)
    probabilities = np.clip(0.3 * labels + 0.2 + 0.2 * rng.normal(size=(300, 2)), 0, 1).astype(np.float32)
    ids = [f"{k}.jpg" for k in range(100)]
    val, test = (
        Predictions(split, ids, np.arange(100), labels[rows], probabilities[rows], ["Male", "Young"], 0.5)
        for split, rows in (("val", slice(0, 100)), ("test", slice(100, 200)))
    )
    flipped = replace(test, labels=1 - test.labels)
    tables = []
    for name, measured in (("a", test), ("b", flipped)):
        run = RunFolder(tmp_path / name)
        metrics = write_thresholds(run, val, measured, "balanced_accuracy")
        tables.append(pd.read_csv(tmp_path / name / "tables" / "thresholds_test.csv"))
        assert metrics["test/tuned_balanced_accuracy"] == pytest.approx(tables[-1]["tuned_balanced_accuracy"].mean())
    assert tables[0]["tuned_threshold"].tolist() == tables[1]["tuned_threshold"].tolist()
    assert (tables[0]["tuned_balanced_accuracy"] > 0.6).all()
    assert (tables[1]["tuned_balanced_accuracy"] < 0.4).all()
    for k in range(2):
        threshold = tables[0]["tuned_threshold"][k]
        assert tables[0]["tuned_f1"][k] == pytest.approx(
            f1_score(test.labels[:, k], test.probabilities[:, k] >= threshold)
        )
        assert tables[0]["f1"][k] == pytest.approx(f1_score(test.labels[:, k], test.probabilities[:, k] >= 0.5))


def test_the_accuracy_has_an_interval(tmp_path: Path) -> None:
    labels = np.array([[1]] * 9 + [[0]], dtype=np.uint8)
    said = Predictions("val", [], np.arange(10), labels, np.full((10, 1), 0.9, dtype=np.float32), ["Male"], 0.5)
    row = attribute_table(said).iloc[0]
    expected = binomtest(9, 10).proportion_ci(method="wilson")
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((expected.low, expected.high))
