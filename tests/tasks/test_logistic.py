"""``experiment=logistic``: each attribute predicted from the others."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from celeba_lab.data.attributes import ATTRIBUTES

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.usefixtures("blank_figures")
def test_logistic_writes_scores_and_odds_ratios(
    command: Command, labels_only: Path, tmp_path: Path, run_folder, check_run
) -> None:
    code, out, err = command("experiment=logistic", f"data.root={labels_only}")
    assert code == 0, err
    folder = run_folder("logistic")
    summary = check_run(folder, "logistic")
    table = pd.read_csv(folder / "tables" / "attributes.csv").set_index("attribute")
    assert list(table.index) == list(ATTRIBUTES)
    assert summary["details"]["rows"] == {"train": 192, "test": 48}
    assert summary["metrics"]["test/accuracy"] == pytest.approx(table["accuracy"].mean())
    assert summary["metrics"]["test/accuracy/Smiling"] == pytest.approx(table.loc["Smiling", "accuracy"])
    odds = pd.read_csv(folder / "tables" / "odds_ratios.csv").set_index("attribute")
    assert np.isnan(np.diag(odds)).all()
    assert (odds.to_numpy()[~np.eye(40, dtype=bool)] > 0).all()
    assert re.search(r"^All solvers converged within \d+ iterations\.$", out, flags=re.MULTILINE)


@pytest.mark.usefixtures("blank_figures")
def test_logistic_uses_the_official_split_of_a_fraction(
    command: Command, labels_only: Path, tmp_path: Path, read_summary
) -> None:
    arguments = ["task.split=official", "task.fraction=0.5", "task.attributes=[Male,Young,Bald]", "seed=3"]
    for name in ("first", "second"):
        where = f"hydra.run.dir={tmp_path / name}"
        assert command("experiment=logistic", f"data.root={labels_only}", *arguments, where)[0] == 0
    first, second = (tmp_path / name / "tables" / "attributes.csv" for name in ("first", "second"))
    assert first.read_text() == second.read_text(), "the same seed must select the same rows"
    summary = read_summary(first.parents[1])
    assert sum(summary["details"]["rows"].values()) < 120, "the validation rows must not be used"
    assert [line.split(",")[0] for line in first.read_text().splitlines()[1:]] == ["Male", "Young", "Bald"]


@pytest.mark.usefixtures("blank_figures")
def test_another_estimator_can_be_selected(command: Command, labels_only: Path, tmp_path: Path, run_folder) -> None:
    code, out, err = command("experiment=logistic", f"data.root={labels_only}", "task/estimator=naive_bayes")
    assert code == 0, err
    assert "Skipping the odds ratios" in out
    assert not (run_folder("logistic") / "figures" / "odds_ratios.png").exists()


@pytest.mark.usefixtures("blank_figures")
def test_a_solver_that_did_not_converge_is_reported(command: Command, labels_only: Path) -> None:
    _, out, _ = command("experiment=logistic", f"data.root={labels_only}", "task.estimator.max_iter=1")
    assert "NOT CONVERGED" in out


@pytest.mark.usefixtures("blank_figures")
def test_constant_attributes_are_excluded_from_both_means(
    command: Command, write_celeba, tmp_path: Path, run_folder, read_summary
) -> None:
    root = write_celeba(tmp_path / "celeba", n=240, images=False)
    table = root / "list_attr_celeba.csv"
    frame = pd.read_csv(table)
    frame["Bald"] = -1
    frame.to_csv(table, index=False)
    code, out, err = command("experiment=logistic", f"data.root={root}", "task.attributes=[Bald,Male,Young]")
    assert code == 0, err
    folder = run_folder("logistic")
    rows = pd.read_csv(folder / "tables" / "attributes.csv").set_index("attribute").loc[["Male", "Young"]]
    summary = read_summary(folder)
    assert summary["majority_accuracy"]["test"] == pytest.approx(rows["majority_accuracy"].mean())
    assert summary["metrics"]["test/gain"] == pytest.approx(rows["accuracy"].mean() - rows["majority_accuracy"].mean())
    assert "No model was fitted for attributes whose training labels are all the same: Bald" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["task.fraction=1.5"], "task.fraction=1.5 must be above 0 and at most 1."),
        (["~task.estimator"], "task.estimator has no value"),
        (["task.estimator=null"], "task.estimator=None has the wrong type"),
        (["task.split=offical"], "Did you mean 'official'"),
        (["task.split=official", "data.partitions=[train]"], "task.split=official requires rows of the test split"),
        (["data.partitions=[tain]"], "data.partitions=tain must be one of train, val, test."),
    ],
)
def test_a_mistake_gives_a_one_sentence_error(arguments: list[str], sentence: str, assert_refused) -> None:
    assert_refused(sentence, "experiment=logistic", *arguments)
