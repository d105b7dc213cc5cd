"""``experiment=cooccurrence``: how often attributes occur together."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from celeba_lab.data.annotations import Annotations
from celeba_lab.data.attributes import ATTRIBUTES

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.usefixtures("blank_figures")
def test_cooccurrence_writes_tables_that_match_the_labels(
    command: Command, labels_only: Path, tmp_path: Path, run_folder, check_run
) -> None:
    code, _, err = command("experiment=cooccurrence", f"data.root={labels_only}", "data.partitions=[val,test]")
    assert code == 0, err
    folder = run_folder("cooccurrence")
    assert check_run(folder, "cooccurrence")["details"]["rows"] == 80
    annotations = Annotations.load(labels_only)
    labels = annotations.labels[annotations.partition > 0].astype(int)
    joint = pd.read_csv(folder / "tables" / "joint.csv").set_index("attribute")
    assert (joint.to_numpy() == labels.T @ labels).all()
    assert list(joint.columns) == list(joint.index) == list(ATTRIBUTES)
    pairs = pd.read_csv(folder / "tables" / "pairs.csv")
    assert len(pairs) == 780
    assert pairs["phi"].abs().is_monotonic_decreasing
    row = pairs.iloc[0]
    assert row["both"] == joint.loc[row["first"], row["second"]]
    assert row["P(first | second)"] == pytest.approx(row["both"] / joint.loc[row["second"], row["second"]])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["task.attributes=[Smilling,Male]"], "task.attributes=[Smilling,Male] contains 'Smilling', which is not"),
        (
            ["task.attributes=[Male]"],
            "task.attributes=[Male] must name at least two attributes.",
        ),
    ],
)
def test_a_mistake_gives_a_one_sentence_error(arguments: list[str], sentence: str, assert_refused) -> None:
    assert_refused(sentence, "experiment=cooccurrence", *arguments)
