"""Finished runs, read back from their folders and put side by side."""

import glob
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from celeba_lab.analyses.paired import FEW, holm, mcnemar, paired_bootstrap
from celeba_lab.assembly import flatten
from celeba_lab.console import display_path
from celeba_lab.errors import UserError, did_you_mean, enumerate_names
from celeba_lab.run import SUMMARY

T = TypeVar("T")

CAUTION = (
    "The intervals are about other images, not about other seeds: trained again, the same settings may differ as much."
    " To compare settings, give each several seeds."
)

_ONE_DATA = "Name runs of the same images in task.runs; task=evaluate measures a checkpoint on other ones."
# outputs/<experiment>/<sweep>/<run>: whoever names the first of them means the last.
_DEPTH = 3
# Settings that hold the run's own folder, and so differ whatever was asked for.
_OWN_FOLDER = {"dirpath", "save_dir", "default_root_dir"}
# What is read of a summary: its type, and whether every run has it.
_PARTS = [("metrics", dict, True), ("data", dict, True), ("seconds", dict, False), ("best_epoch", int, False)]


# ----------------------------------------------------------------------------------------------------- finding the runs


def find_runs(patterns: str | Sequence[str], ignore: Path | None = None) -> tuple[list[Path], list[Path]]:
    """Find the run folders that paths and globs mean.

    Args:
        patterns: folders of runs, folders that hold such folders, or globs of either.
        ignore: a folder that is no run to compare: the one of the comparison itself.

    Returns:
        The folders with a ``summary.json``, resolved, each once, in natural order (2_... before 10_...), and those of
        unfinished runs, which have none.

    Raises:
        UserError: a pattern matches nothing.
    """
    finished: dict[Path, None] = {}
    unfinished: dict[Path, None] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        path = Path(pattern).expanduser()
        # A sweep's folders hold brackets: what exists is no glob.
        matches = [path] if path.exists() else [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        if not matches:
            raise UserError(f"Nothing matches task.runs={pattern}. {_nearest(path)}")
        for match in sorted(matches, key=_natural_key):
            for folder in _runs_below(match.parent if match.name == SUMMARY else match, _DEPTH):
                folder = folder.resolve()
                if ignore is None or folder != ignore.resolve():
                    (finished if (folder / SUMMARY).is_file() else unfinished)[folder] = None
    return list(finished), list(unfinished)


def _runs_below(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / SUMMARY).is_file() or (folder / "config.yaml").is_file() or (folder / ".hydra").is_dir():
        yield folder
    elif folder.is_dir() and depth:
        for child in _folders_in(folder):
            yield from _runs_below(child, depth - 1)


def _folders_in(folder: Path) -> list[Path]:
    return sorted((child for child in folder.iterdir() if child.is_dir()), key=_natural_key)


def _natural_key(path: Path) -> list[int | str]:
    return [int(part) if part.isdecimal() else part for part in re.split("([0-9]+)", str(path))]


def _nearest(path: Path) -> str:
    """Say which part of a path is there, and what lies in it."""
    missing = path
    while not missing.parent.is_dir():
        missing = missing.parent
    found = [child.name for child in _folders_in(missing.parent)]
    held = f"holds {enumerate_names(found)}" if found else "holds no folder"
    where = str(missing.parent) if missing.parent.name else str(missing.parent.resolve())
    return f"The nearest folder that exists, {where}, {held}.{did_you_mean(missing.name, found)}"


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """Return for each folder the shortest end of its path that is the end of no other one."""
    names = []
    for folder in folders:
        others = [other.parts for other in folders if other != folder]
        length = 1
        while length < len(folder.parts) and any(other[-length:] == folder.parts[-length:] for other in others):
            length += 1
        names.append(str(Path(*folder.parts[-length:])))
    return names


# ----------------------------------------------------------------------------------------------------- reading the runs


@dataclass(frozen=True)
class FinishedRun:
    """What a run left in its folder.

    Attributes:
        name: the shortest end of its path that tells it from the others.
        folder: absolute.
        summary: of ``summary.json``.
        settings: dotted name to value, of ``config.yaml``.
        history: one row per epoch; None for a run that trained nothing.
    """

    name: str
    folder: Path
    summary: dict[str, Any]
    settings: dict[str, Any]
    history: pd.DataFrame | None

    @classmethod
    def read(cls, folder: Path, name: str) -> "FinishedRun":
        """Read a folder.

        Raises:
            UserError: a file in it is missing or broken.
        """
        history = folder / "tables" / "history.csv"
        return cls(
            name=name,
            folder=folder,
            summary=_read_summary(folder / SUMMARY),
            settings=_read_settings(folder / "config.yaml"),
            history=_read_table(history, ["epoch"], dtype=np.float64) if history.exists() else None,
        )

    @property
    def metrics(self) -> dict[str, float]:
        """``split/metric`` to value; NaN where it is undefined."""
        return {name: float("nan") if value is None else value for name, value in self.summary["metrics"].items()}

    @property
    def threshold(self) -> float:
        """The probability from which on the run's classifier says that an attribute is there."""
        value = self.settings.get("model.threshold")
        return 0.5 if value is None else float(value)

    def predictions(self, split: str) -> Path:
        """Return where the run keeps what it said of a split, if it did."""
        return self.folder / "tables" / f"predictions_{split}.csv"


def read_runs(folders: Sequence[Path], split: str) -> tuple[list[FinishedRun], list[Path]]:
    """Read the folders that hold a classifier's predictions of a split; return those runs, and the other folders.

    Raises:
        UserError: a file of a run is missing or broken.
    """
    table = Path("tables") / f"predictions_{split}.csv"
    comparable = [folder for folder in folders if (folder / table).is_file()]
    names = distinct_names(comparable)
    runs = [FinishedRun.read(folder, name) for folder, name in zip(comparable, names, strict=True)]
    return runs, [folder for folder in folders if folder not in comparable]


def _read_summary(path: Path) -> dict[str, Any]:
    summary = _refuse_broken(path, lambda: json.loads(path.read_text(encoding="utf-8")))
    if not isinstance(summary, dict):
        raise UserError(_broken(path, "it is no summary of a run"))
    for name, kind, needed in _PARTS:
        part = summary.get(name)
        if not isinstance(part, kind) and (needed or part is not None):
            raise UserError(_broken(path, f"its {name} is {part!r}"))
    if not all(value is None or isinstance(value, int | float) for value in summary["metrics"].values()):
        raise UserError(_broken(path, "a metric is no number"))
    return summary


def _read_settings(path: Path) -> dict[str, Any]:
    settings = _refuse_broken(path, lambda: flatten(OmegaConf.to_container(OmegaConf.load(path))))
    return {name: value for name, value in settings.items() if name.rpartition(".")[2] not in _OWN_FOLDER}


def _read_table(path: Path, needed: Sequence[str], **options: Any) -> pd.DataFrame:
    table = _refuse_broken(path, lambda: pd.read_csv(path, **options))
    if missing := [name for name in needed if name not in table]:
        raise UserError(_broken(path, f"it has no column {missing[0]}"))
    return table


def _refuse_broken(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except OSError as error:
        raise UserError(_broken(path, error.strerror or str(error))) from error
    # JSON, pandas and Unicode errors are ValueErrors; too large a label overflows.
    except (ValueError, OverflowError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(_broken(path, " ".join(str(error).split()).rstrip("."))) from error


def _broken(path: Path, why: str) -> str:
    return f"{display_path(path)} cannot be used: {why}. Leave this run out of task.runs, or run it again."


# ------------------------------------------------------------------------------------------------------- the same data


def check_same_data(runs: Sequence[FinishedRun], split: str) -> None:
    """Check what the summaries say of the data: its name, what it was made of, and the images of the split.

    The folder may be another one, and so may the number of images to train on, which is a thing to compare.

    Raises:
        UserError: two runs are about different data.
    """
    first = runs[0]
    for run in runs[1:]:
        one, other = _identity(first, split), _identity(run, split)
        for key in one.keys() & other.keys():
            if one[key] != other[key]:
                raise UserError(
                    f"{first.name} and {run.name} are about different data: {key} is {one[key]} in the one and"
                    f" {other[key]} in the other. {_ONE_DATA}"
                )


def _identity(run: FinishedRun, split: str) -> dict[str, Any]:
    """Return what must be the same in two runs: dotted name to value."""
    data = flatten({"data": run.summary["data"]})
    images = {key: value for key, value in data.items() if key == f"data.images.{split}"}
    return images | {key: value for key, value in data.items() if not key.startswith(("data.root", "data.images"))}


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
    columns = _read_table(path, ["image_id"], nrows=0).columns
    names = [str(name).removeprefix("label/") for name in columns if str(name).startswith("label/")]
    return [name for name in names if f"probability/{name}" in columns]


def _read_predictions(path: Path, attributes: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return N image ids, labels uint8 (N, K) and probabilities float32 (N, K)."""
    labels = [f"label/{name}" for name in attributes]
    probabilities = [f"probability/{name}" for name in attributes]
    types = {"image_id": str} | dict.fromkeys(labels, np.uint8) | dict.fromkeys(probabilities, np.float32)
    table = _read_table(path, [], usecols=list(types), dtype=types)
    if table.empty:
        raise UserError(_broken(path, "it holds no image"))
    if table["image_id"].hasnans or table["image_id"].duplicated().any():
        raise UserError(_broken(path, "an image_id is missing or there twice"))
    truth, said = table[labels].to_numpy(), table[probabilities].to_numpy()
    if (truth > 1).any():
        raise UserError(_broken(path, "a label is neither 0 nor 1"))
    if not ((said >= 0) & (said <= 1)).all():
        raise UserError(_broken(path, "a probability is missing or not from 0 to 1"))
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
            f" of which {owner} alone has {enumerate_names(alone.tolist(), 3)}. {_ONE_DATA}"
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
        f" and {differ.sum():,} of {differ.size:,} labels differ. {_ONE_DATA}"
    )


# --------------------------------------------------------------------------------------------------------- side by side


def lower_is_better(metric: str) -> bool:
    """Return whether the best run is the one with the lowest value."""
    return metric.endswith("loss")


def best_first(runs: Sequence[FinishedRun], metric: str) -> list[FinishedRun]:
    """Order runs by a metric on validation, the split that nothing is reported on; runs without it come last."""
    sign = 1.0 if lower_is_better(metric) else -1.0
    values = [sign * run.metrics.get(f"val/{metric}", float("nan")) for run in runs]
    return [runs[k] for k in np.argsort(values, kind="stable")]  # NaN comes last


def check_metric(runs: Sequence[FinishedRun], split: str, metric: str) -> None:
    """Check that every run has a metric of a split.

    Raises:
        UserError: one has not.
    """
    for run in runs:
        if f"{split}/{metric}" not in run.metrics:
            own = [name.removeprefix(f"{split}/") for name in run.metrics if name.startswith(f"{split}/")]
            raise UserError(
                f"task.metric={metric}: {run.name} has no such metric of the {split} split; it has"
                f" {enumerate_names([name for name in own if '/' not in name], 20)}.{did_you_mean(metric, own)}"
            )


def choose_baseline(runs: Sequence[FinishedRun], metric: str, named: str | None = None) -> FinishedRun:
    """Return the run of a name or path; without one the best on validation, or the first if none was validated.

    Raises:
        UserError: no run, or more than one, has this name.
    """
    if named is None:
        return best_first(runs, metric)[0]
    asked = Path(named).expanduser()
    ends = [run for run in runs if run.folder.parts[-len(asked.parts) :] == asked.parts]
    exact = [run for run in runs if run.name == named or run.folder == asked.resolve()]
    found = exact or ends
    if len(found) != 1:
        names = [run.name for run in found or runs]
        kind = f"means {len(found)} runs" if found else "is no run of this comparison"
        raise UserError(
            f"task.baseline={named} {kind}; name one of {enumerate_names(names, 12)}.{did_you_mean(named, names)}"
        )
    return found[0]


def run_table(runs: Sequence[FinishedRun], split: str) -> pd.DataFrame:
    """Return one row per run: every ``split/metric`` of all attributes together, and how it came about."""
    metrics = dict.fromkeys(name for run in runs for name in run.metrics if name.count("/") == 1)
    rows = []
    for run in runs:
        summary, seconds = run.summary, run.summary.get("seconds") or {}
        rows.append(
            {
                "run": run.name,
                "task": summary.get("task"),
                **{name: run.metrics.get(name) for name in metrics},
                "best_epoch": summary.get("best_epoch"),
                "training_seconds": seconds.get("training", seconds.get("fit")),
                "seed": summary.get("seed", run.settings.get("seed")),
                "data": summary["data"].get("name"),
                "train_images": summary["data"].get("images", {}).get("train"),
                f"{split}_images": summary["data"].get("images", {}).get(split),
                "weights": summary.get("weights"),
                "checkpoint": summary.get("checkpoint"),
                "device": summary.get("device"),
                "commit": summary.get("git"),
                "folder": str(display_path(run.folder)),
            }
        )
    table = pd.DataFrame(rows)
    whole = [name for name in ("best_epoch", "seed", "train_images", f"{split}_images") if table[name].notna().any()]
    return table.astype(dict.fromkeys(whole, "Int64"))  # 3, not 3.0, beside a run that has none


def setting_table(runs: Sequence[FinishedRun]) -> pd.DataFrame:
    """Return the settings that are not the same in all runs: a row for each, a column for each run.

    A cell holds the value as YAML has it; it is empty where the run has no such setting.
    """
    names = dict.fromkeys(name for run in runs for name in run.settings)
    rows = []
    for name in names:
        values = [_yaml(run.settings[name]) if name in run.settings else "" for run in runs]
        if len(set(values)) > 1:
            rows.append([name, *values])
    return pd.DataFrame(rows, columns=["setting", *(run.name for run in runs)])


def _yaml(value: object) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def paired_tables(answers: Answers, baseline: str, resamples: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test each run against the baseline.

    Args:
        answers: of all runs.
        baseline: the name of one.
        resamples: of the images.
        seed: of the resampling; that of one run does not depend on which others there are.

    Returns:
        One row per run, of the accuracy over all attributes; and one row per run and attribute, of McNemar's test.
        ``p_adjusted`` is Holm's, over the runs in the first and over one run's attributes in the second.
    """
    base = answers.right[baseline]
    rows, details = [], []
    for run, right in answers.right.items():
        if run == baseline:
            continue
        only_run = np.count_nonzero(right & ~base, axis=0)
        only_baseline = np.count_nonzero(base & ~right, axis=0)
        p = mcnemar(only_run, only_baseline)
        detail = pd.DataFrame(
            {
                "run": run,
                "baseline": baseline,
                "attribute": answers.attributes,
                "only_run_right": only_run,
                "only_baseline_right": only_baseline,
                "p": p,
                "p_adjusted": holm(p),
            }
        )
        details.append(detail)
        shown = detail["p_adjusted"] < 0.05
        rows.append(
            {
                "run": run,
                "baseline": baseline,
                "images": right.shape[0],
                "attributes": right.shape[1],
                "accuracy": right.mean(),
                "baseline_accuracy": base.mean(),
                **asdict(paired_bootstrap(right, base, resamples, seed)),
                "attributes_better": int((shown & (only_run > only_baseline)).sum()),
                "attributes_worse": int((shown & (only_run < only_baseline)).sum()),
            }
        )
    table = pd.DataFrame(rows)
    table["p_adjusted"] = holm(table["p"])
    return table, pd.concat(details, ignore_index=True)


def describe(paired: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each row of the first table of :func:`paired_tables`."""
    for row in paired.itertuples(index=False):
        yield _sentence(row, len(paired))


def _sentence(row: Any, comparisons: int) -> str:
    if not row.images_apart:
        return f"{row.run} and {row.baseline} are right about the same things in all {row.images:,} images"
    p = f"p = {row.p:.2g}" if row.p >= 0.001 else "p < 0.001"
    if row.low <= 0 <= row.high:
        numbers = f"{row.difference:+.4f}, 95 % {row.low:+.4f} to {row.high:+.4f}, {p}"
        return f"{row.run} and {row.baseline}: no difference that {row.images:,} images can show ({numbers})"
    low, high = sorted((abs(row.low), abs(row.high)))
    sentence = (
        f"{row.run} is {'better' if row.low > 0 else 'worse'} than {row.baseline} by {abs(row.difference):.4f}"
        f" (95 % {low:.4f} to {high:.4f}), {p}"
    )
    if row.p_adjusted >= 0.05:
        sentence += f", but p = {row.p_adjusted:.2g} where all {comparisons} comparisons are counted (Holm)"
    if row.images_apart < FEW:
        sentence += f"; only {row.images_apart} images tell them apart, too few to rely on"
    return sentence
