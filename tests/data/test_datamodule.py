import pickle
import re
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch

from celeba_lab.data.annotations import Annotations
from celeba_lab.data.datamodule import CelebADataModule, TrainingFaces
from celeba_lab.data.datasets import ImageFiles
from celeba_lab.data.images import load_image, resize_images
from celeba_lab.data.loaders import EpochSampler
from celeba_lab.errors import UserError

ATTRIBUTES = ["Smiling", "Male", "Bald"]


def module(root, stage="fit", **options) -> CelebADataModule:
    options = {"attributes": ATTRIBUTES, "image_size": 32, "batch_size": 10, "num_workers": 0, **options}
    data = CelebADataModule(str(root), **options)
    if stage is not None:
        data.setup(stage)
    return data


def batches_of(loader) -> list[dict[str, torch.Tensor]]:
    return list(loader)


def order_of(loader) -> list[int]:
    return torch.cat([batch["index"] for batch in loader]).tolist()


def flatten(batches) -> dict[str, torch.Tensor]:
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def damage(root, number: int) -> None:
    path = root / f"img_align_celeba/img_align_celeba/{number:06d}.jpg"
    path.write_bytes(path.read_bytes()[:900])


def remove(root, *numbers: int) -> None:
    for number in numbers:
        (root / f"img_align_celeba/img_align_celeba/{number:06d}.jpg").unlink()


# ------------------------------------------------------------------------------------------------------------ the batch


def test_the_batch_contract(tiny_celeba):
    data = module(tiny_celeba)
    batch = next(iter(data.train_dataloader()))
    assert {key: (value.dtype, tuple(value.shape)) for key, value in batch.items()} == {
        "image": (torch.uint8, (10, 3, 32, 32)),
        "label": (torch.uint8, (10, 3)),
        "index": (torch.int64, (10,)),
    }
    annotations = Annotations.load(tiny_celeba)
    rows = batch["index"].numpy()
    assert (batch["label"].numpy() == annotations.labels[rows][:, annotations.columns(ATTRIBUTES)]).all()
    for image, name in zip(batch["image"], annotations.image_ids[rows], strict=True):
        original = load_image(tiny_celeba / "img_align_celeba/img_align_celeba" / str(name), 10**6)
        assert torch.equal(image, resize_images([original], 32)[0])


def test_each_split_holds_its_own_images_and_evaluation_keeps_table_order(tiny_celeba):
    data = module(tiny_celeba, None)
    data.setup()
    assert data.counts == {"train": 32, "val": 8, "test": 8}
    assert order_of(data.val_dataloader()) == list(range(32, 40))
    assert order_of(data.test_dataloader()) == order_of(data.predict_dataloader()) == list(range(40, 48))
    assert set(order_of(data.train_dataloader())) < set(range(32))


@pytest.mark.parametrize(("batch_size", "sizes"), [(10, [10, 10, 10]), (31, [31]), (16, [16, 16]), (50, [32])])
def test_an_incomplete_training_batch_is_left_out_unless_it_is_all(tiny_celeba, batch_size, sizes):
    data = module(tiny_celeba, batch_size=batch_size)
    assert [len(batch["index"]) for batch in data.train_dataloader()] == sizes
    assert sum(len(batch["index"]) for batch in data.val_dataloader()) == 8


def test_eval_batch_size(tiny_celeba):
    assert [len(b["index"]) for b in module(tiny_celeba, batch_size=3).val_dataloader()] == [6, 2]
    assert [len(b["index"]) for b in module(tiny_celeba, eval_batch_size=5).val_dataloader()] == [5, 3]


def test_limit_takes_the_first_of_each_split(tiny_celeba):
    data = module(tiny_celeba, limit=5)
    assert data.counts == {"train": 5, "val": 5, "test": 5}
    assert data.split_indices("val").tolist() == [32, 33, 34, 35, 36]
    assert sorted(order_of(data.train_dataloader())) == [0, 1, 2, 3, 4]


def test_partitions_choose_the_splits_in_use(tiny_celeba: Path) -> None:
    data = module(tiny_celeba, stage=None, partitions=["test", "val"])
    assert data.partitions == ["val", "test"]
    assert data.counts == {"train": 0, "val": 8, "test": 8}
    assert data.rows.tolist() == list(range(32, 48))
    assert len(module(tiny_celeba, None).rows) == 48
    assert module(tiny_celeba, None, limit=2).rows.tolist() == [0, 1, 32, 33, 40, 41]
    with pytest.raises(UserError, match=r"data\.partitions=\[val,test\] leaves out the train split"):
        data.setup("fit")


