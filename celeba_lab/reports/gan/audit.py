"""The attributes that a classifier predicts for generated faces, compared with those of real faces."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from celeba_lab import figures
from celeba_lab.analyses.cooccurrence import Cooccurrence
from celeba_lab.analyses.groups import amplification_pairs
from celeba_lab.analyses.intervals import wilson_interval
from celeba_lab.console import Progress, console, show_table
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.sampler import FaceSampler
from celeba_lab.runs.run import RunFolder

_FACES = 2000
_REQUESTED = 500  # number of faces for each requested value of an attribute
_FEW = 20  # number of faces with B below which P(A | B) is left out
_BATCH = 64


@dataclass(frozen=True)
class Audit:
    """A generator, the classifier that audits it, and how faces are generated for the audit.

    Attributes:
        sampler: Generator of the faces. For a conditional one, attributes follow the labels of its training faces.
        auditor: Classifier, whose attributes are compared.
        seed: Seed of the generated faces.
        truncation: Largest absolute value of the latents. If None, there is no limit.
        split: Split of the real faces.
    """

    sampler: FaceSampler
    auditor: AttributeClassifier
    seed: int
    truncation: float | None = None
    split: str = "val"

    def generate(self, n: int, asked: dict[str, int] | None = None) -> Tensor:
        """Return n generated faces, uint8 (n, 3, S, S)."""
        return self.sampler.sample(n, self.seed, self.truncation, asked)[0]

    def classify(self, faces: Tensor) -> np.ndarray:
        """Return the predicted attributes of faces, uint8 (N, 3, S, S), as bool (N, K)."""
        auditor = self.auditor
        probabilities = [auditor.probabilities(batch.to(auditor.device)).cpu() for batch in torch.split(faces, _BATCH)]
        return torch.cat(probabilities).numpy() >= auditor.threshold


@dataclass(frozen=True)
class _Predicted:
    """Labels of the real faces, and the predicted attributes of real and of generated faces: bool (N, K) each."""

    labels: np.ndarray
    real: np.ndarray
    generated: np.ndarray


def report_audit(run: RunFolder, audit: Audit, datamodule: CelebADataModule, title: str) -> dict[str, float]:
    """Compare generated faces with real faces on which nothing was trained.

    The same classifier predicts the attributes of both, at the same image size. The table ``audit_attributes.csv`` has
    their prevalences and the accuracy of the classifier on the real faces, ``audit_pairs.csv`` has P(A | B). For a
    conditional generator ``audit_asked.csv`` has the share of faces with the requested attribute, compared with the
    share of correct predictions for real faces.

    Args:
        run: Run folder for the tables and figures.
        audit: The generator and its auditor.
        datamodule: Data module of the real faces, with labels of the auditor's attributes.
        title: Title of the figures.

    Returns:
        ``audit/accuracy``, the accuracy of the classifier on the real faces, a mean over the attributes;
        ``audit/prevalence_error``, the mean absolute difference of the prevalences; and
        ``audit/agreement/<attribute>``, the share of faces that were generated with the attribute and classified as
        having it.
    """
    names = audit.auditor.attributes
    with Progress("auditing the faces"):
        rows = datamodule.split_indices(audit.split)
        annotations = datamodule.annotations
        predicted = _Predicted(
            labels=annotations.labels[rows][:, annotations.columns(names)] == 1,
            real=audit.classify(torch.cat([batch["image"] for batch in datamodule.rows_dataloader(rows)])),
            generated=audit.classify(audit.generate(_FACES)),
        )
    size = audit.sampler.network.image_size
    note = f"{_FACES:,} generated faces and {len(rows):,} real ones of {audit.split}, all of {size} x {size} pixels"
    metrics = _compare_prevalences(run, predicted, names, title, note)
    if len(names) > 1:
        _compare_pairs(run, predicted, names, title, note)
    if audit.sampler.attributes:
        metrics |= _compare_requests(run, audit, predicted, title)
    return metrics


def _compare_prevalences(
    run: RunFolder, predicted: _Predicted, names: list[str], title: str, note: str
) -> dict[str, float]:
    """Write the prevalence of each attribute among generated and real faces."""
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
    """Write P(A | B) among generated and among real faces."""
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
    difference[:, few] = np.nan  # a share of so few faces means nothing
    run.matrix("audit_conditional_difference", difference, names, names, corner="A given B")
    figure = figures.matrix_heatmap(
        difference,
        names,
        names,
        label="P(A | B), generated minus real",
        title=title,
        note=f"{note}; both as predicted by the classifier; grey where fewer than {_FEW} faces have B",
        scale="diverging",
        row_title="A",
        column_title="given B",
    )
    run.figure("audit_conditional_difference", figure)


def _compare_requests(run: RunFolder, audit: Audit, predicted: _Predicted, title: str) -> dict[str, float]:
    """Request each attribute that generator and classifier share, and its absence, and count the predictions.

    Each share is compared with that of the real faces which have the requested value and are classified correctly. A
    generator that shows an attribute more clearly than real faces do may exceed it.
    """
    rows = []
    for name in audit.sampler.attributes:
        if name not in audit.auditor.attributes:
            continue
        column = audit.auditor.attributes.index(name)
        correct = predicted.real[:, column] == predicted.labels[:, column]
        for value in (1, 0):
            classified = audit.classify(audit.generate(_REQUESTED, {name: value}))[:, column]
            agreed = int((classified == bool(value)).sum())
            low, high = wilson_interval(agreed, _REQUESTED)
            alike = predicted.labels[:, column] == bool(value)
            rows.append(
                {"attribute": name, "asked": value, "faces": _REQUESTED, "agreement": agreed / _REQUESTED}
                | {"low": float(low), "high": float(high), "real_faces": int(alike.sum())}
                | {"agreement_on_real": float(correct[alike].mean()) if alike.any() else np.nan}
                | {"accuracy_on_real": float(correct.mean())}
            )
    if not rows:
        console.print("The classifier does not know any attribute of this conditional generator.", style="yellow")
        return {}
    table = pd.DataFrame(rows)
    run.table("audit_asked", table)
    _show_requests(run, table, audit.sampler.network.image_size, title)
    present = table[table["asked"] == 1].set_index("attribute")["agreement"]
    return {f"audit/agreement/{name}": float(share) for name, share in present.items()}


def _show_requests(run: RunFolder, table: pd.DataFrame, size: int, title: str) -> None:
    """Print and draw the shares of generated and of real faces; faces have a side of ``size`` pixels."""
    present, absent = (table[table["asked"] == value].reset_index(drop=True) for value in (1, 0))
    shown = {
        "attribute": present["attribute"],
        "asked with": present["agreement"],
        "real with": present["agreement_on_real"],
        "asked without": absent["agreement"],
        "real without": absent["agreement_on_real"],
    }
    show_table("How often the classifier agrees, for generated and for real faces", pd.DataFrame(shown))
    run.figure(
        "audit_asked",
        figures.score_comparison(
            {
                "real faces without it": absent["agreement_on_real"],
                "asked to be without it": absent["agreement"],
                "real faces with it": present["agreement_on_real"],
                "asked to have it": present["agreement"],
            },
            present["attribute"].tolist(),
            metric="share of faces in which the classifier agrees",
            title=title,
            note=(
                f"{_REQUESTED} generated faces of {size} x {size} pixels for each; whiskers: 95 % intervals of the last"
            ),
            low=present["low"],
            high=present["high"],
        ),
    )
