"""The prediction table can be written and read back, and invalid tables are rejected."""

import re
from pathlib import Path

import numpy as np
import pytest

from celeba_lab.analyses.predictions import Predictions, read_attributes
from celeba_lab.errors import UserError

NAMES = ["Smiling", "Male", "Young"]


def predictions(n: int = 20, threshold: float = 0.5) -> Predictions:
    rng = np.random.default_rng(0)
    return Predictions(
        split="test",
        image_ids=[f"{k + 1:06d}.jpg" for k in range(n)],
        index=np.arange(100, 100 + n),
        labels=rng.integers(0, 2, (n, 3)).astype(np.uint8),
        probabilities=rng.random((n, 3), dtype=np.float32),
        attributes=NAMES,
        threshold=threshold,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Prediction table of twenty images."""
    path = tmp_path / "predictions_test.csv"
    predictions().to_table().to_csv(path, index=False)
    return path


def test_a_probability_equal_to_the_threshold_is_predicted_present() -> None:
    one = Predictions("val", ["a", "b"], np.arange(2), np.zeros((2, 1)), np.array([[0.25], [0.2]]), ["Male"], 0.25)
    assert one.predicted.tolist() == [[1], [0]]
    assert one.predicted.dtype == np.uint8


def test_a_table_has_one_row_for_each_image() -> None:
    expected = predictions()
    table = expected.to_table()
    assert list(table) == ["image_id"] + [f"{kind}/{name}" for name in NAMES for kind in ("label", "probability")]
    assert table["image_id"].tolist() == expected.image_ids
    np.testing.assert_array_equal(table.filter(like="label/"), expected.labels)
    np.testing.assert_array_equal(table.filter(like="probability/"), expected.probabilities)


def test_a_table_is_read_back_exactly(path: Path) -> None:
    expected, found = predictions(), Predictions.read(path)
    assert (found.split, found.image_ids, found.attributes) == ("test", expected.image_ids, NAMES)
    assert found.index.tolist() == list(range(20))
    for name in ("labels", "probabilities"):
        values = getattr(found, name)
        np.testing.assert_array_equal(values, getattr(expected, name))
        assert values.dtype == getattr(expected, name).dtype


def test_selected_attributes_are_read_in_the_given_order(path: Path) -> None:
    found = Predictions.read(path, ["Young", "Smiling"], threshold=0.3)
    assert found.attributes == ["Young", "Smiling"]
    np.testing.assert_array_equal(found.probabilities, predictions().probabilities[:, [2, 0]])
    np.testing.assert_array_equal(found.predicted, (predictions(threshold=0.3).predicted)[:, [2, 0]])


def test_the_error_for_a_missing_attribute_names_it(path: Path) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))} cannot be used: it lacks the .* for Bald\."):
        Predictions.read(path, ["Smiling", "Bald"])


def test_other_columns_are_ignored(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]},label/Bald,note", *(f"{line},1,seen" for line in lines[1:])]))
    assert read_attributes(path) == NAMES
    assert Predictions.read(path).attributes == NAMES


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("000061.jpg,-1,0.5,1,0.5,0,0.5", "a label is neither 0 nor 1|out of bounds|cannot safely"),
        ("000061.jpg,2,0.5,1,0.5,0,0.5", "a label is neither 0 nor 1"),
        ("000061.jpg,1,1.5,1,0.5,0,0.5", "a probability is missing or not between 0 and 1"),
        ("000061.jpg,1,,1,0.5,0,0.5", "a probability is missing or not between 0 and 1"),
        ("000061.jpg,1,high,1,0.5,0,0.5", "could not convert"),
        ("000061.jpg,1,0.5,1", "Integer column has NA values"),
        ("000001.jpg,1,0.5,1,0.5,0,0.5", "an image_id is missing or appears twice"),
        (",1,0.5,1,0.5,0,0.5", "an image_id is missing or appears twice"),
    ],
)
def test_the_error_for_an_invalid_row_names_it(path: Path, row: str, reason: str) -> None:
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(UserError, match=f"^{re.escape(str(path))} cannot be used: .*({reason})"):
        Predictions.read(path)


def test_a_table_without_ids_or_images_is_rejected(path: Path) -> None:
    header = path.read_text().splitlines()[0]
    path.write_text(header + "\n")
    with pytest.raises(UserError, match="it contains no images"):
        Predictions.read(path)
    path.write_text(header.replace("image_id", "image") + "\n")
    with pytest.raises(UserError, match="it has no column image_id"):
        Predictions.read(path)


def test_the_error_for_a_missing_table_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"predictions_val\.csv cannot be used: No such file or directory\."):
        Predictions.read(tmp_path / "predictions_val.csv")
