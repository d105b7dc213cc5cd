"""ROC and precision-recall figures show scikit-learn's curves, and list the areas and the undefined curves."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from celeba_lab import figures


def areas_of(score, labels, probabilities):
    return [score(truth, scores) for truth, scores in zip(labels.T, probabilities.T, strict=True)]


@pytest.mark.parametrize("count", [1, 8])
def test_legends_list_the_areas_in_descending_order(count, random_predictions, names_of, legend_texts):
    labels, probabilities = random_predictions(400, count)
    names = names_of(count)
    areas = dict(zip(names, areas_of(roc_auc_score, labels, probabilities), strict=True))
    roc = legend_texts(figures.roc_curves(labels, probabilities, names, areas=list(areas.values()), title="title"))
    best_first = sorted(names, key=lambda name: -areas[name])
    assert roc == [*(f"{name}  AUROC {areas[name]:.3f}" for name in best_first), "chance"]

    precisions = areas_of(average_precision_score, labels, probabilities)
    pr = legend_texts(figures.precision_recall_curves(labels, probabilities, names, areas=precisions, title="title"))
    for name, area in zip(names, precisions, strict=True):
        assert any(text.startswith(f"{name}  AP {area:.3f}") for text in pr)


def test_a_wrong_number_of_areas_is_rejected(random_predictions, names_of):
    with pytest.raises(ValueError, match=r"one area per name: got \(2,\) and 3 names"):
        figures.roc_curves(*random_predictions(40, 3), names_of(3), areas=[0.5, 0.5], title="title")


def test_the_chance_line_of_precision_is_the_prevalence(random_predictions):
    labels, probabilities = random_predictions(400, 1)
    figure = figures.precision_recall_curves(labels, probabilities, ["Smiling"], areas=[0.5], title="title")
    chance = next(line for line in figure.axes[0].lines if "chance" in line.get_label())
    np.testing.assert_allclose(chance.get_ydata(), labels.mean())
    assert f"{labels.mean():.3f}" in chance.get_label()


def test_only_the_five_best_and_worst_of_many_attributes_are_named(random_predictions, names_of, legend_texts):
    labels, probabilities = random_predictions(400, 40)
    names = names_of(40)
    areas = np.array(areas_of(roc_auc_score, labels, probabilities))
    figure = figures.roc_curves(labels, probabilities, names, areas=areas, title="title")
    order = np.argsort(-areas)
    entries = [f"{names[k]}  AUROC {areas[k]:.3f}" for k in order]
    expected = ["Highest AUROC", *entries[:5], "Lowest AUROC", *entries[-5:], "30 other attributes", "chance"]
    assert legend_texts(figure) == expected
    assert len(figure.axes[0].lines) == 41
    assert f"mean AUROC {areas.mean():.3f} over 40 of 40 attributes" in figure.get_suptitle()


@pytest.mark.parametrize("count", [9, 10, 11])
def test_no_attribute_is_both_best_and_worst(count, random_predictions, legend_texts, names_of):
    labels, probabilities = random_predictions(400, count)
    areas = areas_of(roc_auc_score, labels, probabilities)
    entries = legend_texts(figures.roc_curves(labels, probabilities, names_of(count), areas=areas, title="title"))
    named = [entry for entry in entries if entry.startswith("Attribute")]
    assert len(named) == len(set(named)) == min(count, 10)
    assert ("1 other attribute" in entries) == (count == 11)


@pytest.mark.parametrize(("value", "reason"), [(0, "no positives"), (1, "no negatives")])
@pytest.mark.parametrize("draw", [figures.roc_curves, figures.precision_recall_curves])
def test_undefined_curves_are_listed_but_neither_drawn_nor_averaged(
    draw, value, reason, random_predictions, legend_texts
):
    labels, probabilities = random_predictions(400, 3)
    labels[:, 1] = value
    names = ["Smiling", "Bald", "Male"]
    figure = draw(labels, probabilities, names, areas=[0.6, np.nan, 0.7], title="title")
    assert f"Bald: undefined ({reason})" in legend_texts(figure)
    assert not any(line.get_label().startswith("Bald") for line in figure.axes[0].lines)
    assert "over 2 of 3 attributes" in figure.get_suptitle()
    single = draw(labels[:, 1:2], probabilities[:, 1:2], ["Bald"], areas=[np.nan], title="title")
    assert f"undefined: {reason}" in [text.get_text() for text in single.axes[0].texts]


def test_thinning_a_curve_preserves_its_area(random_predictions):
    labels, probabilities = random_predictions(50_000, 1)
    line = figures.roc_curves(labels, probabilities, ["Smiling"], areas=[0.5], title="title").axes[0].lines[0]
    assert len(line.get_xdata()) < 3000
    area = np.trapezoid(line.get_ydata(), line.get_xdata())
    assert area == pytest.approx(roc_auc_score(labels[:, 0], probabilities[:, 0]), abs=2e-3)
