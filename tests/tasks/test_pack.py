"""``task=pack`` packs the faces ahead of training, and writes shards."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from celeba_lab.data.annotations import Annotations


def test_faces_are_packed_once_and_used_by_training(
    command: Callable, write_celeba: Callable, tmp_path: Path, read_summary: Callable
) -> None:
    root = write_celeba(tmp_path / "celeba")
    pack = ["task=pack", "data=celeba", f"data.root={root}", "task.image_size=32"]
    code, out, err = command(*pack, "hydra.run.dir=first")
    assert code == 0, err
    assert f"packed: 48 images, 0.1 MB in {root}/packed/faces_32.npy (48 images in " in " ".join(out.split())
    assert f"experiment=smile data.store=packed data=celeba data.root={root} model.image_size=32" in " ".join(
        out.split()
    )
    metrics = read_summary(tmp_path / "first")["metrics"]
    assert metrics["pack/images"] == 48
    assert metrics["pack/images_per_second"] > 0
    code, out, err = command(*pack, "hydra.run.dir=second")
    assert code == 0, err
    assert "(all images had been packed before)" in " ".join(out.split())


def test_a_bad_image_stops_packing_unless_it_is_skipped(
    command: Callable, write_celeba: Callable, tmp_path: Path
) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / "img_align_celeba/img_align_celeba/000003.jpg").write_bytes(b"damaged")
    pack = ["task=pack", "data=celeba", f"data.root={root}", "task.image_size=32"]
    code, _, err = command(*pack)
    assert code == 1
    assert "000003.jpg is not a JPEG" in err
    code, out, err = command(*pack, "data.on_bad_image=skip", "data.max_bad_fraction=0.1")
    assert code == 0, err
    assert "packed: 47 images" in out


def test_shards_are_written_with_the_tables(command: Callable, tiny_celeba: Path, tmp_path: Path) -> None:
    pytest.importorskip("litdata")
    pack = ["task=pack", "data=celeba", f"data.root={tiny_celeba}", "task.format=shards", "task.output=shards"]
    code, out, err = command(*pack, "data.limit=5")
    assert code == 0, err
    assert "data=celeba data.store=shards data.root=shards" in " ".join(out.split())
    annotations, expected = Annotations.load(tmp_path / "shards"), Annotations.load(tiny_celeba)
    rows = [*range(5), *range(32, 37), *range(40, 45)]
    assert annotations.image_ids.tolist() == expected.image_ids[rows].tolist()
    assert (annotations.labels == expected.labels[rows]).all()
    code, _, err = command(*pack)
    assert code == 1
    assert "task.output=shards must be an empty folder" in err
    assert json.loads((tmp_path / "shards" / "index.json").read_text())["chunks"][0]["chunk_size"] == 15


@pytest.mark.parametrize("address", ["http://host/faces", "ftp://host/faces"])
def test_an_unsupported_address_names_the_setting(command: Callable, tiny_celeba: Path, address: str) -> None:
    pack = ["task=pack", "data=celeba", f"data.root={tiny_celeba}", "task.format=shards", f"task.output={address}"]
    code, _, err = command(*pack)
    assert code == 1
    rule = "must be a folder or begin with s3://, gs://, az://, file://"
    assert f"task.output={address} {rule}" in " ".join(err.split())
    code, _, err = command("experiment=smile", "data=celeba", "data.store=shards", f"data.root={address}")
    assert code == 1
    assert f"data.root={address} {rule}" in " ".join(err.split())


def test_shards_in_an_object_store_are_not_overwritten(command: Callable, tiny_celeba: Path, tmp_path: Path) -> None:
    pytest.importorskip("litdata")
    pack = ["task=pack", "data=celeba", f"data.root={tiny_celeba}", "task.format=shards"]
    pack += [f"task.output=file://{tmp_path}/shards", "data.limit=5"]
    code, _, err = command(*pack)
    assert code == 0, err
    index = tmp_path / "shards" / "index.json"
    written = index.stat().st_mtime_ns
    code, _, err = command(*pack)
    assert code == 1
    assert "task.output=file://" in err
    assert "must not contain index.json, because shards are never overwritten." in " ".join(err.split())
    assert index.stat().st_mtime_ns == written


def test_shards_cannot_be_packed(command: Callable, tiny_celeba: Path) -> None:
    code, _, err = command("task=pack", "data=celeba", f"data.root={tiny_celeba}", "data.store=shards")
    assert code == 1
    assert "data.store=shards cannot be packed. Set data.root to the images." in err


def test_an_unknown_format_is_refused(command: Callable, tiny_celeba: Path) -> None:
    code, _, err = command("task=pack", "data=celeba", f"data.root={tiny_celeba}", "task.format=shard")
    assert code == 1
    assert "task.format=shard must be one of packed, shards. Did you mean 'shards'?" in err


def test_without_the_libraries_shards_are_refused(
    command: Callable, tiny_celeba: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "litdata", None)
    pack = ["task=pack", "data=celeba", f"data.root={tiny_celeba}", "task.format=shards", "task.output=shards"]
    code, _, err = command(*pack)
    assert code == 1
    assert "task.format=shards needs libraries that are not installed" in err
    assert "pip install 'celeba-lab[shards]'" in err
