"""Reliability of the probabilities, before and after temperature scaling."""

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
    """Report how reliable the probabilities are, before and after scaling by a temperature chosen on validation.

    Args:
        result: Predictions to report; without validation there is no scaling.
        bins: Number of equally wide bins of the probability.

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
        "Share of images with the attribute, by predicted probability. A calibrated classifier is on the diagonal.",
    )
    metrics = {f"{result.split}/{name}": float(table[name].mean()) for name in ("ece", "scaled_ece") if name in table}
    return Section("Calibration", _describe(result, table, bins), tables=[shown], pictures=[picture]), metrics


def _describe(result: EvaluationResult, table: pd.DataFrame, bins: int) -> str:
    text = (
        "A classifier is calibrated if, for example, eight in ten of the images with a probability of 0.8 have the"
        " attribute. The expected calibration error is the mean distance from that, over"
        f" {bins} equally wide bins, weighted by their numbers of images. Its mean over the attributes is"
        f" {table['ece'].mean():.4f}."
    )
    if result.validation is None:
        return text
    return text + (
        " Temperature scaling divides the logits by one number for each attribute (Guo et al., 2017), which is chosen"
        f" for the lowest log loss on the {len(result.validation.labels):,} validation images. A temperature above 1"
        f" makes the predictions less confident. After scaling, the mean error is {table['scaled_ece'].mean():.4f}."
        " Scaling changes neither the order of the images nor the predictions at a threshold of 0.5."
    )


def _log_losses(labels: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """Return the mean cross-entropy of each attribute in nats; NaN without images."""
    if not len(labels):
        return [np.nan] * labels.shape[1]
    return [
        float(log_loss(truth, scores.astype(np.float64), labels=[0, 1]))
        for truth, scores in zip(labels.T, probabilities.T, strict=True)
    ]
