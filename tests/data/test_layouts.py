"""Tables and image folders are found in every layout."""

from collections.abc import Callable
from pathlib import Path

import pytest

from celeba_lab.data.layouts import find_image_folder, find_table, holds_annotations, holds_images
from celeba_lab.errors import UserError


@pytest.mark.parametrize("layout", ["kaggle", "official", "official_flat", "torchvision"])
def test_images_and_tables_are_found_in_every_layout(tmp_path: Path, write_celeba: Callable, layout: str) -> None:
    root = write_celeba(tmp_path, layout=layout, n=2)
    assert sorted(path.name for path in find_image_folder(root).iterdir()) == ["000001.jpg", "000002.jpg"]
    assert find_table(root, "list_attr_celeba").is_file()
    assert find_table(root, "list_eval_partition").is_file()
    assert holds_images(root)
    assert holds_annotations(root)


def test_annotations_are_found_without_images(tmp_path: Path, write_celeba: Callable) -> None:
    root = write_celeba(tmp_path / "labels", images=False)
    assert holds_annotations(root)
    assert not holds_images(root)
    assert not holds_annotations(tmp_path / "nowhere")


def test_the_error_for_a_missing_root_says_what_was_found_and_how_to_fix_it(tmp_path: Path) -> None:
    (tmp_path / "celebA").mkdir()
    with pytest.raises(UserError) as error:
        find_table(tmp_path / "celeba" / "deep", "list_attr_celeba")
    for word in (
        f"{tmp_path}/celeba/deep",
        f"{tmp_path} contains celebA",
        "list_attr_celeba",
        "data.root",
        "CELEBA_ROOT",
    ):
        assert word in str(error.value)
    assert '"Get CelebA" in README' in str(error.value)


def test_a_root_that_is_a_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "celeba.zip").write_text("x")
    with pytest.raises(UserError, match=r"celeba\.zip is a file"):
        find_table(tmp_path / "celeba.zip", "list_attr_celeba")


@pytest.mark.parametrize("name", ["list_attr_celeba", "list_eval_partition"])
def test_the_error_for_a_missing_table_names_it(tmp_path: Path, write_celeba: Callable, name: str) -> None:
    root = write_celeba(tmp_path, images=False)
    (root / f"{name}.csv").unlink()
    with pytest.raises(UserError) as error:
        find_table(root, name)
    for word in (f"There is no table {name}", str(root), "contains list_", "data.root"):
        assert word in str(error.value)


def test_several_tables_are_rejected(tmp_path: Path, write_celeba: Callable) -> None:
    write_celeba(tmp_path, images=False)
    write_celeba(tmp_path, layout="torchvision", images=False)
    with pytest.raises(UserError) as error:
        find_table(tmp_path, "list_attr_celeba")
    for word in ("several", f"{tmp_path}/list_attr_celeba.csv", f"{tmp_path}/celeba/list_attr_celeba.txt", "Keep one"):
        assert word in str(error.value)


def test_the_error_for_a_missing_image_folder_names_it(tmp_path: Path, write_celeba: Callable) -> None:
    root = write_celeba(tmp_path, images=False)
    with pytest.raises(UserError) as error:
        find_image_folder(root)
    for word in ("img_align_celeba", str(root), "contains list_attr_celeba.csv", "data.root"):
        assert word in str(error.value)
    (root / "img_align_celeba.zip").write_bytes(b"")
    with pytest.raises(UserError, match=r"Unpack .*/img_align_celeba\.zip"):
        find_image_folder(root)


def test_several_image_folders_are_rejected(tmp_path: Path, write_celeba: Callable) -> None:
    write_celeba(tmp_path, n=2)
    write_celeba(tmp_path, layout="torchvision", n=2)
    with pytest.raises(UserError, match=r"several image folders.*Keep one"):
        find_image_folder(tmp_path)
