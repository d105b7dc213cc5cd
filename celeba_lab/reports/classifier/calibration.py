"""Calibration of the predicted probabilities, before and after temperature scaling."""

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
    "scaled_ece": "scaled calibration error",
    "temperature": "temperature",
    "log_loss": "log loss",
    "scaled_log_loss": "scaled log loss",
}


def report_calibration(result: EvaluationResult, bins: int) -> tuple[Section, dict[str, float]]:
    """Report the calibration of the probabilities before and after temperature scaling.

    Args:
        result: Predictions to report. The probabilities are not scaled if there are no validation predictions.
        bins: Number of probability bins of equal width.

    Returns:
        The section, and the metrics ``split/ece`` and ``split/scaled_ece``, averaged over the attributes.
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
        "Calibration for each attribute",
        columns={name: heading for name, heading in _COLUMNS.items() if name in table},
    )
    figure = figures.reliability_diagrams(found.labels, before, after, result.names, bins=bins, title=result.title)
    picture = result.picture(
        "reliability",
        figure,
        "Share of images with the attribute, by predicted probability. The diagonal marks perfect calibration.",
    )
    metrics = {f"{result.split}/{name}": float(table[name].mean()) for name in ("ece", "scaled_ece") if name in table}
    return Section("Calibration", _describe(result, table, bins), tables=[shown], pictures=[picture]), metrics


def _describe(result: EvaluationResult, table: pd.DataFrame, bins: int) -> str:
    text = (
        "A classifier is calibrated if, for example, the attribute is present in 80% of the images with a predicted"
        " probability of 0.8. The expected calibration error is the mean absolute difference between the predicted"
        f" probability and the observed share over {bins} bins of equal width, weighted by the number of images in each"
        f" bin. The mean error over the attributes is {table['ece'].mean():.4f}."
    )
    if result.validation is None:
        return text
    return text + (
        " Temperature scaling (Guo et al., 2017) divides the logits of each attribute by a temperature that minimises"
        f" the log loss on the {len(result.validation.labels):,} validation images. A temperature above 1 makes the"
        f" predictions less confident. After scaling, the mean calibration error is {table['scaled_ece'].mean():.4f}."
        " Scaling changes neither the ranking of the images nor the predictions at a threshold of 0.5."
    )


def _log_losses(labels: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """Return the mean cross-entropy for each attribute, in nats, or NaN if there are no images."""
    if not len(labels):
        return [np.nan] * labels.shape[1]
    return [
        float(log_loss(truth, scores.astype(np.float64), labels=[0, 1]))
        for truth, scores in zip(labels.T, probabilities.T, strict=True)
    ]
