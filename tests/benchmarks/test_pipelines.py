"""Input pipelines read whole epochs."""

from pathlib import Path

import pytest
import torch

from celeba_lab.benchmarks import pipelines
from celeba_lab.benchmarks.faces import link_torchvision
from celeba_lab.data.celeba import CelebA


@pytest.mark.parametrize("store", ["jpeg", "memory", "packed"])
def test_faces_are_read_from_every_store(some_faces: Path, store: str) -> None:
    assert pipelines.read_faces(str(some_faces), store, 32, workers=0, seconds=0.01)["0_workers"] > 0


def test_the_reference_pipeline_reads_faces(some_faces: Path) -> None:
    assert pipelines.read_faces_reference(str(some_faces), 32, workers=0, seconds=0.01)["0_workers"] > 0


def test_torchvision_reads_the_same_labels(some_faces: Path, tmp_path: Path) -> None:
    link_torchvision(some_faces, tmp_path / "torchvision")
    assert pipelines.read_faces_torchvision(str(tmp_path / "torchvision"), 32, 0, 0.01)["0_workers"] > 0
    faces = pipelines._Subset(str(tmp_path / "torchvision"), split="train")
    data = CelebA(str(some_faces), ["Smiling"])
    expected = data.annotations.labels[data.split_indices("train")]
    assert torch.equal(faces.attr, torch.from_numpy(expected).long())


def test_the_rate_counts_whole_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(pipelines, "perf_counter", lambda: now[0])

    class Slow:
        def __iter__(self):
            for size in (3, 2):
                now[0] += 1
                yield {"image": torch.zeros(size, 1)}

    # An epoch takes two seconds, and the second one ends after three seconds have passed.
    assert pipelines._rate(Slow(), 3) == 10 / 4
