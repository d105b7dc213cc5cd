"""Ensembles of classifiers."""

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from celeba_lab.errors import UserError
from celeba_lab.models.classifier.ensemble import Ensemble
from celeba_lab.models.classifier.module import AttributeClassifier

NAMES = ["Smiling", "Male"]
IMAGES = torch.randint(0, 256, (6, 3, 40, 36), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def classifier(names: list[str] = NAMES, **options) -> AttributeClassifier:
    return AttributeClassifier(names, "shufflenet_v2_x0_5", **{"image_size": 32, **options}).eval()


@torch.no_grad()
def test_an_ensemble_averages_the_logits() -> None:
    members = [classifier(threshold=0.3), classifier(flip_average=True), classifier()]
    ensemble = Ensemble(members).eval()
    logits = torch.stack([member.evaluation_logits(IMAGES) for member in members])
    torch.testing.assert_close(ensemble.probabilities(IMAGES), logits.mean(dim=0).sigmoid())
    assert (ensemble.attributes, ensemble.threshold, ensemble.input_size) == (NAMES, 0.3, 32)


def test_an_ensemble_is_evaluated_like_a_classifier() -> None:
    """An ensemble with two identical members logs the same metrics as a single member."""
    member = classifier()
    rows = [{"image": image, "label": torch.tensor([k % 2, k // 3]), "index": k} for k, image in enumerate(IMAGES)]
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "barebones": False}
    tested = []
    for model in (member, Ensemble([member, member])):
        trainer = L.Trainer(accelerator="cpu", enable_checkpointing=False, **options)
        tested += trainer.test(model, DataLoader(rows, batch_size=4), verbose=False)
    assert tested[1] == pytest.approx(tested[0], nan_ok=True)
    assert {"test/loss", "test/accuracy", "test/accuracy/Male"} <= set(tested[0])


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"image_size": 64}, r"^Cannot average checkpoints with different values of image_size: 32 and 64\.$"),
        ({"resolution": 16}, r"^Cannot average checkpoints with different values of resolution: None and 16\.$"),
        ({"names": ["Male", "Smiling"]}, "^Cannot average checkpoints with different values of attributes: .*'Male'"),
    ],
)
def test_classifiers_that_differ_are_rejected(other: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Ensemble([classifier(), classifier(**other)])


def test_an_ensemble_of_one_does_not_change_its_member() -> None:
    member = classifier()
    Ensemble([member])
    assert "members" not in dict(member.named_children())
