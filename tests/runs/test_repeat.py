"""Two runs are compared to the last bit, and so are their environments."""

from pathlib import Path

import pytest

from celeba_lab.runs.environment import git_commit, library_versions
from celeba_lab.runs.repeat import changed_data, changed_environment, compare_metrics, compare_predictions
from celeba_lab.runs.summary import Summary


def summary(**fields: object) -> Summary:
    return Summary(**({"experiment": "smile", "task": "train", "metrics": {}} | fields))


def test_nothing_is_listed_if_the_environment_is_the_same() -> None:
    assert changed_environment(summary(versions=library_versions(), git=git_commit())) == []


def test_other_versions_are_listed() -> None:
    versions = {name: text for name, text in library_versions().items() if name != "numpy"}
    [torch, *others, numpy] = changed_environment(summary(versions=versions | {"torch": "1.0"}, git=git_commit()))
    assert torch.startswith("torch: 1.0 before, ")
    assert (others, numpy.startswith("numpy: none before, ")) == ([], True)


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ({"name": "celeba", "root": "/a"}, {"name": "celeba", "root": "/b"}, 0),
        ({"name": "celeba", "fingerprint": "1"}, {"name": "celeba", "fingerprint": "2"}, 1),
        ({"name": "celeba"}, {"name": "celeba", "fingerprint": "2"}, 0),
        ({"name": "celeba", "images": {"val": 1}}, {"name": "synthetic", "images": {"val": 2}}, 2),
        (None, None, 0),
    ],
)
def test_other_data_are_listed(before: dict | None, after: dict | None, count: int) -> None:
    assert len(changed_data(summary(data=before), summary(data=after))) == count


def test_metrics_are_compared_exactly() -> None:
    nan = float("nan")
    one = summary(metrics={"a": 0.1 + 0.2, "b": nan, "c": 1.0, "d": nan})
    other = summary(metrics={"a": 0.3, "b": nan, "e": 1.0, "d": 1.0})
    table = compare_metrics(one, other)
    assert dict(zip(table["metric"], table["equal"], strict=True)) == {
        "a": False, "b": True, "c": False, "d": False, "e": False,
    }  # fmt: skip


def test_tables_are_compared_byte_by_byte(tmp_path: Path) -> None:
    contents = {"same": ("x" * 2**21, "x" * 2**21), "other": ("x", "y"), "longer": ("x", "xx"), "absent": ("x", None)}
    for name, texts in contents.items():
        for folder, text in zip("ab", texts, strict=True):
            (tmp_path / folder / "tables").mkdir(parents=True, exist_ok=True)
            if text is not None:
                (tmp_path / folder / "tables" / f"predictions_{name}.csv").write_text(text)
    found = compare_predictions(tmp_path / "a", tmp_path / "b")
    assert found == {f"predictions_{name}.csv": name == "same" for name in sorted(contents)}
