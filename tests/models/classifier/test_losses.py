"""The losses of classifiers, compared with the cross-entropy and with values computed by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from celeba_lab.errors import UserError
from celeba_lab.models.classifier.losses import build_loss

LOGITS = torch.randn(64, 5, generator=torch.Generator().manual_seed(0)) * 2
LABELS = (torch.rand(64, 5, generator=torch.Generator().manual_seed(1)) < 0.4).float()
BCE = F.binary_cross_entropy_with_logits(LOGITS, LABELS)
RATES = [0.5, 0.1, 0.02, 0.9, 0.4]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"name": "bce"},
        {"name": "focal", "gamma": 0.0},
        {"name": "asymmetric", "gamma_negative": 0.0, "gamma_positive": 0.0, "margin": 0.0},
        {"name": "weighted_bce", "power": 0.0},
    ],
)
def test_each_loss_can_be_reduced_to_the_cross_entropy(settings: dict) -> None:
    assert build_loss(prevalence=RATES, **settings)(LOGITS, LABELS).item() == pytest.approx(BCE.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["bce", "weighted_bce", "focal", "asymmetric"])
@pytest.mark.parametrize("labels", [LABELS, 0.1 + 0.8 * LABELS])
def test_minimising_each_loss_leads_to_the_labels(name: str, labels: torch.Tensor) -> None:
    """Labels may be soft, as with label smoothing and MixUp."""
    loss = build_loss(name, prevalence=RATES)
    logits = torch.zeros(64, 5, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        loss(logits, labels).backward()
        optimizer.step()
    assert ((logits > 0) == (labels > 0.5)).float().mean() > 0.95


@pytest.mark.parametrize("name", ["bce", "weighted_bce", "focal", "asymmetric"])
def test_losses_of_confident_mistakes_are_finite(name: str) -> None:
    logits = torch.tensor([[80.0, -80.0]], requires_grad=True)
    loss = build_loss(name, prevalence=[0.5, 0.001])(logits, torch.tensor([[0.0, 1.0]]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_both_classes_have_the_same_total_weight() -> None:
    """If 10% of the labels are positive, one positive has the weight of nine negatives."""
    labels = torch.tensor([[1.0]] + 9 * [[0.0]])
    loss = build_loss("weighted_bce", prevalence=[0.1])(torch.zeros(10, 1), labels)
    assert loss.item() == pytest.approx(math.log(2) * (5 + 9 * 0.5 / 0.9) / 10)


def test_the_weight_of_a_very_rare_class_is_bounded() -> None:
    loss = build_loss("weighted_bce", prevalence=[0.001], largest=10.0)(torch.zeros(1, 1), torch.ones(1, 1))
    assert loss.item() == pytest.approx(10 * math.log(2))


def test_focal_equals_the_focal_loss_of_torchvision() -> None:
    expected = sigmoid_focal_loss(LOGITS, LABELS, alpha=-1, gamma=2.0, reduction="mean")
    assert build_loss("focal")(LOGITS, LABELS).item() == pytest.approx(expected.item())


def test_asymmetric_equals_values_computed_by_hand() -> None:
    """With p = 0.5 the loss of a positive is log 2, and that of a negative is -(0.45 ** 4) * log(0.55)."""
    loss = build_loss("asymmetric")(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    assert loss.item() == pytest.approx((math.log(2) - 0.45**4 * math.log(0.55)) / 2)
    easy = build_loss("asymmetric")(torch.tensor([[-4.0]]), torch.zeros(1, 1))
    assert easy.item() == 0, "a negative below the margin should have no weight"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "focl"}, r"^name=focl must be one of .*Did you mean 'focal'"),
        ({"name": "focal", "gama": 2.0}, r"^gama=2 is not a setting of the loss focal.*'gamma'"),
        ({"name": "focal", "gamma": -1.0}, r"^gamma=-1 must be at least 0"),
        ({"name": "weighted_bce"}, "requires the prevalence"),
    ],
)
def test_the_error_about_a_wrong_setting_names_it(settings: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_loss(**settings)
