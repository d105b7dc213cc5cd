"""The files and values of a classifier report, the data used for tuning, and the parts omitted for small splits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from celeba_lab import figures
from celeba_lab.analyses.calibration import apply_temperature, reliability
from celeba_lab.analyses.predictions import Predictions
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.errors import UserError
from celeba_lab.reports.attribute_table import attribute_table
from celeba_lab.reports.classifier import report as classifier
from celeba_lab.reports.classifier.attributes import report_attributes
from celeba_lab.reports.classifier.calibration import report_calibration
from celeba_lab.reports.classifier.history import report_history
from celeba_lab.reports.classifier.mistakes import report_mistakes
from celeba_lab.reports.classifier.report import ClassifierReport
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.classifier.scores import mistakes
from celeba_lab.reports.classifier.thresholds import report_thresholds
from celeba_lab.runs.folder import RunFolder
from celeba_lab.runs.run import Run

REPORT = ClassifierReport(
    estimator=LogisticRegression(), smallest=2, contradictions=[["Bald", "Bangs"], ["Straight_Hair", "Wavy_Hair"]]
)
# Two pairs of contradictory attributes, two attributes of a subgroup, and three others.
SEVERAL = ["Bald", "Bangs", "Blond_Hair", "Eyeglasses", "Male", "Smiling", "Straight_Hair", "Wavy_Hair", "Young"]
Guess = Callable[[np.ndarray], np.ndarray]


def noisy(labels: np.ndarray) -> np.ndarray:
    """Return probabilities that are mostly correct."""
    noise = np.random.default_rng(0).normal(size=labels.shape)
    return expit(2 * (2.0 * labels - 1) + 1.5 * noise)


def data_of(root: Path, attributes: list[str]) -> CelebADataModule:
    return CelebADataModule(str(root), attributes=attributes, image_size=32, num_workers=0)


def predictions_of(data: CelebADataModule, split: str, guess: Guess = noisy) -> Predictions:
    rows = data.split_indices(split)
    labels = data.annotations.labels[rows][:, data.annotations.columns(data.attributes)].astype(np.uint8)
    probabilities = guess(labels).astype(np.float32)
    return Predictions(split, data.image_ids(rows), rows, labels, probabilities, data.attributes, 0.5)


def run_in(folder: Path) -> Run:
    folder.mkdir(exist_ok=True)
    return Run(folder, "evaluate", {"name": "smile", "seed": 1})


def result_of(folder: Path, data: CelebADataModule, guess: Guess = noisy, split: str = "test") -> EvaluationResult:
    validation = None if split == "val" else predictions_of(data, "val", guess)
    return EvaluationResult(run_in(folder), data, predictions_of(data, split, guess), validation)


def scores_of(found: Predictions) -> pd.DataFrame:
    return attribute_table(found.labels, found.probabilities, found.attributes, found.threshold)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def several(
    tiny_celeba: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[EvaluationResult, pd.DataFrame, dict[str, float]]:
    """Report on nine attributes of the test split."""
    result = result_of(tmp_path_factory.mktemp("several"), data_of(tiny_celeba, SEVERAL))
    table, metrics = REPORT.write(result, {"experiment": "attributes"})
    return result, table, metrics


def table_of(result: EvaluationResult, name: str) -> pd.DataFrame:
    return pd.read_csv(result.run.path / "tables" / f"{name}_{result.split}.csv")


def test_a_report_consists_of_tables_figures_and_a_page(several) -> None:
    result, table, metrics = several
    tables = [
        "amplification", "attributes", "calibration", "contradictions", "drift", "subgroups", "groups", "mistakes",
        "pixels", "predictions", "thresholds",
    ]  # fmt: skip
    pictures = [
        "accuracy", "amplification", "confusion", "contradictions", "drift_accuracy", "drift_prevalence", "subgroups",
        "groups", "mistakes", "pixels", "precision_recall", "reliability", "roc", "scores", "thresholds",
    ]  # fmt: skip
    assert files(result.run.path) == {
        "report.html",
        *(f"tables/{name}_test.csv" for name in tables),
        *(f"figures/{name}_test.png" for name in pictures),
    }
    pd.testing.assert_frame_equal(table, scores_of(result.predictions))
    assert len(table_of(result, "predictions")) == len(result.predictions.labels)
    assert set(table_of(result, "mistakes")["image_id"]) <= set(result.predictions.image_ids)
    page = (result.run.path / "report.html").read_text()
    for heading in ("Do the pixels help?", "Thresholds", "Groups", "Blond_Hair by Male", "Drift", "Contradictions"):
        assert heading in page
    assert set(metrics) >= {"test/ece", "test/scaled_ece", "test/tuned_accuracy", "test/other_labels_accuracy"}


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("attributes", [["Smiling"], ["Male", "Blond_Hair"]])
def test_one_or_two_attributes_can_be_reported(attributes: list[str], tiny_celeba: Path, tmp_path: Path) -> None:
    result = result_of(tmp_path, data_of(tiny_celeba, attributes))
    table, metrics = REPORT.write(result, {})
    assert table["attribute"].tolist() == attributes
    assert (tmp_path / "figures" / "amplification_test.png").exists() == (len(attributes) > 1)
    assert not (tmp_path / "tables" / "contradictions_test.csv").exists()
    assert "test/contradictions" not in metrics
    groups = table_of(result, "groups")
    assert len(groups) == len(attributes) * 39
    assert set(groups["group"]) == set(ATTRIBUTES) - ({"Smiling"} if len(attributes) == 1 else set())


def test_the_scores_in_the_table_equal_scikit_learn(several) -> None:
    result, table, _ = several
    for k in range(len(SEVERAL)):
        truth, said = result.predictions.labels[:, k], result.predictions.predicted[:, k]
        assert table["accuracy"][k] == pytest.approx(accuracy_score(truth, said))
        assert table["f1"][k] == pytest.approx(f1_score(truth, said))
    expected = reliability(result.predictions.labels, result.predictions.probabilities).error
    assert table_of(result, "calibration")["ece"].to_numpy() == pytest.approx(expected)
    assert table["ece"].to_numpy() == pytest.approx(expected)


# -- tuning ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def both(tmp_path: Path, tiny_celeba: Path) -> tuple[EvaluationResult, EvaluationResult]:
    """Two results with the same predictions. The second has inverted test labels."""
    result = result_of(tmp_path / "a", data_of(tiny_celeba, ["Male", "Young"]))
    flipped = replace(result.predictions, labels=1 - result.predictions.labels)
    return result, replace(result, run=run_in(tmp_path / "b"), predictions=flipped)


def test_tuned_thresholds_do_not_depend_on_the_labels_of_the_reported_split(both) -> None:
    """Different test labels give different scores but the same thresholds."""
    metrics = [report_thresholds(result, "balanced_accuracy")[1] for result in both]
    first, second = (table_of(result, "thresholds") for result in both)
    assert first["tuned_threshold"].tolist() == second["tuned_threshold"].tolist()
    assert first["tuned_accuracy"].to_numpy() == pytest.approx(1 - second["tuned_accuracy"].to_numpy())
    for table, found, result in zip((first, second), metrics, both, strict=True):
        assert found["test/tuned_balanced_accuracy"] == pytest.approx(table["tuned_balanced_accuracy"].mean())
        for k in range(2):
            truth, scores = result.predictions.labels[:, k], result.predictions.probabilities[:, k]
            assert table["tuned_f1"][k] == pytest.approx(f1_score(truth, scores >= table["tuned_threshold"][k]))
            assert table["f1"][k] == pytest.approx(f1_score(truth, scores >= 0.5))


def test_temperatures_do_not_depend_on_the_labels_of_the_reported_split(both) -> None:
    for result in both:
        report_calibration(result, bins=15)
    first, second = (table_of(result, "calibration") for result in both)
    assert first["temperature"].tolist() == second["temperature"].tolist()
    assert first["scaled_ece"].tolist() != second["scaled_ece"].tolist()


def test_thresholds_and_temperatures_depend_on_the_validation_labels(both) -> None:
    result = both[0]
    assert result.validation is not None
    other = replace(result, validation=replace(result.validation, labels=1 - result.validation.labels), run=both[1].run)
    for one in (result, other):
        report_thresholds(one, "balanced_accuracy")
        report_calibration(one, bins=15)
    assert table_of(result, "thresholds")["tuned_threshold"].tolist() != (
        table_of(other, "thresholds")["tuned_threshold"].tolist()
    )
    assert (
        table_of(result, "calibration")["temperature"].tolist()
        != table_of(other, "calibration")["temperature"].tolist()
    )


def test_the_bins_setting_applies_to_all_calibration_errors(both) -> None:
    result = both[0]
    section, table = report_attributes(result, bins=3)
    report_calibration(result, bins=3)
    assert "3 bins" in section.text
    assert table["ece"].tolist() == pytest.approx(table_of(result, "calibration")["ece"].tolist())
    assert table["ece"].tolist() != pytest.approx(scores_of(result.predictions)["ece"].tolist())


def test_temperature_scaling_corrects_overconfidence(tmp_path: Path, write_celeba) -> None:
    """Logits that were multiplied by three must be scaled back."""
    rng = np.random.default_rng(0)
    root = write_celeba(tmp_path / "data", n=3000, images=False)

    def too_sure(labels: np.ndarray) -> np.ndarray:
        honest = rng.beta(1 + labels, 2 - labels)  # A fraction p of the faces with probability p has the attribute.
        return expit(3 * logit(honest))

    result = result_of(tmp_path / "run", data_of(root, ["Male", "Young"]), too_sure)
    _, metrics = report_calibration(result, bins=15)
    table = table_of(result, "calibration")
    assert (table["temperature"] > 2).all()
    assert metrics["test/scaled_ece"] < metrics["test/ece"] / 2
    assert (table["scaled_log_loss"] < table["log_loss"]).all()
    scaled = apply_temperature(result.predictions.probabilities, table["temperature"].to_numpy())
    assert table["scaled_ece"].to_numpy() == pytest.approx(reliability(result.predictions.labels, scaled).error)
    report_mistakes(result, most=3)
    assert not (tmp_path / "run/figures/mistakes_test.png").exists(), "mistakes must not be drawn without images"


def test_the_comparison_with_the_other_labels_equals_scikit_learn(several) -> None:
    """The regression is fitted on the train rows and evaluated on the test rows, with the 39 other true labels."""
    result, _, metrics = several
    table = table_of(result, "pixels").set_index("attribute")
    data = result.datamodule
    train, test = (data.annotations.labels[data.split_indices(split)] for split in ("train", "test"))
    for name in ("Male", "Smiling"):
        k = ATTRIBUTES.index(name)
        model = LogisticRegression().fit(np.delete(train, k, axis=1), train[:, k])
        expected = model.score(np.delete(test, k, axis=1), test[:, k])
        assert table.loc[name, "other_labels_accuracy"] == pytest.approx(expected)
    assert metrics["test/other_labels_accuracy"] == pytest.approx(table["other_labels_accuracy"].mean())
    gain = table["accuracy"] - table["other_labels_accuracy"]
    assert table["pixels_gain"].to_numpy() == pytest.approx(gain.to_numpy())


def test_drift_is_test_minus_validation(several) -> None:
    result, table, _ = several
    drift = table_of(result, "drift")
    assert drift["accuracy_test"].to_numpy() == pytest.approx(table["accuracy"].to_numpy())
    assert drift["prevalence_val"].to_numpy() == pytest.approx(result.validation.labels.mean(axis=0))
    difference = drift["accuracy_test"] - drift["accuracy_val"]
    assert drift["accuracy_difference"].to_numpy() == pytest.approx(difference.to_numpy())
    assert ((drift["accuracy_low"] <= difference) & (difference <= drift["accuracy_high"])).all()


# -- small splits ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("blank_figures")
def test_nothing_is_tuned_in_a_report_on_validation(tiny_celeba: Path, tmp_path: Path) -> None:
    result = result_of(tmp_path, data_of(tiny_celeba, ["Male", "Young"]), split="val")
    _, metrics = REPORT.write(result, {})
    assert not {"tables/thresholds_val.csv", "tables/drift_val.csv"} & files(tmp_path)
    assert "temperature" not in table_of(result, "calibration")
    assert not [name for name in metrics if "tuned" in name or "scaled" in name]


@pytest.mark.slow
def test_a_single_image_can_be_reported(tiny_celeba: Path, tmp_path: Path) -> None:
    data = data_of(tiny_celeba, ["Male", "Young"])
    one, val = predictions_of(data, "test"), predictions_of(data, "val")
    cut = replace(
        one,
        image_ids=one.image_ids[:1],
        index=one.index[:1],
        labels=one.labels[:1],
        probabilities=one.probabilities[:1],
    )
    result = EvaluationResult(run_in(tmp_path), data, cut, val)
    table, metrics = REPORT.write(result, {})
    assert table[["auroc", "average_precision", "balanced_accuracy"]].isna().all(axis=None)
    assert "test/worst_subgroup_accuracy" not in metrics
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("present", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_single_class_can_be_reported(present: int, tiny_celeba: Path, tmp_path: Path) -> None:
    result = result_of(tmp_path, data_of(tiny_celeba, ["Male", "Young"]))
    said, val = result.predictions, result.validation
    assert val is not None
    constant = [replace(found, labels=np.full_like(found.labels, present)) for found in (said, val)]
    table, metrics = REPORT.write(replace(result, predictions=constant[0], validation=constant[1]), {})
    assert table[["auroc", "balanced_accuracy"]].isna().all(axis=None)
    assert table_of(result, "thresholds")["tuned_threshold"].tolist() == [0.5, 0.5]
    assert table_of(result, "calibration")["temperature"].tolist() == [1.0, 1.0]
    assert np.isnan(metrics["test/tuned_balanced_accuracy"])


@pytest.mark.usefixtures("blank_figures")
def test_the_comparison_with_the_other_labels_is_omitted_without_train_rows(write_celeba, tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "data", partition=np.repeat([1, 2], 24))
    _, metrics = REPORT.write(result_of(tmp_path / "run", data_of(root, ["Male"])), {})
    assert "test/other_labels_accuracy" not in metrics
    assert not (tmp_path / "run/tables/pixels_test.csv").exists()


@pytest.mark.usefixtures("blank_figures")
def test_parts_of_the_report_can_be_disabled(tiny_celeba: Path, tmp_path: Path) -> None:
    report = ClassifierReport(tune=None, estimator=None, mistakes=0, page=False)
    report.write(result_of(tmp_path, data_of(tiny_celeba, ["Male", "Young"])), {})
    absent = {"report.html", "tables/thresholds_test.csv", "tables/pixels_test.csv", "figures/mistakes_test.png"}
    assert not absent & files(tmp_path)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tune": "f2"}, r"^tune=f2 must be one of balanced_accuracy, f1"),
        ({"smallest": 0}, r"^smallest=0 must be at least 1"),
        ({"bins": 0}, r"^bins=0 must be at least 1"),
        ({"mistakes": -1}, r"^mistakes=-1 must be at least 0"),
        ({"contradictions": [["Bald", "Bang"]]}, r"Did you mean 'Bangs'"),
        ({"estimator": object()}, r"^estimator=object must be a scikit-learn classifier"),
    ],
)
def test_a_wrong_setting_gives_a_one_sentence_error(settings: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        ClassifierReport(**settings)


# -- images of mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("blank_figures")
def test_each_mistake_is_shown_with_its_own_image(tmp_path: Path, tiny_celeba: Path, monkeypatch) -> None:
    shown: dict[str, list] = {}

    def spy(images, captions, **options):
        shown.update(images=images, captions=captions)
        return original(images, captions, **options)

    original = figures.face_grid
    monkeypatch.setattr(figures, "face_grid", spy)
    data = data_of(tiny_celeba, ["Smiling", "Male"])
    result = result_of(tmp_path, data, lambda labels: np.where(labels == 1, 0.1, 0.2))  # All positives are mistakes.
    REPORT.write_split(result)
    wrong = mistakes(result.predictions)
    assert len(shown["images"]) == len(wrong) == result.predictions.labels.sum()
    for image, row in zip(shown["images"], wrong["row"], strict=True):
        [expected] = data.raw_images(result.predictions.index[[row]])
        np.testing.assert_array_equal(image, expected)
    for caption, image_id in zip(shown["captions"], wrong["image_id"], strict=True):
        assert image_id in str(caption)


@pytest.mark.usefixtures("blank_figures")
def test_no_images_are_shown_without_mistakes(tmp_path: Path, tiny_celeba: Path) -> None:
    result = result_of(tmp_path, data_of(tiny_celeba, ["Smiling", "Male"]), lambda labels: labels.astype(float))
    REPORT.write_split(result)
    assert not (tmp_path / "figures/mistakes_test.png").exists()
    assert len(table_of(result, "mistakes")) == 0


# -- epochs ------------------------------------------------------------------------------------------------------------


def test_metrics_are_tabulated_by_epoch_and_attribute(tmp_path: Path, tiny_celeba: Path) -> None:
    result = result_of(tmp_path, data_of(tiny_celeba, ["Male", "Young"]), split="val")
    val = scores_of(result.predictions)
    rows = {"epoch": [1, 2], "val/accuracy/Male": [0.5, 0.75], "val/accuracy/Young": [0.625, 0.875]}
    section = report_history(result.run, pd.DataFrame(rows), 2, val, "tiny")
    assert section is not None
    table = pd.read_csv(tmp_path / "tables/attributes_by_epoch.csv").set_index("attribute")
    assert table.loc["Male", ["epoch 1", "epoch 2"]].tolist() == [0.5, 0.75]
    assert table.loc["Young", "majority"] == pytest.approx(val.set_index("attribute").loc["Young", "majority_accuracy"])
    assert table.index.tolist() == val.sort_values("gain", ascending=False)["attribute"].tolist()


def test_the_training_section_is_omitted_without_epochs(tmp_path: Path) -> None:
    assert report_history(RunFolder(tmp_path), pd.DataFrame(), 1, pd.DataFrame(), "tiny") is None
    assert not files(tmp_path)


@pytest.mark.usefixtures("blank_figures")
def test_the_page_states_which_data_were_used(tmp_path: Path, tiny_celeba: Path, monkeypatch) -> None:
    seen = {}
    monkeypatch.setattr(classifier, "write_page", lambda *arguments, **options: seen.update(options))
    data = data_of(tiny_celeba, ["Smiling"])
    data.notice = "drawn faces"
    REPORT.write(result_of(tmp_path, data), {})
    assert seen["warning"] == "drawn faces"
