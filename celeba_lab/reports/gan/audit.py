"""What an attribute classifier says of generated faces, beside what it says of real ones."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from celeba_lab import figures
from celeba_lab.analyses.cooccurrence import Cooccurrence
from celeba_lab.analyses.groups import amplification_pairs
from celeba_lab.analyses.intervals import wilson_interval
from celeba_lab.console import console, show_table
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.sampler import FaceSampler
from celeba_lab.runs.run import RunFolder

_FACES = 2000
_ASKED = 500  # faces for each attribute that a conditional generator is asked for
_FEW = 20  # faces with an attribute, below which P(A | B) is marked
_BATCH = 64


@dataclass(frozen=True)
class _Seen:
    """Real faces with their labels, and what the classifier sees in them and in generated ones: bool (N, K) each."""

    labels: np.ndarray
    real: np.ndarray
    generated: np.ndarray


def report_audit(
    run: RunFolder,
    sampler: FaceSampler,
    classifier: AttributeClassifier,
    datamodule: CelebADataModule,
    seed: int,
    title: str,
    split: str = "val",
    truncation: float | None = None,
) -> dict[str, float]:
    """Compare generated faces with real ones that were not trained on, seen by the same classifier at the same size.

    Tables ``audit_attributes.csv`` (prevalences, and the classifier's accuracy on the real faces) and
    ``audit_pairs.csv`` (P(A | B)); of a conditional generator also ``audit_asked.csv``: how often the classifier sees
    what was asked for, beside how often it sees what real faces have.

    Args:
        run: where they go.
        sampler: draws the faces, of a conditional generator with the joint distribution of its training faces.
        classifier: judges them; of the attributes that it knows.
        datamodule: the real faces; it must give labels of the classifier's attributes.
        seed: of the faces.
        title: stands above the figures.
        split: of the real faces.
        truncation: of the latents.

    Returns:
        ``audit/accuracy``, of the classifier on the real faces, mean over attributes; ``audit/prevalence_error``, the
        mean absolute difference of prevalences; ``audit/agreement/<attribute>``, the share of faces in which the
        classifier sees what was asked for.
    """
    names = classifier.attributes
    with console.status("auditing the faces"):
        rows = datamodule.split_indices(split)
        annotations = datamodule.annotations
        seen = _Seen(
            labels=annotations.labels[rows][:, annotations.columns(names)] == 1,
            real=see(classifier, torch.cat([batch["image"] for batch in datamodule.rows_dataloader(rows)])),
            generated=see(classifier, sampler.sample(_FACES, seed, truncation)[0]),
        )
    size = sampler.network.image_size
    note = f"{_FACES:,} generated faces and {len(rows):,} real ones of {split}, all of {size} x {size} pixels"
    metrics = _compare_prevalences(run, seen, names, title, note)
    if len(names) > 1:
        _compare_pairs(run, seen, names, title, note)
    if sampler.attributes:
        metrics |= _check_obedience(run, sampler, classifier, seen, (seed, truncation), title)
    return metrics


def see(classifier: AttributeClassifier, faces: Tensor) -> np.ndarray:
    """Return what a classifier sees in faces, uint8 (N, 3, S, S): bool (N, K)."""
    probabilities = [classifier.probabilities(batch.to(classifier.device)).cpu() for batch in faces.split(_BATCH)]
    return torch.cat(probabilities).numpy() >= classifier.hparams["threshold"]


def _compare_prevalences(run: RunFolder, seen: _Seen, names: list[str], title: str, note: str) -> dict[str, float]:
    """Write how often each attribute is seen in generated and in real faces."""
    accuracy = (seen.real == seen.labels).mean(axis=0)
    table = pd.DataFrame(
        {
            "attribute": names,
            "labels": seen.labels.mean(axis=0),
            "real": seen.real.mean(axis=0),
            "generated": seen.generated.mean(axis=0),
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


def _compare_pairs(run: RunFolder, seen: _Seen, names: list[str], title: str, note: str) -> None:
    """Write P(A | B) among generated faces beside that among real ones."""
    real, generated = seen.real, seen.generated
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
    difference[:, few] = np.nan  # a share of too few says nothing
    run.matrix("audit_conditional_difference", difference, names, names, corner="A given B")
    figure = figures.matrix_heatmap(
        difference,
        names,
        names,
        label="P(A | B), generated minus real",
        title=title,
        note=f"{note}; both as the classifier sees them; grey where fewer than {_FEW} faces have B",
        scale="diverging",
        row_title="A",
        column_title="given B",
    )
    run.figure("audit_conditional_difference", figure)


def _check_obedience(
    run: RunFolder,
    sampler: FaceSampler,
    classifier: AttributeClassifier,
    seen: _Seen,
    draw: tuple[int, float | None],
    title: str,
) -> dict[str, float]:
    """Ask for each attribute that both know, and against it, and count what the classifier sees.

    Beside each share stands the classifier's own: of the real faces that have what was asked for, those in which it
    sees it. A generator that shows an attribute more plainly than real faces do may exceed that.
    """
    seed, truncation = draw
    rows = []
    for name in sampler.attributes:
        if name not in classifier.attributes:
            continue
        column = classifier.attributes.index(name)
        right = seen.real[:, column] == seen.labels[:, column]
        for value in (1, 0):
            faces, _ = sampler.sample(_ASKED, seed, truncation, {name: value})
            agreed = int((see(classifier, faces)[:, column] == bool(value)).sum())
            low, high = wilson_interval(agreed, _ASKED)
            alike = seen.labels[:, column] == bool(value)
            rows.append(
                {"attribute": name, "asked": value, "faces": _ASKED, "agreement": agreed / _ASKED}
                | {"low": float(low), "high": float(high), "real_faces": int(alike.sum())}
                | {"agreement_on_real": float(right[alike].mean()) if alike.any() else np.nan}
                | {"accuracy_on_real": float(right.mean())}
            )
    if not rows:
        console.print("The classifier knows none of the attributes that the generator was told of.", style="yellow")
        return {}
    table = pd.DataFrame(rows)
    run.table("audit_asked", table)
    _show_obedience(run, table, sampler.network.image_size, title)
    present = table[table["asked"] == 1].set_index("attribute")["agreement"]
    return {f"audit/agreement/{name}": float(share) for name, share in present.items()}


def _show_obedience(run: RunFolder, table: pd.DataFrame, size: int, title: str) -> None:
    """Print and draw the shares beside those of real faces; faces have ``size`` pixels a side."""
    present, absent = (table[table["asked"] == value].reset_index(drop=True) for value in (1, 0))
    shown = {
        "attribute": present["attribute"],
        "asked with": present["agreement"],
        "real with": present["agreement_on_real"],
        "asked without": absent["agreement"],
        "real without": absent["agreement_on_real"],
    }
    show_table("How often the classifier agrees, of generated and of real faces", pd.DataFrame(shown))
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
            note=f"{_ASKED} generated faces of {size} x {size} pixels for each; whiskers: 95 % intervals of the last",
            low=present["low"],
            high=present["high"],
        ),
    )
