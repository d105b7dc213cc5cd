"""The predictions of several runs for the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from celeba_lab.errors import UserError, enumerate_names
from celeba_lab.runs.finished import ONE_DATA, FinishedRun, broken, read_table
from celeba_lab.runs.summary import SUMMARY


@dataclass(frozen=True)
class Answers:
    """About which images of one split which runs are right.

    Attributes:
        image_ids: N file names.
        attributes: K names, those that all runs have.
        left_out: attributes that only some runs have.
        labels: uint8 (N, K) of 0 and 1.
        right: name of a run to bool (N, K).
    """

    image_ids: np.ndarray
    attributes: list[str]
    left_out: list[str]
    labels: np.ndarray
    right: dict[str, np.ndarray]


def read_answers(runs: Sequence[FinishedRun], split: str) -> Answers:
    """Read what the runs said of a split, the attributes that all of them have.

    Of each run one table is in memory at a time; a byte is kept for each image and attribute.

    Raises:
        UserError: a table is broken, the runs have no attribute in common, or they are about different images or
            different labels.
    """
    of_runs = [_attributes_in(run.predictions(split)) for run in runs]
    common = [name for name in of_runs[0] if all(name in others for others in of_runs)]
    if not common:
        raise UserError(
            f"The runs have no attribute in common: {runs[0].name} has {enumerate_names(of_runs[0])}, and not one of"
            f" them is in all the others. Name runs of the same attributes in task.runs."
        )
    left_out = dict.fromkeys(name for names in of_runs for name in names if name not in common)
    answers: Answers | None = None
    for run, own in zip(runs, of_runs, strict=True):
        image_ids, labels, probabilities = _read_predictions(run.predictions(split), common)
        right = (probabilities >= run.threshold) == labels.astype(bool)
        accuracy = dict(zip([f"{split}/accuracy/{name}" for name in common], right.mean(axis=0).tolist(), strict=True))
        _check_accuracy(run, accuracy | ({f"{split}/accuracy": float(right.mean())} if own == common else {}))
        if answers is None:
            answers = Answers(image_ids, common, list(left_out), labels, {})
        else:
            rows = _find_rows(runs[0].name, answers.image_ids, run.name, image_ids, split)
            _check_labels(runs[0].name, answers, run.name, labels[rows])
            right = right[rows]
        answers.right[run.name] = right
    assert answers is not None  # there is a run
    return answers


def _attributes_in(path: Path) -> list[str]:
    columns = read_table(path, ["image_id"], nrows=0).columns
    names = [str(name).removeprefix("label/") for name in columns if str(name).startswith("label/")]
    return [name for name in names if f"probability/{name}" in columns]


def _read_predictions(path: Path, attributes: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return N image ids, labels uint8 (N, K) and probabilities float32 (N, K)."""
    labels = [f"label/{name}" for name in attributes]
    probabilities = [f"probability/{name}" for name in attributes]
    types = {"image_id": str} | dict.fromkeys(labels, np.uint8) | dict.fromkeys(probabilities, np.float32)
    table = read_table(path, [], usecols=list(types), dtype=types)
    if table.empty:
        raise UserError(broken(path, "it holds no image"))
    if table["image_id"].hasnans or table["image_id"].duplicated().any():
        raise UserError(broken(path, "an image_id is missing or there twice"))
    truth, said = table[labels].to_numpy(), table[probabilities].to_numpy()
    if (truth > 1).any():
        raise UserError(broken(path, "a label is neither 0 nor 1"))
    if not ((said >= 0) & (said <= 1)).all():
        raise UserError(broken(path, "a probability is missing or not from 0 to 1"))
    return table["image_id"].to_numpy(dtype=object), truth, said


def _check_accuracy(run: FinishedRun, accuracy: Mapping[str, float]) -> None:
    """Check that the predictions at the run's threshold give the accuracies of its summary.

    An evaluated checkpoint keeps the threshold of its own training, which the settings of the evaluation may not show.
    """
    for name, value in accuracy.items():
        reported = run.metrics.get(name, value)
        if abs(reported - value) > 1e-5:
            raise UserError(
                f"{run.name}: {name} is {reported:.4f} in {SUMMARY}, but its predictions give {value:.4f} at the"
                f" threshold {run.threshold:g}. If its checkpoint was trained with another one, say task=evaluate"
                " model.threshold=... again; else the tables were changed after the run."
            )


def _find_rows(one: str, ids: np.ndarray, other: str, other_ids: np.ndarray, split: str) -> np.ndarray | slice:
    """Return the rows that put the images of the other run into the order of the first one's."""
    if np.array_equal(ids, other_ids):
        return slice(None)
    rows = pd.Index(other_ids).get_indexer(pd.Index(ids))
    if (rows < 0).any() or len(ids) != len(other_ids):
        alone, owner = (ids[rows < 0], one) if (rows < 0).any() else (np.setdiff1d(other_ids, ids), other)
        raise UserError(
            f"{one} and {other} are about different images of the {split} split: {len(ids):,} and {len(other_ids):,},"
            f" of which {owner} alone has {enumerate_names(alone.tolist(), 3)}. {ONE_DATA}"
        )
    return rows


def _check_labels(one: str, answers: Answers, other: str, labels: np.ndarray) -> None:
    differ = labels != answers.labels
    if not differ.any():
        return
    row, column = np.argwhere(differ)[0]
    raise UserError(
        f"{one} and {other} were measured against different labels: {answers.attributes[column]} of"
        f" {answers.image_ids[row]} is {answers.labels[row, column]} in the one and {labels[row, column]} in the other,"
        f" and {differ.sum():,} of {differ.size:,} labels differ. {ONE_DATA}"
    )
