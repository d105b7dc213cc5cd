"""Validation, testing and prediction with a classifier, mostly with Lightning's Trainer."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from celeba_lab.errors import UserError
from celeba_lab.models.classifier.augment import enlarge
from celeba_lab.models.classifier.module import AttributeClassifier

SMALL = "shufflenet_v2_x0_5"


def test_flip_average_gives_mirrored_faces_the_same_logits(classifier, faces, settled):
    model = settled(classifier(5, flip_average=True))
    plain = classifier(5, flip_average=False)
    plain.load_state_dict(model.state_dict())
    images = faces(4, 40, 36)
    as_seen, mirrored = model.probabilities(images), model.probabilities(images.flip(-1))
    torch.testing.assert_close(as_seen, mirrored, atol=1e-5, rtol=1e-4)
    difference = (plain.eval().probabilities(images) - plain.probabilities(images.flip(-1))).abs().max()
    assert difference > 1e-3, "without flip_average, flipping should change the logits"
    with torch.no_grad():
        expected = ((plain(images) + plain(images.flip(-1))) / 2).sigmoid()
    torch.testing.assert_close(as_seen, expected)


def test_zoom_average_is_the_mean_over_sizes_and_mirror_images(classifier, faces, settled):
    model = settled(classifier(5, flip_average=True, zoom_average=0.1))
    plain = classifier(5)
    plain.load_state_dict(model.state_dict())
    images = faces(4, 32, 32)  # the model's image size, so no other resizing takes place
    plain.eval()
    unit = images.float() / 255
    sizes = [unit, enlarge(unit, 1.1), enlarge(unit, 1 / 1.1)]
    with torch.no_grad():
        views = [plain.head(plain.backbone(plain._normalize(view))) for size in sizes for view in (size, size.flip(-1))]
    torch.testing.assert_close(model.probabilities(images), torch.stack(views).mean(dim=0).sigmoid())
    assert (model.probabilities(images) - plain.probabilities(images)).abs().max() > 1e-4


def test_predictions_do_not_depend_on_the_rest_of_the_batch(classifier, faces, settled):
    model = settled(classifier(3))
    images = faces(6)
    together = model.probabilities(images)
    alone = torch.cat([model.probabilities(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_logged_metrics_cover_the_whole_split(names, classifier, loader, trainer, settled):
    model = settled(classifier(3))
    data = loader(n=8, count=3, batch_size=3)
    logits, labels = [], []
    with torch.no_grad():
        for batch in data:
            logits.append(model(batch["image"]))
            labels.append(batch["label"])
    logits, labels = torch.cat(logits), torch.cat(labels)
    validation, test = trainer(), trainer()
    [val] = validation.validate(model, data, verbose=False)
    [tested] = test.test(model, data, verbose=False)
    right = ((logits >= 0) == labels.bool()).float()
    assert val["val/loss"] == pytest.approx(F.binary_cross_entropy_with_logits(logits, labels.float()).item(), rel=1e-5)
    assert val["val/accuracy"] == pytest.approx(right.mean().item())
    for k, name in enumerate(names(3)):
        assert val[f"val/accuracy/{name}"] == pytest.approx(right[:, k].mean().item())
    scores = ("loss", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc", "average_precision")
    assert set(val) == {f"val/{name}" for name in scores} | {f"val/accuracy/{name}" for name in names(3)}
    assert {name.replace("test/", "val/"): value for name, value in tested.items()} == pytest.approx(val, nan_ok=True)


def test_the_threshold_is_used(classifier, loader, trainer, settled):
    model = settled(classifier())
    data = loader()
    probabilities = torch.cat([model.probabilities(batch["image"]) for batch in data])[:, 0]
    labels = torch.cat([batch["label"] for batch in data])[:, 0]
    threshold = probabilities.sort().values[2:4].mean().item()
    other = classifier(threshold=threshold)
    other.load_state_dict(model.state_dict())
    [measured] = trainer().test(other, data, verbose=False)
    expected = ((probabilities >= threshold) == labels.bool()).float().mean().item()
    assert measured["test/accuracy"] == pytest.approx(expected)
    assert measured["test/recall"] == pytest.approx((probabilities[labels == 1] >= threshold).float().mean().item())


def test_undefined_metrics_are_excluded_from_the_mean_over_attributes(classifier, faces, trainer, settled):
    model = settled(classifier(2))
    items = [{"image": image, "label": torch.tensor([i % 2, 0]), "index": i} for i, image in enumerate(faces(8))]
    [measured] = trainer().test(model, DataLoader(items, batch_size=8), verbose=False)
    with torch.no_grad():
        predicted = model(faces(8))[:, 0] >= 0
    truth = torch.arange(8) % 2 == 1
    assert measured["test/recall"] == pytest.approx((predicted & truth).sum().item() / 4)
    assert not math.isnan(measured["test/auroc"])


def test_a_single_batch_with_a_nan_loss_raises_an_error(names, loader, trainer):
    class OneBadBatch(AttributeClassifier):
        def validation_step(self, batch, batch_idx):
            self.val_metrics.update(torch.tensor(math.nan if batch_idx == 1 else 0.5), torch.rand(4, 1), batch["label"])

    with pytest.raises(
        UserError,
        match=r"^The validation loss is NaN or infinite\. Evaluate a checkpoint",
    ):
        trainer().validate(OneBadBatch(names(1), SMALL, image_size=32), loader(n=16))


def test_predictions_include_the_image_index(classifier, faces, trainer, settled):
    model = settled(classifier(2))
    items = [{"image": image, "index": 10 * index} for index, image in enumerate(faces(5))]
    batches = trainer().predict(model, DataLoader(items, batch_size=2))
    assert torch.cat([batch["index"] for batch in batches]).tolist() == [0, 10, 20, 30, 40]
    found = torch.cat([batch["probability"] for batch in batches])
    np.testing.assert_allclose(found, model.probabilities(faces(5)), rtol=1e-4, atol=1e-6)
