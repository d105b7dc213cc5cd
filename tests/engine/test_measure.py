"""Predictions collected from a pass over a split, in table order."""

import numpy as np
import pytest
import torch

from celeba_lab.engine.measure import CollectPredictions
from celeba_lab.models.classifier.module import AttributeClassifier


@pytest.fixture(scope="module")
def classifier(face_batch) -> AttributeClassifier:
    torch.manual_seed(0)
    model = AttributeClassifier(["a", "b"], "shufflenet_v2_x0_5", image_size=32)
    with torch.no_grad():
        for _ in range(20):
            model.train().features(face_batch(8)["image"])
    return model.eval()


ORDER = [5, 2, 7, 0, 1, 6, 3, 4]


@pytest.mark.parametrize("verb", ["validate", "test"])
@pytest.mark.parametrize("order", [ORDER, [*ORDER, 5, 2]], ids=["shuffled", "padded as distributed samplers do"])
def test_collected_predictions_equal_a_manual_pass_in_table_order(
    classifier, verb, order, trainer, faces_loader, face_batch
):
    collected = CollectPredictions()
    getattr(trainer(collected), verb)(classifier, faces_loader(8, 2, order), verbose=False)
    expected = face_batch(8)
    assert collected.index.tolist() == expected["index"].tolist()
    assert collected.index.dtype == np.int64
    assert collected.label.tolist() == expected["label"].tolist()
    assert collected.label.dtype == np.uint8
    assert collected.probability.dtype == np.float32
    found = classifier.eval().probabilities(expected["image"]).numpy()
    assert len(np.unique(found)) == 16, "all probabilities should differ, so that the order is tested"
    np.testing.assert_allclose(collected.probability, found, rtol=1e-4, atol=1e-6)


def test_predictions_are_collected_for_images_without_labels(classifier, trainer, faces_loader, face_batch):
    collected = CollectPredictions()
    trainer(collected).predict(classifier, faces_loader(8, order=ORDER, labels=False), return_predictions=False)
    assert collected.index.tolist() == face_batch(8)["index"].tolist()
    found = classifier.eval().probabilities(face_batch(8)["image"]).numpy()
    np.testing.assert_allclose(collected.probability, found, rtol=1e-4, atol=1e-6)
    assert collected.label.size == 0


def test_every_pass_collects_new_predictions(classifier, trainer, faces_loader):
    collected = CollectPredictions()
    measuring = trainer(collected)
    measuring.validate(classifier, faces_loader(8, 2), verbose=False)
    measuring.validate(classifier, faces_loader(5, 2), verbose=False)
    assert len(collected.index) == len(collected.probability) == len(collected.label) == 5


def test_nothing_is_collected_during_training(trainer, faces_loader):
    collected = CollectPredictions()
    model = AttributeClassifier(["a"], "shufflenet_v2_x0_5", image_size=32)
    trainer(collected).fit(model, faces_loader(), faces_loader())
    assert collected.index.size == collected.probability.size == 0
    assert not collected._parts
