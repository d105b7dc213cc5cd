"""Missing and unusable images are detected."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from celeba_lab.data.checks import find_unusable
from celeba_lab.data.layouts import find_image_folder
from celeba_lab.data.stores import JpegFolder
from celeba_lab.errors import UserError


def order_of(loader) -> list[int]:
    return [row for batch in loader for row in batch["index"].tolist()]


def test_unusable_images_are_found_with_their_rows(
    tmp_path: Path, write_celeba: Callable, face_file: Callable[[Path, int], Path]
) -> None:
    root = write_celeba(tmp_path, n=150)
    face_file(root, 4).write_bytes(b"x")
    face_file(root, 150).unlink()
    face_file(root, 7).write_bytes(b"x")  # This row is not checked.
    files = JpegFolder(find_image_folder(root), [f"{k + 1:06d}.jpg" for k in range(150)], 32, 10**6)
    reasons = find_unusable(files, np.delete(np.arange(150), 6), "Checking")
    assert list(reasons) == [3, 149]
    assert "000004.jpg is not a JPEG" in reasons[3]
    assert "No such file" in reasons[149]


def test_all_real_faces_are_usable(shared: Path) -> None:
    folder = find_image_folder(shared / "celeba-8k")
    files = JpegFolder(folder, sorted(path.name for path in folder.iterdir())[:500], 32, 10**6)
    assert find_unusable(files, np.arange(500), "Checking") == {}


def test_the_error_counts_missing_images_and_names_the_first_five(
    tmp_path: Path, write_celeba: Callable, make_data: Callable, face_file: Callable[[Path, int], Path]
) -> None:
    root = write_celeba(tmp_path)
    for number in range(2, 9):
        face_file(root, number).unlink()
    with pytest.raises(UserError) as error:
        make_data(root)
    for word in ("7 of the 32 images of the train split", "000002.jpg, 000003.jpg", "000006.jpg and 2 more", "skip"):
        assert word in str(error.value)
    assert "000007" not in str(error.value)
    make_data(root, "test")  # All images of this split exist.


def test_skip_omits_bad_images_and_lists_them(
    tmp_path: Path,
    write_celeba: Callable,
    make_data: Callable,
    damage: Callable,
    face_file: Callable[[Path, int], Path],
) -> None:
    root = write_celeba(tmp_path)
    damage(root, 3)
    face_file(root, 34).unlink()
    data = make_data(root, on_bad_image="skip", max_bad_fraction=0.2)
    assert data.counts == {"train": 31, "val": 7, "test": 8}
    assert 2 not in data.split_indices("train")
    assert order_of(data.val_dataloader()) == [32, 34, 35, 36, 37, 38, 39]
    data.setup("validate")  # A second setup must not count images twice.
    data.setup("test")
    assert data.bad_images.columns.tolist() == ["image_id", "split", "reason"]
    assert data.bad_images[["image_id", "split"]].to_numpy().tolist() == [
        ["000003.jpg", "train"],
        ["000034.jpg", "val"],
    ]
    assert "damaged" in data.bad_images["reason"][0]
    assert "No such file" in data.bad_images["reason"][1]
    assert data.describe().endswith(", 2 bad images left out")


def test_skip_stops_if_too_many_images_are_bad(
    tmp_path: Path, write_celeba: Callable, make_data: Callable, damage: Callable
) -> None:
    root = write_celeba(tmp_path)
    damage(root, 3)
    damage(root, 5)
    with pytest.raises(UserError) as error:
        make_data(root, on_bad_image="skip", max_bad_fraction=0.05)
    for word in ("2 of the 32 train images", "data.max_bad_fraction=0.05", "000003.jpg is damaged"):
        assert word in str(error.value)
    assert make_data(root, on_bad_image="skip", max_bad_fraction=0.0625).counts["train"] == 30


def test_skip_stops_if_a_split_would_be_empty(
    tmp_path: Path, write_celeba: Callable, make_data: Callable, face_file: Callable[[Path, int], Path]
) -> None:
    root = write_celeba(tmp_path)
    for number in range(33, 41):
        face_file(root, number).unlink()
    with pytest.raises(UserError, match="8 of the 8 validation images"):
        make_data(root, on_bad_image="skip", max_bad_fraction=1.0)


def test_bad_files_for_prediction_are_handled_in_the_same_way(
    tmp_path: Path, write_celeba: Callable, make_data: Callable, damage: Callable
) -> None:
    root = write_celeba(tmp_path)
    damage(root, 2)
    paths = sorted((root / "img_align_celeba/img_align_celeba").iterdir())[:5]
    data = make_data(root, None)
    with pytest.raises(UserError, match=r"000002\.jpg is damaged"):
        order_of(data.files_dataloader(paths))
    data = make_data(root, None, on_bad_image="skip", max_bad_fraction=0.5)
    assert order_of(data.files_dataloader(paths)) == [0, 2, 3, 4]  # Positions in the given list.
    assert data.bad_images[["image_id", "split"]].to_numpy().tolist() == [[str(paths[1]), "predict"]]
