"""The outputs of frozen stages are computed once per image, and training with them gives the same result."""

from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from celeba_lab.data.datasets import FaceDataset, keep_batch
from celeba_lab.models.classifier import frozen_outputs
from celeba_lab.models.classifier.frozen import FrozenStages
from celeba_lab.models.classifier.frozen_outputs import FrozenOutputs
from celeba_lab.models.classifier.module import AttributeClassifier

N = 10
IMAGES = torch.randint(0, 256, (N, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def stages() -> FrozenStages:
    torch.manual_seed(0)
    return FrozenStages(nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU()))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images for which outputs were computed, by call."""
    counts: list[int] = []
    compute = FrozenOutputs._compute

    def record(self: FrozenOutputs, images: torch.Tensor) -> torch.Tensor:
        counts.append(len(images))
        return compute(self, images)

    monkeypatch.setattr(FrozenOutputs, "_compute", record)
    return counts


def look_up(outputs: FrozenOutputs, images: torch.Tensor, rows: list[int], mirrored: list[int]) -> torch.Tensor:
    index, flags = torch.tensor(rows), torch.tensor(mirrored, dtype=torch.bool)
    shown = torch.stack([images[row].flip(-1) if flag else images[row] for row, flag in zip(rows, flags, strict=True)])
    return outputs(lambda places: shown[places], index, flags)


@pytest.mark.parametrize(("room", "calls"), [(2 * N, [3, 2]), (N, [3, 2]), (N - 1, [3, 4, 3])])
def test_each_output_is_computed_once_if_there_is_room_for_half_of_them(
    stages: FrozenStages, computed: list[int], monkeypatch: pytest.MonkeyPatch, room: int, calls: list[int]
) -> None:
    images = torch.rand(1000, 3, 8, 8)
    bytes_each = 4 * 4 * 3 * 3
    monkeypatch.setattr(frozen_outputs, "_MOST_BYTES", room * bytes_each)
    outputs = FrozenOutputs(stages, N)
    for rows, mirrored in [([7, 900, 7], [0, 1, 1]), ([900, 3, 7, 900], [1, 0, 1, 0]), ([3, 900, 7], [0, 0, 0])]:
        found = look_up(outputs, images, rows, mirrored)
        shown = [images[row].flip(-1) if flag else images[row] for row, flag in zip(rows, mirrored, strict=True)]
        assert torch.equal(found, stages(torch.stack(shown)))
    assert computed == calls


def test_outputs_for_which_there_is_no_room_are_computed_again(
    stages: FrozenStages, computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.rand(N, 3, 8, 8)
    monkeypatch.setattr(frozen_outputs, "_MOST_BYTES", N * 4 * 4 * 3 * 3)
    outputs = FrozenOutputs(stages, N)
    expected = stages(images)
    for _ in range(3):
        assert torch.equal(look_up(outputs, images, [*range(N)], [0] * N), expected)
        assert torch.equal(look_up(outputs, images, [*range(N)], [1] * N), stages(images.flip(-1)))
    assert computed == [N, N, N, N]
    assert outputs.count == N


def train(dataset: object = None, backbone: str = "mobilenet_v2", **options: object) -> AttributeClassifier:
    """Train for four epochs on ten faces, in batches of five."""
    L.seed_everything(0, verbose=False)
    labels = np.arange(N, dtype=np.uint8)[:, None] % 2
    store = SimpleNamespace(read=lambda rows: IMAGES[rows])
    faces = FaceDataset(store, np.arange(N), labels) if dataset is None else dataset
    defaults: dict[str, object] = {"freeze": 0.3, "augment": {"flip": 0.5}, "lr": 1e-2}
    model = AttributeClassifier(["a"], backbone, image_size=32, **(defaults | options))
    trainer = L.Trainer(max_epochs=4, accelerator="cpu", logger=False, enable_checkpointing=False, barebones=True)
    collate = keep_batch if dataset is None else None
    trainer.fit(model, DataLoader(faces, batch_size=5, shuffle=True, collate_fn=collate))
    return model


def test_training_is_the_same_to_the_last_bit(computed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    stored = train().state_dict()
    once = sum(computed)
    assert N < once <= 2 * N, "each face and its mirror image should be computed at most once"
    monkeypatch.setattr(frozen_outputs, "_MOST_BYTES", 0)
    again = train().state_dict()
    assert sum(computed) == once + 4 * N
    assert all(torch.equal(stored[name], again[name]) for name in stored)


def test_outputs_are_stored_when_no_further_stages_are_frozen(computed: list[int]) -> None:
    train(augment={}, freeze=0.175, freeze_later=0.29)
    assert sum(computed) == N, "those of the first epoch would not be used again"


def test_outputs_of_the_last_epoch_alone_are_not_stored(computed: list[int]) -> None:
    train(augment={}, freeze=0.175, freeze_last=0.5)
    assert sum(computed) == N, "those of the first three epochs are the same"


def test_faces_that_are_not_mirrored_are_computed_once(computed: list[int]) -> None:
    train(augment={})
    assert sum(computed) == N


@pytest.mark.parametrize(
    "options",
    [
        {"freeze": 0.0},
        {"augment": {"flip": 0.5, "shift": 0.1}},
        {"augment": {"light": 0.1}},
        {"mixup": 0.2},
        {"unfreeze_epoch": 3},
        {"backbone": "resnet18"},
        {"dataset": [{"image": IMAGES[k], "label": torch.tensor([k % 2]), "index": k} for k in range(N)]},
    ],
)
def test_nothing_is_stored_if_the_outputs_may_differ_between_epochs(
    computed: list[int], options: dict[str, object]
) -> None:
    train(**options)
    assert computed == []
