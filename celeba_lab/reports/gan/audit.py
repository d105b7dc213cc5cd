"""The attributes that a classifier predicts for generated faces, compared with its predictions for real faces."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from celeba_lab import figures
from celeba_lab.analyses.cooccurrence import Cooccurrence
from celeba_lab.analyses.groups import amplification_pairs
from celeba_lab.analyses.intervals import wilson_interval
from celeba_lab.console import Progress, console, progress, show_table, split_name
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.inference import fast_inference
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.sampler import FaceSampler
from celeba_lab.runs.folder import RunFolder

_FACES = 2000  # Number of faces to generate for the comparison with real faces.
_REQUESTED = 500  # Number of faces to generate for each requested value of an attribute.
_FEW = 20  # P(A | B) is left undefined if fewer than this many faces have B.
_BATCH = 64
_SPLIT = "val"  # Split that provides the held-out real faces.


@dataclass(frozen=True)
class Audit:
    """A generator, the classifier that audits it, and the settings of the audit.

    Attributes:
        sampler: Generator to audit. Attributes for a conditional generator are drawn from the labels of its training
            faces.
        auditor: Classifier that predicts the attributes of generated and real faces.
        seed: Seed for generating the faces.
        truncation: Maximum absolute value of the latents. If None, the latents are not truncated.
    """

    sampler: FaceSampler
    auditor: AttributeClassifier
    seed: int
    truncation: float | None = None

    def generate(self, n: int, requested: dict[str, int] | None = None) -> Tensor:
        """Generate n faces, uint8 (n, 3, S, S)."""
        return self.sampler.sample(n, self.seed, self.truncation, requested)[0]

    def classify(self, faces: Tensor) -> np.ndarray:
        """Predict the attributes of faces, uint8 (N, 3, S, S), and return them as bool (N, K)."""
        auditor = self.auditor
        batches = progress(torch.split(faces, _BATCH), "classifying faces", unit="batches")
        with fast_inference(auditor, len(faces)):
            probabilities = [auditor.probabilities(batch.to(auditor.device)).cpu() for batch in batches]
        return torch.cat(probabilities).numpy() >= auditor.threshold


@dataclass(frozen=True)
class _Predicted:
    """Labels of real faces, and predicted attributes of real and generated faces. Each array is bool (N, K)."""

    labels: np.ndarray
    real: np.ndarray
    generated: np.ndarray


def report_audit(run: RunFolder, audit: Audit, datamodule: CelebADataModule, title: str) -> dict[str, float]:
    """Compare the predicted attributes of generated faces and held-out real faces.

    The same classifier predicts the attributes of all faces, which all have the same size. ``audit_attributes.csv``
    contains the prevalence of each attribute and the classifier's accuracy on the real faces. ``audit_pairs.csv``
    contains P(A | B) for each pair of attributes. For a conditional generator, ``audit_requested.csv`` contains the
    share of generated faces that are classified as requested, and the share of real faces that are classified
    correctly.

    Args:
        run: Run folder for the tables and figures.
        audit: Generator and classifier, with the audit settings.
        datamodule: Data module with the real faces and their labels for the auditor's attributes.
        title: Title for the figures.

    Returns:
        ``audit/accuracy`` (the classifier's accuracy on the real faces, averaged over the attributes),
        ``audit/prevalence_error`` (the mean absolute difference in prevalence between generated and real faces), and
        ``audit/agreement/<attribute>`` (among the faces generated with the attribute, the share classified as having
        it).
    """
    names = audit.auditor.attributes
    with Progress("auditing the faces"):
        rows = datamodule.split_indices(_SPLIT)
        annotations = datamodule.annotations
        predicted = _Predicted(
            labels=annotations.labels[rows][:, annotations.columns(names)] == 1,
            real=audit.classify(datamodule.read_faces(rows)),
            generated=audit.classify(audit.generate(_FACES)),
        )
        size = audit.sampler.network.image_size
        note = f"{_FACES:,} generated faces and {len(rows):,} real faces from the {split_name(_SPLIT)} split"
        note += f", {size} x {size} pixels"
        metrics = _compare_prevalences(run, predicted, names, title, note)
        if len(names) > 1:
            _compare_pairs(run, predicted, names, title, note)
        if audit.sampler.attributes:
            metrics |= _compare_requests(run, audit, predicted, title)
    return metrics


def _compare_prevalences(
    run: RunFolder, predicted: _Predicted, names: list[str], title: str, note: str
) -> dict[str, float]:
    """Write and draw the prevalence of each attribute in generated and real faces."""
    accuracy = (predicted.real == predicted.labels).mean(axis=0)
    table = pd.DataFrame(
        {
            "attribute": names,
            "labels": predicted.labels.mean(axis=0),
            "real": predicted.real.mean(axis=0),
            "generated": predicted.generated.mean(axis=0),
            "accuracy": accuracy,
        }
    )
    run.table("audit_attributes", table)
    shown = table.sort_values("labels", ascending=False)
    run.figure(
        "audit_attributes",
        figures.score_comparison(
            {
                "labels of the real faces": shown["labels"],
                "classifier on real faces": shown["real"],
                "classifier on generated faces": shown["generated"],
            },
            shown["attribute"].tolist(),
            metric="prevalence",
            title=title,
            note=note,
        ),
    )
    return {
        "audit/accuracy": float(accuracy.mean()),
        "audit/prevalence_error": float((table["generated"] - table["real"]).abs().mean()),
    }


def _compare_pairs(run: RunFolder, predicted: _Predicted, names: list[str], title: str, note: str) -> None:
    """Write and draw P(A | B) in generated and real faces for each pair of attributes."""
    real, generated = predicted.real, predicted.generated
    pairs = amplification_pairs(real.astype(np.int8), generated.astype(np.int8), names, _FEW)
    renamed = {
        "images_labels": "images_real",
        "images_predictions": "images_generated",
        "labels": "real",
        "predictions": "generated",
    }
    run.table("audit_pairs", pairs.rename(columns=renamed))
    difference = (
        Cooccurrence.of(generated.astype(np.int8)).conditional - Cooccurrence.of(real.astype(np.int8)).conditional
    )
    np.fill_diagonal(difference, np.nan)
    few = np.minimum(real.sum(axis=0), generated.sum(axis=0)) < _FEW
    difference[:, few] = np.nan  # too few faces for a reliable estimate
    run.matrix("audit_conditional_difference", difference, names, names, corner="A given B")
    figure = figures.matrix_heatmap(
        difference,
        names,
        names,
        label="P(A | B), generated minus real",
        title=title,
        note=f"{note}. All attributes are predicted by the classifier. Grey: fewer than {_FEW} faces have B",
        scale="diverging",
        row_title="A",
        column_title="given B",
    )
    run.figure("audit_conditional_difference", figure)


def _compare_requests(run: RunFolder, audit: Audit, predicted: _Predicted, title: str) -> dict[str, float]:
    """Compare the attributes requested for generated faces with the classifier's predictions.

    Faces are generated with and without each attribute that the generator and the classifier have in common. The share
    of faces classified as requested is written next to the classifier's accuracy on real faces with the same attribute
    value. The share can exceed the accuracy if the attribute is more pronounced in generated faces than in real faces.
    """
    rows = []
    shared = [name for name in audit.sampler.attributes if name in audit.auditor.attributes]
    for name in progress(shared, "auditing the requested attributes", unit="attributes"):
        column = audit.auditor.attributes.index(name)
        correct = predicted.real[:, column] == predicted.labels[:, column]
        for value in (1, 0):
            classified = audit.classify(audit.generate(_REQUESTED, {name: value}))[:, column]
            agreed = int((classified == bool(value)).sum())
            low, high = wilson_interval(agreed, _REQUESTED)
            alike = predicted.labels[:, column] == bool(value)
            rows.append(
                {"attribute": name, "requested": value, "faces": _REQUESTED, "agreement": agreed / _REQUESTED}
                | {"low": float(low), "high": float(high), "real_faces": int(alike.sum())}
                | {"agreement_on_real": float(correct[alike].mean()) if alike.any() else np.nan}
                | {"accuracy_on_real": float(correct.mean())}
            )
    if not rows:
        console.print(
            "Skipping the audit of requested attributes, because the generator and the classifier have no attributes"
            " in common.",
            style="yellow",
        )
        return {}
    table = pd.DataFrame(rows)
    run.table("audit_requested", table)
    _show_requests(run, table, audit.sampler.network.image_size, title)
    present = table[table["requested"] == 1].set_index("attribute")["agreement"]
    return {f"audit/agreement/{name}": float(share) for name, share in present.items()}


def _show_requests(run: RunFolder, table: pd.DataFrame, size: int, title: str) -> None:
    """Print and plot how often the classifier finds the requested attributes in faces of ``size`` x ``size`` pixels."""
    present, absent = (table[table["requested"] == value].reset_index(drop=True) for value in (1, 0))
    shown = {
        "attribute": present["attribute"],
        "generated with": present["agreement"],
        "real with": present["agreement_on_real"],
        "generated without": absent["agreement"],
        "real without": absent["agreement_on_real"],
    }
    show_table("Share of faces for which the classifier agrees with the request or the label", pd.DataFrame(shown))
    run.figure(
        "audit_requested",
        figures.score_comparison(
            {
                "real, without": absent["agreement_on_real"],
                "generated, without": absent["agreement"],
                "real, with": present["agreement_on_real"],
                "generated, with": present["agreement"],
            },
            present["attribute"].tolist(),
            metric="share of faces for which the classifier agrees",
            title=title,
            note=f"{_REQUESTED} faces of {size} x {size} pixels were generated with each attribute, and"
            f" {_REQUESTED} without it. Whiskers: 95% intervals for faces generated with the attribute",
            low=present["low"],
            high=present["high"],
        ),
    )
