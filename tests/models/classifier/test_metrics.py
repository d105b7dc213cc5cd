"""Metrics compared with scikit-learn, including undefined values."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.classification import BinaryPrecision, MultilabelAUROC

from celeba_lab.models.classifier.metrics import AttributeMetrics, SplitMetrics

SCORES = {"accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc", "average_precision"}
BATCHES = (5, 64, 1, 30, 17)  # batches of different sizes, including a single image


def random_split(n: int, count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return informative probabilities with many ties, and labels that contain both classes of each attribute."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((n, count)) < np.linspace(0.5, 0.05, count)).astype(np.uint8)
    labels[0], labels[1] = 0, 1
    logits = generator.normal(size=(n, count)) + 1.5 * (labels - 0.5)
    probabilities = torch.from_numpy(np.round(1 / (1 + np.exp(-logits)), 2)).float()
    return probabilities, torch.from_numpy(labels)


def measure(probabilities, labels, batches=None, **options) -> dict[str, torch.Tensor]:
    metrics = AttributeMetrics(labels.shape[1], **options)
    for p, y in zip(probabilities.split(batches or len(labels)), labels.split(batches or len(labels)), strict=True):
        metrics.update(p, y)
    return metrics.compute()


def sklearn_scores(probabilities, labels, threshold) -> dict[str, np.ndarray]:
    scores = []
    for p, y in zip(probabilities.numpy().T, labels.numpy().T, strict=True):
        predicted = p >= np.float32(threshold)
        scores.append(
            {
                "accuracy": sk.accuracy_score(y, predicted),
                "balanced_accuracy": sk.balanced_accuracy_score(y, predicted),
                "precision": sk.precision_score(y, predicted, zero_division=np.nan),
                "recall": sk.recall_score(y, predicted),
                "f1": sk.f1_score(y, predicted, zero_division=np.nan),
                "auroc": sk.roc_auc_score(y, p),
                "average_precision": sk.average_precision_score(y, p),
            }
        )
    return {name: np.array([row[name] for row in scores]) for name in scores[0]}


@pytest.mark.parametrize("threshold", [0.5, 0.3])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_metrics_equal_scikit_learn_over_uneven_batches(count, threshold):
    probabilities, labels = random_split(sum(BATCHES), count)
    found = measure(probabilities, labels, BATCHES, threshold=threshold)
    expected = sklearn_scores(probabilities, labels, threshold)
    assert set(found) == SCORES
    for name in SCORES:
        assert found[name].shape == (count,)
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("count", [1, 3])
def test_the_loss_of_a_split_is_the_mean_over_all_images(count):
    probabilities, labels = random_split(sum(BATCHES), count)
    metrics = SplitMetrics(count)
    for p, y in zip(probabilities.split(BATCHES), labels.split(BATCHES), strict=True):
        metrics.update(torch.nn.functional.binary_cross_entropy(p, y.float()), p, y)
    expected = np.mean([sk.log_loss(y, p, labels=[0, 1]) for p, y in zip(probabilities.T, labels.T, strict=True)])
    found = metrics.compute()
    assert found["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert metrics.running_loss == pytest.approx(expected, rel=1e-5)
    scores = measure(probabilities, labels, BATCHES)
    assert all(torch.equal(found[name], value) for name, value in scores.items())


def test_metrics_are_not_means_of_batch_means():
    # Three correct images and then a wrong one: the batch means would average to an accuracy of 0.5 and a loss of 1.5.
    metrics = SplitMetrics(1)
    metrics.update(torch.tensor(1.0), torch.tensor([[0.9], [0.8], [0.7]]), torch.tensor([[1], [1], [1]]))
    metrics.update(torch.tensor(2.0), torch.tensor([[0.2]]), torch.tensor([[1]]))
    scores = metrics.compute()
    assert scores["accuracy"].item() == 0.75
    assert scores["loss"].item() == 1.25


@pytest.mark.parametrize("count", [1, 3])
def test_the_order_of_the_images_does_not_matter(count):
    probabilities, labels = random_split(50, count)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(3))
    one, other = measure(probabilities, labels, 7), measure(probabilities[order], labels[order], 13)
    for name in one:
        torch.testing.assert_close(one[name], other[name])


def constant_columns(values: list[float], labels: list[list[int]]) -> dict[str, torch.Tensor]:
    """Return the metrics of attributes that have the same probability for all images."""
    truth = torch.tensor(labels).T
    return measure(torch.tensor(values).expand(len(truth), -1), truth)


@pytest.mark.parametrize("count", [1, 3])  # torchmetrics has separate classes for one label and for several
def test_undefined_values_are_nan(count):
    absent = constant_columns([0.1] * count, [[0, 0, 0, 0]] * count)
    present = constant_columns([0.9] * count, [[1, 1, 1, 1]] * count)
    never_predicted = constant_columns([0.1] * count, [[0, 1, 0, 1]] * count)
    undefined = {
        "absent": {"balanced_accuracy", "precision", "recall", "f1", "auroc", "average_precision"},
        "present": {"balanced_accuracy", "auroc", "average_precision"},
        "never predicted": {"precision"},
    }
    for case, scores in (("absent", absent), ("present", present), ("never predicted", never_predicted)):
        assert {name for name, value in scores.items() if value.isnan().all()} == undefined[case], case
        assert {name for name, value in scores.items() if value.isnan().any()} == undefined[case], case
    assert present["f1"].tolist() == present["recall"].tolist() == present["precision"].tolist() == [1.0] * count
    assert never_predicted["f1"].tolist() == never_predicted["recall"].tolist() == [0.0] * count
    assert absent["accuracy"].tolist() == [1.0] * count


def test_undefined_metrics_do_not_affect_other_attributes():
    probabilities, labels = random_split(60, 3)
    alone = measure(probabilities[:, :2], labels[:, :2])
    labels[:, 2] = 0
    together = measure(probabilities, labels)
    for name in SCORES:
        assert together[name][:2].tolist() == alone[name].tolist(), name
    assert together["auroc"][2].isnan()


def test_a_probability_equal_to_the_threshold_is_positive():
    scores = measure(torch.tensor([[0.25], [0.2]]), torch.tensor([[1], [0]]), threshold=0.25)
    assert scores["accuracy"].item() == 1


def test_reset_discards_all_batches():
    probabilities, labels = random_split(60, 3)
    metrics = SplitMetrics(3)
    metrics.update(torch.tensor(9.0), 1 - probabilities, labels)
    metrics.reset()
    assert metrics.is_empty
    metrics.update(torch.tensor(1.0), probabilities, labels)
    fresh = SplitMetrics(3)
    fresh.update(torch.tensor(1.0), probabilities, labels)
    assert not fresh.is_empty
    for name, value in fresh.compute().items():
        assert torch.equal(metrics.compute()[name], value), name


def test_probabilities_are_not_stored_without_ranking():
    probabilities, labels = random_split(60, 3)
    metrics = AttributeMetrics(3, ranking=False)
    metrics.update(probabilities, labels)
    assert set(metrics.compute()) == SCORES - {"auroc", "average_precision"}
    kept = sum(value.numel() for value in metrics.counts.metric_state.values())
    assert kept < 20


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_single_nonfinite_loss_is_not_hidden(bad):
    # A NaN loss must not be excluded from the mean.
    metrics = SplitMetrics(1)
    assert metrics.running_loss == 0
    for loss in (1.0, bad, 1.0):
        metrics.update(torch.tensor(loss), torch.tensor([[0.9]]), torch.tensor([[1]]))
    assert not math.isfinite(metrics.running_loss)
    assert not metrics.compute()["loss"].isfinite()


def test_metrics_are_not_part_of_a_checkpoint():
    probabilities, labels = random_split(60, 3)
    metrics = SplitMetrics(3)
    metrics.update(torch.tensor(1.0), probabilities, labels)
    assert not metrics.state_dict()


# -- guards: why AttributeMetrics computes ratios itself -------------------------------------------------------------


def test_guard_torchmetrics_sets_undefined_values_to_zero():
    precision = BinaryPrecision()(torch.tensor([0.1, 0.2]), torch.tensor([0, 1]))
    auroc = MultilabelAUROC(2, average=None)(torch.rand(4, 2), torch.tensor([[0, 0], [0, 1], [0, 0], [0, 1]]))
    assert precision == 0, "torchmetrics now returns NaN for an undefined precision: AttributeMetrics may use it"
    assert auroc[0] == 0, "torchmetrics now returns NaN for an undefined AUROC: AttributeMetrics need not mask it"


def test_guard_torchmetrics_rejects_a_single_label():
    # Once this no longer raises, AttributeMetrics no longer needs the classes for one label.
    with pytest.raises(ValueError, match="larger than 1"):
        MultilabelAUROC(1)


def test_guard_torchmetrics_ignores_nan():
    # Once this fails, SplitMetrics no longer needs nan_strategy.
    from torchmetrics import MeanMetric

    metric = MeanMetric()
    with pytest.warns(UserWarning, match="nan"):
        metric.update(torch.tensor(math.nan))
    metric.update(torch.tensor(1.0))
    assert metric.compute() == 1
