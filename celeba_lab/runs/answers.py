"""Compare the predictions of several runs with the labels of the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from celeba_lab.analyses.predictions import Predictions, read_attributes
from celeba_lab.console import progress, split_name
from celeba_lab.errors import UserError, enumerate_names
from celeba_lab.runs.finished import ONE_DATA, FinishedRun
from celeba_lab.runs.summary import SUMMARY


@dataclass(frozen=True)
class CorrectAnswers:
    """The labels of a split, and whether each run predicts them correctly.

    Attributes:
        image_ids: File names of the N images, (N,).
        attributes: Names of the K attributes that all runs have in common.
        left_out: Names of the attributes that only some runs have.
        labels: True labels (0 or 1), uint8 (N, K).
        correct: Whether each prediction is correct, bool (N, K), by run name.
    """

    image_ids: np.ndarray
    attributes: list[str]
    left_out: list[str]
    labels: np.ndarray
    correct: dict[str, np.ndarray]


def read_answers(runs: Sequence[FinishedRun], split: str) -> CorrectAnswers:
    """Compare the predictions of several runs with the labels, for the attributes that all runs have in common.

    Only one prediction table is held in memory at a time. The result uses one byte per run, image and attribute.

    Raises:
        UserError: A table is invalid, the runs have no attribute in common, or their images or labels differ.
    """
    of_runs = [read_attributes(run.predictions(split)) for run in runs]
    common = [name for name in of_runs[0] if all(name in others for others in of_runs)]
    if not common:
        raise UserError(
            f"The runs have no attribute in common: {runs[0].name} has {enumerate_names(of_runs[0])}, but none of these"
            " attributes is in all the other runs. Choose runs that share attributes."
        )
    left_out = dict.fromkeys(name for names in of_runs for name in names if name not in common)
    answers: CorrectAnswers | None = None
    for run, own in progress(zip(runs, of_runs, strict=True), "reading the predictions", len(runs), "runs"):
        found = Predictions.read(run.predictions(split), common, run.threshold)
        correct = found.predicted == found.labels
        accuracy = {
            f"{split}/accuracy/{name}": float(share) for name, share in zip(common, correct.mean(axis=0), strict=True)
        }
        _check_accuracy(run, accuracy | ({f"{split}/accuracy": float(correct.mean())} if own == common else {}))
        image_ids = np.array(found.image_ids, dtype=object)
        if answers is None:
            answers = CorrectAnswers(image_ids, common, list(left_out), found.labels, {})
        else:
            rows = _find_rows(runs[0].name, answers.image_ids, run.name, image_ids, split)
            _check_labels(runs[0].name, answers, run.name, found.labels[rows])
            correct = correct[rows]
        answers.correct[run.name] = correct
    assert answers is not None, "there is at least one run"
    return answers


def _check_accuracy(run: FinishedRun, accuracy: Mapping[str, float]) -> None:
    """Check that the predictions, at the run's threshold, reproduce the accuracies in the summary.

    A checkpoint keeps the threshold of its training run, which may differ from ``model.threshold`` in the evaluation.
    """
    for name, value in accuracy.items():
        reported = run.metrics.get(name, value)
        if abs(reported - value) > 1e-5:
            raise UserError(
                f"{run.name}: {name} is {reported:.4f} in {SUMMARY}, but the predictions give {value:.4f} at a"
                f" threshold of {run.threshold:g}. If the checkpoint was trained with a different threshold,"
                " evaluate the checkpoint again with that threshold. Otherwise, the tables were changed after the run."
            )


def _find_rows(one: str, ids: np.ndarray, other: str, other_ids: np.ndarray, split: str) -> np.ndarray | slice:
    """Return the other run's row indices in the order of the first run's images."""
    if np.array_equal(ids, other_ids):
        return slice(None)
    rows: np.ndarray = pd.Index(other_ids).get_indexer(pd.Index(ids))
    if (rows < 0).any() or len(ids) != len(other_ids):
        alone, owner = (ids[rows < 0], one) if (rows < 0).any() else (np.setdiff1d(other_ids, ids), other)
        raise UserError(
            f"{one} and {other} used different images of the {split_name(split)} split"
            f" ({len(ids):,} and {len(other_ids):,}). Only {owner} has {enumerate_names(alone.tolist(), 3)}. {ONE_DATA}"
        )
    return rows


def _check_labels(one: str, answers: CorrectAnswers, other: str, labels: np.ndarray) -> None:
    differ = labels != answers.labels
    if not differ.any():
        return
    row, column = np.argwhere(differ)[0]
    raise UserError(
        f"{one} and {other} used different labels: {answers.attributes[column]} is {answers.labels[row, column]} for"
        f" {answers.image_ids[row]} in {one} but {labels[row, column]} in {other}."
        f" {differ.sum():,} of {differ.size:,} labels differ. {ONE_DATA}"
    )
