"""Batches and splits of the CelebA data module, and errors for invalid settings and files."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from celeba_lab.console import split_name
from celeba_lab.data.annotations import Annotations
from celeba_lab.data.batch import Batch
from celeba_lab.data.images import load_image, resize_images
from celeba_lab.errors import SettingError, UserError


def order_of(loader) -> list[int]:
    return torch.cat([batch["index"] for batch in loader]).tolist()


# ------------------------------------------------------------------------------------------------------------ the batch


def test_batches_have_the_documented_keys_shapes_and_types(make_data, attributes, tiny_celeba):
    data = make_data(tiny_celeba)
    batch = next(iter(data.train_dataloader()))
    assert {key: (value.dtype, tuple(value.shape)) for key, value in batch.items()} == {
        "image": (torch.uint8, (10, 3, 32, 32)),
        "label": (torch.uint8, (10, 3)),
        "index": (torch.int64, (10,)),
    }
    assert set(batch) == set(Batch.__annotations__)
    annotations = Annotations.load(tiny_celeba)
    rows = batch["index"].numpy()
    assert (batch["label"].numpy() == annotations.labels[rows][:, annotations.columns(attributes)]).all()
    for image, name in zip(batch["image"], annotations.image_ids[rows], strict=True):
        original = load_image(tiny_celeba / "img_align_celeba/img_align_celeba" / str(name), 10**6)
        assert torch.equal(image, resize_images([original], 32)[0])


def test_each_split_has_its_own_images_and_evaluation_keeps_the_table_order(make_data, tiny_celeba):
    data = make_data(tiny_celeba, None)
    data.setup()
    assert data.counts == {"train": 32, "val": 8, "test": 8}
    assert order_of(data.val_dataloader()) == list(range(32, 40))
    assert order_of(data.test_dataloader()) == order_of(data.predict_dataloader()) == list(range(40, 48))
    assert set(order_of(data.train_dataloader())) < set(range(32))


def test_limit_selects_the_first_images_of_each_split(make_data, tiny_celeba):
    data = make_data(tiny_celeba, limit=5)
    assert data.counts == {"train": 5, "val": 5, "test": 5}
    assert data.split_indices("val").tolist() == [32, 33, 34, 35, 36]
    assert sorted(order_of(data.train_dataloader())) == [0, 1, 2, 3, 4]


def test_partitions_selects_the_splits_to_use(make_data, tiny_celeba: Path) -> None:
    data = make_data(tiny_celeba, stage=None, partitions=["test", "val"])
    assert data.partitions == ["val", "test"]
    assert data.counts == {"train": 0, "val": 8, "test": 8}
    assert data.rows.tolist() == list(range(32, 48))
    assert len(make_data(tiny_celeba, None).rows) == 48
    assert make_data(tiny_celeba, None, limit=2).rows.tolist() == [0, 1, 32, 33, 40, 41]
    with pytest.raises(UserError, match=r"data\.partitions=\[val,test\] leaves out the train split"):
        data.setup("fit")


@pytest.mark.parametrize(
    ("partitions", "sentence"),
    [
        (["train", "tset"], "partitions=tset must be one of train, val, test. Did you mean 'test'?"),
        ([], "partitions=[] must name at least one split. For example, set data.partitions=[train]."),
    ],
)
def test_a_wrong_partition_is_rejected(make_data, tiny_celeba: Path, partitions: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        make_data(tiny_celeba, stage=None, partitions=partitions)


def test_rows_may_be_loaded_in_any_order(make_data, tiny_celeba: Path) -> None:
    [batch] = make_data(tiny_celeba).rows_dataloader(np.array([40, 3, 17]))
    assert batch["index"].tolist() == [40, 3, 17]


def test_faces_are_read_at_once_with_progress(make_data, tiny_celeba: Path, work_shown: dict[str, str]) -> None:
    data = make_data(tiny_celeba, eval_batch_size=10)
    data.setup_split("train")
    rows = data.split_indices("train")
    assert torch.equal(data.read_faces(rows), torch.cat([batch["image"] for batch in data.rows_dataloader(rows)]))
    assert work_shown == {"reading the labels": "", "listing the images": "", "reading faces": "4/4 batches"}


def test_the_data_module_detects_whether_there_are_images(
    write_celeba, make_data, tiny_celeba: Path, tmp_path: Path
) -> None:
    assert make_data(tiny_celeba).has_images
    assert not make_data(write_celeba(tmp_path / "labels", images=False), None).has_images


def test_raw_images_and_ids_are_returned_in_the_given_order(make_data, tiny_celeba):
    data = make_data(tiny_celeba, None)
    assert data.image_ids([3, 0]) == ["000004.jpg", "000001.jpg"]
    assert [image.shape for image in data.raw_images(np.array([3, 0]))] == [(109, 89, 3)] * 2
    small = data.raw_images([3], size=16)[0]
    assert small.shape == (16, 16, 3)
    assert small.dtype == np.uint8


def test_annotations_can_be_read_without_images(make_data, tmp_path, write_celeba):
    data = make_data(write_celeba(tmp_path, images=False), None)
    assert len(data.annotations) == 48
    assert data.counts["train"] == 32
    with pytest.raises(UserError, match="There is no image folder"):
        data.setup("fit")


# ---------------------------------------------------------------------------------------------------- descriptions


def test_the_description_counts_the_images_in_use(make_data, tiny_celeba):
    assert make_data(tiny_celeba).describe() == "images: 32 train + 8 validation + 8 test at 32 x 32 pixels"
    limited = make_data(tiny_celeba, limit=5)
    assert limited.describe_splits() == "5 train + 5 validation + 5 test"
    assert limited.describe() == "images: 5 train + 5 validation + 5 test at 32 x 32 pixels, limited to 5 per split"


def test_the_facts_state_the_source_of_the_images(make_data, tiny_celeba):
    images = {"train": 32, "val": 8, "test": 8}
    data = make_data(tiny_celeba)
    own = {"name": "celeba", "root": str(tiny_celeba), "images": images, "fingerprint": data.annotations.fingerprint}
    assert data.facts() == own
    assert make_data(tiny_celeba, name="mine").facts()["name"] == "mine"


# ------------------------------------------------------------------------------------------- invalid settings and files


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 1}, r"^batch_size=1 must be at least 2\.$"),
        ({"eval_batch_size": 0}, r"^eval_batch_size=0 must be at least 1\.$"),
        ({"image_size": 0}, r"^image_size=0 must be between 1 and 4096\.$"),
        ({"image_size": 60_000}, r"^image_size=60000 must be between 1 and 4096\.$"),
        ({"num_workers": -1}, r"^num_workers=-1 must be between 0 and 256\.$"),
        ({"limit": 0}, r"^limit=0 must be at least 2\.$"),
        ({"on_bad_image": "skipp"}, r"^on_bad_image=skipp must be one of raise, skip\. Did you mean 'skip'\?$"),
        ({"max_bad_fraction": 1.5}, r"^max_bad_fraction=1\.5 must be between 0 and 1\.$"),
        ({"max_pixels": 0}, r"^max_pixels=0 must be at least 1\.$"),
        ({"seed": -1}, r"^seed=-1 must be at least 0\.$"),
        (
            {"store": "memry"},
            r"^store=memry must be one of auto, packed, memory, jpeg, shards\. Did you mean 'memory'\?$",
        ),
    ],
)
def test_arguments_out_of_range_are_rejected(make_data, tiny_celeba, options, words):
    with pytest.raises(SettingError, match=words):
        make_data(tiny_celeba, None, **options)


def test_an_unknown_attribute_is_rejected(make_data, tiny_celeba):
    with pytest.raises(UserError, match="Did you mean 'Smiling'"):
        make_data(tiny_celeba, None, attributes=["Smilling"])


@pytest.mark.parametrize(
    ("part", "stage", "split"), [(0, "fit", "train"), (1, "fit", "val"), (1, "validate", "val"), (2, "test", "test")]
)
def test_an_empty_split_is_rejected_only_if_it_is_needed(make_data, tmp_path, write_celeba, part, stage, split):
    partition = np.arange(12) % 3
    partition[partition == part] = (part + 1) % 3
    root = write_celeba(tmp_path, n=12, partition=partition)
    with pytest.raises(UserError, match=f"The {split_name(split)} split of .* is empty: .* partition {part} "):
        make_data(root, stage)
    other = "test" if part != 2 else "fit"
    make_data(root, other)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])  # Its workers end after 10 seconds.
def test_an_unreadable_image_gives_a_one_sentence_error_even_in_a_worker(
    make_data, damage, tmp_path, write_celeba, workers
):
    root = write_celeba(tmp_path)
    damage(root, 35)
    data = make_data(root, num_workers=workers)
    with pytest.raises(UserError) as error:
        list(data.val_dataloader())
    assert error.value.sentence.startswith(str(data.image_folder / "000035.jpg"))
    assert "damaged or truncated" in error.value.sentence
    assert error.value.sentence.endswith("data.on_bad_image=skip.")
    assert "\n" not in error.value.sentence


def test_an_image_above_the_pixel_limit_is_rejected(make_data, tmp_path, write_celeba):
    data = make_data(write_celeba(tmp_path), max_pixels=100)
    with pytest.raises(UserError, match=r"000033\.jpg has 89x109 pixels, more than data\.max_pixels=100"):
        list(data.val_dataloader())


# -------------------------------------------------------------------------------------------------- prediction of files


def test_files_can_be_predicted_without_a_data_folder(make_data, tmp_path, tiny_celeba):
    paths = sorted((tiny_celeba / "img_align_celeba/img_align_celeba").iterdir())[:13]
    data = make_data(tmp_path / "nowhere", None)
    batches = list(data.files_dataloader(paths))
    assert [sorted(batch) for batch in batches] == [["image", "index"]]
    assert batches[0]["index"].tolist() == list(range(13))
    assert torch.equal(batches[0]["image"][4], resize_images([load_image(paths[4], 10**6)], 32)[0])


def test_real_faces_can_be_loaded(make_data, shared):
    data = make_data(shared / "celeba-8k", limit=20)
    assert data.counts == {"train": 20, "val": 20, "test": 20}
    batch = next(iter(data.val_dataloader()))
    assert batch["image"].float().std() > 30
