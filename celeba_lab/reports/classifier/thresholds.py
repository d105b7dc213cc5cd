"""Thresholds that are chosen on the validation split and evaluated on the reported split."""

from celeba_lab import figures
from celeba_lab.analyses.thresholds import tune_thresholds
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.classifier.scores import threshold_table
from celeba_lab.reports.page.page import Section

_WORDS = {"balanced_accuracy": "balanced accuracy", "f1": "F1"}


def report_thresholds(result: EvaluationResult, criterion: str | None) -> tuple[Section | None, dict[str, float]]:
    """Report the scores at the default threshold and at thresholds chosen on the validation split.

    Args:
        result: Predictions to report.
        criterion: Score to maximise; see :func:`~celeba_lab.analyses.thresholds.tune_thresholds`. If None, thresholds
            are not tuned.

    Returns:
        The section, and ``split/tuned_metric`` for each metric, averaged over the attributes for which the metric is
        defined. If thresholds are not tuned or there are no validation predictions, the section is None.
    """
    if criterion is None or result.validation is None:
        return None, {}
    chosen_on = result.validation
    thresholds = tune_thresholds(chosen_on.labels, chosen_on.probabilities, criterion, chosen_on.threshold)
    table = threshold_table(result.predictions, thresholds)
    what, default = _WORDS[criterion], result.predictions.threshold
    columns = {"attribute": "attribute", "tuned_threshold": "tuned threshold"}
    for name, words in (("balanced_accuracy", "balanced accuracy"), ("f1", "F1"), ("accuracy", "accuracy")):
        columns |= {name: f"{words} at {default:g}", f"tuned_{name}": f"tuned {words}"}
    shown = result.table("thresholds", table, "Scores at the default and tuned thresholds", columns=columns)
    ordered = table.sort_values(f"tuned_{criterion}", ascending=False, kind="stable")
    figure = figures.score_comparison(
        {f"at {default:g}": ordered[criterion], "tuned": ordered[f"tuned_{criterion}"]},
        ordered["attribute"].tolist(),
        metric=what,
        title=result.title,
        note=f"{what.capitalize()} at a threshold of {default:g} and at the thresholds tuned on the validation split",
    )
    caption = f"{what.capitalize()} at a threshold of {default:g} and at the tuned thresholds."
    before, after = table[criterion].mean(), table[f"tuned_{criterion}"].mean()
    text = (
        f"The threshold for each attribute maximises its {what} on the {len(chosen_on.labels):,} validation images. The"
        f" {result.split} images are used only to evaluate the thresholds, not to choose them. The mean {what} is"
        f" {before:.4f} at a threshold of {default:g} and {after:.4f} at the tuned thresholds. The corresponding mean"
        f" accuracies are {table['accuracy'].mean():.4f} and {table['tuned_accuracy'].mean():.4f}."
    )
    metrics = {
        f"{result.split}/{name}": float(table[name].mean())
        for name in table
        if str(name).startswith("tuned_") and name != "tuned_threshold"
    }
    pictures = [result.picture("thresholds", figure, caption)]
    return Section("Thresholds", text, tables=[shown], pictures=pictures), metrics
