"""The reference loops read the right faces, learn, and compute the right numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from celeba_lab.analyses.cooccurrence import Cooccurrence
from celeba_lab.benchmarks import reference
from celeba_lab.benchmarks.reference import IMAGENET, Clock, Faces
from celeba_lab.data.annotations import Annotations
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.datamodule import CelebADataModule


def test_the_reference_reads_the_same_faces_and_labels(tiny_celeba: Path) -> None:
    names = ["Smiling", "Male"]
    for partition, split in enumerate(("train", "val", "test")):
        faces = Faces(str(tiny_celeba), partition, names, 32)
        ours = CelebADataModule(str(tiny_celeba), names, image_size=32, store="jpeg").dataset(split)
        assert len(faces) == len(ours)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
        for position in range(len(faces)):
            image, labels = faces[position]
            assert labels.tolist() == ours[position]["label"].tolist()
            difference = 255 * (image * std + mean) - ours[position]["image"]
            assert difference.abs().mean() < 3  # Pillow and torchvision round differently when they resize.


def test_the_loss_of_the_reference_classifier_falls(some_faces: Path) -> None:
    found = reference.train_classifier(str(some_faces), ["Smiling"], 32, 100, "cpu", backbone="shufflenet_v2_x0_5")
    assert len(found["losses"]) == 10
    assert np.mean(found["losses"][-3:]) < 0.8 * np.mean(found["losses"][:3])
    assert found["step"] > 0
    assert found["epoch"] > 0
    assert 0 <= found["accuracy"] <= 1


def test_the_loss_of_the_reference_discriminator_falls(some_faces: Path) -> None:
    found = reference.train_gan(str(some_faces), 16, 100, "cpu")
    assert np.mean(found["losses"][-3:]) < found["losses"][0]
    assert found["step"] > 0


@pytest.mark.parametrize("size", [8, 32, 64])
def test_the_networks_of_the_reference_gan_fit_the_image_size(size: int) -> None:
    faces = reference.build_generator(size)(torch.randn(2, 100, 1, 1))
    assert faces.shape == (2, 3, size, size)
    assert reference.build_discriminator(size)(faces).shape == (2, 1, 1, 1)


def test_the_reference_computes_the_same_conditional_probabilities(tiny_celeba: Path) -> None:
    found = reference.conditional_probabilities(str(tiny_celeba))
    expected = Cooccurrence.of(Annotations.load(tiny_celeba).labels).conditional
    assert found.columns.tolist() == list(ATTRIBUTES)
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-6)


def test_the_reference_scores_every_attribute_and_describes_the_clusters(some_faces: Path, tiny_celeba: Path) -> None:
    scores = reference.logistic_regressions(str(tiny_celeba))
    assert scores.index.tolist() == list(ATTRIBUTES)
    assert scores["accuracy"].between(0, 1).all()
    assert reference.kmeans_clusters(str(some_faces)).shape == (5, len(ATTRIBUTES))


def test_the_clock_counts_no_more_batches_than_asked_for() -> None:
    clock = Clock("cpu")
    batches = [torch.zeros(4, 1)] * 9
    assert len(list(clock.first([(batch,) for batch in batches], 6))) == 6
    assert (clock.batches, clock.images) == (6, 24)
    assert clock.rate > 0
    assert clock.seconds > 0
    assert len(list(clock.first([(batch,) for batch in batches], 100))) == 9