@pytest.mark.parametrize(
    ("partitions", "sentence"),
    [
        (["train", "tset"], "data.partitions names 'tset'; the splits are train, val, test. Did you mean 'test'"),
        ([], "data.partitions is an empty list"),
    ],
)
def test_a_wrong_partition_is_refused(tiny_celeba: Path, partitions: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        module(tiny_celeba, stage=None, partitions=partitions)


def test_rows_may_be_loaded_in_any_order(tiny_celeba: Path) -> None:
    [batch] = module(tiny_celeba).rows_dataloader(np.array([40, 3, 17]))
    assert batch["index"].tolist() == [40, 3, 17]


def test_it_knows_whether_there_are_images(write_celeba, tiny_celeba: Path, tmp_path: Path) -> None:
    assert module(tiny_celeba).has_images
    assert not module(write_celeba(tmp_path / "labels", images=False), None).has_images


def test_workers_change_nothing(tiny_celeba):
    results = []
    for workers in (0, 2):
        data = module(tiny_celeba, num_workers=workers)
        torch.manual_seed(1)
        batches = [batches_of(loader) for loader in (data.train_dataloader(), data.val_dataloader())]
        results.append(([flatten(b) for b in batches], torch.rand(3)))
    (alone, drawn_alone), (helped, drawn_helped) = results
    for one, other in zip(alone, helped, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    torch.manual_seed(1)
    assert torch.equal(drawn_alone, torch.rand(3))  # loading drew nothing from the global generator
    assert torch.equal(drawn_alone, drawn_helped)


def test_raw_images_and_ids(tiny_celeba):
    data = module(tiny_celeba, None)
    assert data.image_ids([3, 0]) == ["000004.jpg", "000001.jpg"]
    assert [image.shape for image in data.raw_images(np.array([3, 0]))] == [(109, 89, 3)] * 2
    small = data.raw_images([3], size=16)[0]
    assert small.shape == (16, 16, 3)
    assert small.dtype == np.uint8


def test_annotations_need_no_images(tmp_path, write_celeba):
    data = module(write_celeba(tmp_path, images=False), None)
    assert len(data.annotations) == 48
    assert data.counts["train"] == 32
    with pytest.raises(UserError, match="No image folder"):
        data.setup("fit")


# ------------------------------------------------------------------------------------------------------------ the order


def test_the_order_depends_on_seed_and_epoch_only():
    def order(seed, epoch):
        sampler = EpochSampler(100, seed)
        sampler.set_epoch(epoch)
        torch.rand(seed + epoch)  # the global generator has no say
        return list(sampler)

    assert sorted(order(0, 0)) == list(range(100))
    assert order(3, 5) == order(3, 5)
    orders = [tuple(order(seed, epoch)) for seed in range(4) for epoch in range(4)]
    assert len(set(orders)) == 16  # (0, 1) and (1, 0) differ
    assert len(EpochSampler(7, 0)) == 7


class Recorder(lightning.LightningModule):
    """Trains nothing and notes which images it was shown in each epoch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[int, list[int]] = {}

    def training_step(self, batch, _):
        self.seen.setdefault(self.current_epoch, []).extend(batch["index"].tolist())
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(root, folder, epochs, workers, ckpt_path=None) -> dict[int, list[int]]:
    recorder = Recorder()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    data = module(root, None, num_workers=workers, seed=5)
    trainer.fit(recorder, data, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
    trainer.save_checkpoint(folder / "state.ckpt")
    return recorder.seen


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_continues_the_order(tiny_celeba, tmp_path, workers):
    whole = fit(tiny_celeba, tmp_path, 3, 0)
    assert len({tuple(order) for order in whole.values()}) == 3
    fit(tiny_celeba, tmp_path, 1, workers)
    resumed = fit(tiny_celeba, tmp_path, 3, workers, tmp_path / "state.ckpt")
    assert resumed == {1: whole[1], 2: whole[2]}


@pytest.mark.parametrize(("accelerator", "expected"), [("cpu", 0), ("gpu", 3)])
def test_workers_by_default_are_the_cores_the_model_leaves(tiny_celeba, monkeypatch, accelerator, expected):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    data = module(tiny_celeba, num_workers=None)
    assert data.val_dataloader().num_workers == 0  # no trainer: nothing says that cores are free

    class Trainer:
        num_devices = world_size = 1
        current_epoch = 4

    from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator

    Trainer.accelerator = CPUAccelerator() if accelerator == "cpu" else CUDAAccelerator()
    data.trainer = Trainer()
    loader = data.train_dataloader()
    assert loader.num_workers == expected
    assert loader.persistent_workers == (expected > 0)
    assert loader.pin_memory == (accelerator == "gpu")
    assert loader.sampler.epoch == 4


# ------------------------------------------------------------------------------------------------------------ in memory


def test_faces_in_memory_are_those_on_the_disk(tiny_celeba):
    kept, read = (flatten(batches_of(module(tiny_celeba, in_memory=kept).train_dataloader())) for kept in (True, False))
    for key, value in read.items():
        assert torch.equal(kept[key], value)


def test_faces_in_memory_are_decoded_once(tiny_celeba, tmp_path, monkeypatch):
    data = module(tiny_celeba, in_memory=True)
    decoded = []
    monkeypatch.setattr("celeba_lab.data.datasets.load_image", lambda *given: decoded.append(1) or load_image(*given))
    rows = data.split_indices("train")[5:20]
    from_disk = flatten(batches_of(module(tiny_celeba).rows_dataloader(rows)))
    decoded.clear()
    for _ in range(2):
        batches_of(data.train_dataloader())
    shared = flatten(batches_of(data.rows_dataloader(rows)))
    assert len(decoded) == 32
    assert torch.equal(shared["image"], from_disk["image"])
    batches_of(data.rows_dataloader(np.array([0, data.split_indices("val")[0]])))  # one that was not kept
    assert len(decoded) == 34


def test_faces_that_would_fill_the_memory_are_read_from_the_disk(tiny_celeba, monkeypatch, capsys):
    monkeypatch.setattr("celeba_lab.data.datamodule.memory_bytes", lambda: 2 * 32 * 3 * 32 * 32 - 1)
    data = module(tiny_celeba, in_memory=True)
    assert len(order_of(data.train_dataloader())) == 30
    assert data._kept is None
    assert "would fill more than half of the memory" in " ".join(capsys.readouterr().out.split())


def test_the_training_faces_alone_need_no_other_split(tiny_celeba):
    data = module(tiny_celeba, stage=None, partitions=["train"])
    data.setup_split("train")

    class Model(lightning.LightningModule):
        def training_step(self, batch, batch_idx):
            seen.extend(batch["index"].tolist())

        def configure_optimizers(self):
            return None

    seen: list[int] = []
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(Model(), datamodule=TrainingFaces(data))
    assert sorted(seen) == sorted(order_of(module(tiny_celeba).train_dataloader()))


# -------------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attributes": ["Smilling"]}, "Did you mean 'Smiling'"),
        ({"batch_size": 0}, r"data\.batch_size is 0; it must be at least 1"),
        ({"eval_batch_size": 0}, r"data\.eval_batch_size is 0"),
        ({"image_size": 0}, r"data\.image_size is 0"),
        ({"num_workers": -1}, r"data\.num_workers is -1"),
        ({"limit": 0}, r"data\.limit is 0"),
        ({"on_bad_image": "skipp"}, r"data\.on_bad_image is 'skipp'.*Did you mean 'skip'"),
        ({"max_bad_fraction": 1.5}, r"data\.max_bad_fraction is 1\.5"),
        ({"max_pixels": 0}, r"data\.max_pixels is 0"),
        ({"seed": -1}, r"data\.seed is -1"),
    ],
)
def test_arguments_out_of_range(tiny_celeba, options, words):
    with pytest.raises(UserError, match=words):
        module(tiny_celeba, None, **options)


@pytest.mark.parametrize(
    ("part", "stage", "split"), [(0, "fit", "train"), (1, "fit", "val"), (1, "validate", "val"), (2, "test", "test")]
)
def test_an_empty_split_matters_where_it_is_needed(tmp_path, write_celeba, part, stage, split):
    partition = np.arange(12) % 3
    partition[partition == part] = (part + 1) % 3
    root = write_celeba(tmp_path, n=12, partition=partition)
    with pytest.raises(UserError, match=f"The {split} split of .* is empty: .* partition {part} "):
        module(root, stage)
    other = "test" if part != 2 else "fit"
    module(root, other)


def test_missing_images_are_counted_and_the_first_five_named(tmp_path, write_celeba):
    root = write_celeba(tmp_path)
    remove(root, *range(2, 9))
    with pytest.raises(UserError) as error:
        module(root)
    for word in ("7 of the 32 images of the train split", "000002.jpg, 000003.jpg", "000006.jpg and 2 more", "skip"):
        assert word in str(error.value)
    assert "000007" not in str(error.value)
    module(root, "test")  # whose images are all there


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_one_sentence_from_a_worker_too(tmp_path, write_celeba, workers):
    root = write_celeba(tmp_path)
    damage(root, 35)
    data = module(root, num_workers=workers)
    with pytest.raises(UserError) as error:
        batches_of(data.val_dataloader())
    assert error.value.sentence.startswith(str(data.image_folder / "000035.jpg"))
    assert "damaged or cut short" in error.value.sentence
    assert error.value.sentence.endswith("data.on_bad_image=skip.")
    assert "\n" not in error.value.sentence


def test_skip_leaves_bad_images_out_and_names_them(tmp_path, write_celeba):
    root = write_celeba(tmp_path)
    damage(root, 3)
    remove(root, 34)
    data = module(root, on_bad_image="skip", max_bad_fraction=0.2)
    assert data.counts == {"train": 31, "val": 7, "test": 8}
    assert 2 not in data.split_indices("train")
    assert order_of(data.val_dataloader()) == [32, 34, 35, 36, 37, 38, 39]
    data.setup("validate")  # again, as after a fit: nothing is counted twice
    data.setup("test")
    assert data.bad_images.columns.tolist() == ["image_id", "split", "reason"]
    assert data.bad_images[["image_id", "split"]].to_numpy().tolist() == [
        ["000003.jpg", "train"],
        ["000034.jpg", "val"],
    ]
    assert "damaged" in data.bad_images["reason"][0]
    assert "No such file" in data.bad_images["reason"][1]


def test_skip_gives_up_above_a_fraction(tmp_path, write_celeba):
    root = write_celeba(tmp_path)
    damage(root, 3)
    damage(root, 5)
    with pytest.raises(UserError) as error:
        module(root, on_bad_image="skip", max_bad_fraction=0.05)
    for word in ("2 of the 32 train images", "data.max_bad_fraction=0.05", "000003.jpg is damaged"):
        assert word in str(error.value)
    assert module(root, on_bad_image="skip", max_bad_fraction=0.0625).counts["train"] == 30


def test_skip_never_leaves_a_split_empty(tmp_path, write_celeba):
    root = write_celeba(tmp_path)
    remove(root, *range(33, 41))
    with pytest.raises(UserError, match="8 of the 8 val images"):
        module(root, on_bad_image="skip", max_bad_fraction=1.0)


def test_an_image_above_the_pixel_limit(tmp_path, write_celeba):
    data = module(write_celeba(tmp_path), max_pixels=100)
    with pytest.raises(UserError, match=r"000033\.jpg has 89x109 pixels, more than data\.max_pixels=100"):
        batches_of(data.val_dataloader())


# ---------------------------------------------------------------------------------------------------- files of any kind


def test_predicting_files_needs_no_data_folder(tmp_path, tiny_celeba):
    paths = sorted((tiny_celeba / "img_align_celeba/img_align_celeba").iterdir())[:13]
    data = module(tmp_path / "nowhere", None)
    assert len(data.predict_dataset(paths)) == 13
    data.setup("predict")
    batches = batches_of(data.predict_dataloader())
    assert [sorted(batch) for batch in batches] == [["image", "index"]]
    assert batches[0]["index"].tolist() == list(range(13))
    assert torch.equal(batches[0]["image"][4], resize_images([load_image(paths[4], 10**6)], 32)[0])


def test_bad_files_are_treated_alike(tmp_path, write_celeba):
    root = write_celeba(tmp_path)
    damage(root, 2)
    paths = sorted((root / "img_align_celeba/img_align_celeba").iterdir())[:5]
    data = module(root, None)
    data.predict_dataset(paths)
    with pytest.raises(UserError, match=r"000002\.jpg is damaged"):
        batches_of(data.predict_dataloader())
    data = module(root, None, on_bad_image="skip", max_bad_fraction=0.5)
    data.predict_dataset(paths)
    assert order_of(data.predict_dataloader()) == [0, 2, 3, 4]  # positions in the list given
    assert data.bad_images[["image_id", "split"]].to_numpy().tolist() == [[str(paths[1]), "predict"]]


def test_datasets_can_be_sent_to_a_worker(tiny_celeba):
    data = module(tiny_celeba)
    dataset = pickle.loads(pickle.dumps(data.dataset("val")))
    assert dataset[1]["index"] == 33
    files = pickle.loads(pickle.dumps(ImageFiles([tiny_celeba / "a.jpg"], 8, 10)))
    assert files.indices.tolist() == [0]


def test_real_faces(shared):
    data = module(shared / "celeba-8k", limit=20)
    assert data.counts == {"train": 20, "val": 20, "test": 20}
    batch = next(iter(data.val_dataloader()))
    assert batch["image"].float().std() > 30
