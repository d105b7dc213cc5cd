"""Whether a probability of 0.8 is right eight times of ten, before and after temperature scaling."""

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss

from celeba_lab import figures
from celeba_lab.analyses.calibration import apply_temperature, fit_temperature, reliability
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.page.page import Section

_COLUMNS = {
    "attribute": "attribute",
    "ece": "calibration error",
    "scaled_ece": "calibration error scaled",
    "temperature": "temperature",
    "log_loss": "log loss",
    "scaled_log_loss": "log loss scaled",
}


def report_calibration(result: EvaluationResult, bins: int) -> tuple[Section, dict[str, float]]:
    """Fit a temperature for each attribute on validation; draw the reliability of the reported split before and after.

    Args:
        result: without validation only the reliability as it is.
        bins: of the probability, equally wide.

    Returns:
        The section, and ``split/ece`` and ``split/scaled_ece``, the means over the attributes.
    """
    found, validation = result.predictions, result.validation
    before, after = found.probabilities, None
    table = pd.DataFrame({"attribute": result.names, "ece": reliability(found.labels, before, bins).error})
    table["log_loss"] = _log_losses(found.labels, before)
    if validation is not None:
        temperature = fit_temperature(validation.labels, validation.probabilities)
        after = apply_temperature(before, temperature)
        table["temperature"] = temperature
        table["scaled_ece"] = reliability(found.labels, after, bins).error
        table["scaled_log_loss"] = _log_losses(found.labels, after)
    shown = result.table(
        "calibration",
        table,
        "Calibration of each attribute",
        columns={name: heading for name, heading in _COLUMNS.items() if name in table},
    )
    figure = figures.reliability_diagrams(found.labels, before, after, result.names, bins=bins, title=result.title)
    picture = result.picture(
        "reliability",
        figure,
        "How often an attribute is present, by the probability that was given. Best: the diagonal.",
    )
    metrics = {f"{result.split}/{name}": float(table[name].mean()) for name in ("ece", "scaled_ece") if name in table}
    return Section("Calibration", _describe(result, table, bins), tables=[shown], pictures=[picture]), metrics


def _describe(result: EvaluationResult, table: pd.DataFrame, bins: int) -> str:
    text = (
        "A calibrated probability means what it says: of the images given 0.8, eight in ten have the attribute. The"
        f" expected calibration error is the mean distance from that, over {bins} equally wide bins, weighted by their"
        f" images; its mean over the attributes is {table['ece'].mean():.4f}."
    )
    if "scaled_ece" not in table:
        return text
    assert result.validation is not None
    return text + (
        f" Temperature scaling divides the logits by one number for each attribute, chosen on the"
        f" {len(result.validation.labels):,} validation images for the lowest log loss (Guo et al., 2017): above 1 it"
        f" makes answers less sure. After it the mean error is {table['scaled_ece'].mean():.4f}. It changes no"
        " order and no answer at 0.5."
    )


def _log_losses(labels: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """Return the mean cross-entropy of each attribute in nats, NaN without images."""
    if not len(labels):
        return [np.nan] * labels.shape[1]
    return [
        float(log_loss(truth, scores.astype(np.float64), labels=[0, 1]))
        for truth, scores in zip(labels.T, probabilities.T, strict=True)
    ]
