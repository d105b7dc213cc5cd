"""Settings are compared over seeds and images, in tables for papers and in tables that fit the terminal."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind
from statsmodels.stats.multitest import multipletests

from celeba_lab.analyses.seeds import seed_difference
from celeba_lab.console import console
from celeba_lab.reports.seed_tables import (
    describe_differences,
    draw_seed_differences,
    seed_section,
    show_seeds,
    write_seeds,
)
from celeba_lab.reports.seeds import SeedComparison, compare_entries, compare_groups
from celeba_lab.runs.answers import CorrectAnswers, read_answers
from celeba_lab.runs.finished import FinishedRun
from celeba_lab.runs.folder import RunFolder
from celeba_lab.runs.leaderboard import read_entries
from celeba_lab.runs.seeds import SeedGroup
from celeba_lab.runs.settings import RunSettings
from celeba_lab.runs.summary import Summary

ACCURACY = "val/accuracy"


def group(name: str, metric: str = ACCURACY, *values: float, **settings: Any) -> SeedGroup:
    """Return runs with seeds 0, 1, ... and the given values of a metric."""
    runs = []
    for seed, value in enumerate(values):
        metrics = {"val/loss": 1 - value, metric: value}
        summary = Summary(experiment="smile", task="train", seed=seed, metrics=metrics)
        runs.append(FinishedRun(f"{name}-{seed}", Path(f"{name}-{seed}"), summary, RunSettings({}), None, None))
    return SeedGroup(name, settings, runs)


def compared(*groups: SeedGroup, metric: str = ACCURACY, lower: bool = False) -> SeedComparison:
    return compare_groups(groups, [metric], frozenset([metric] if lower else []), {})


GROUPS = (
    group("lr=0.1", ACCURACY, 0.80, 0.81, 0.82, lr=0.1),
    group("lr=0.2", ACCURACY, 0.90, 0.91, 0.92, lr=0.2),
    group("lr=0.3", ACCURACY, 0.70, 0.71, 0.74, lr=0.3),
)


def test_the_table_and_the_differences_are_those_of_scipy_and_statsmodels() -> None:
    found = compared(*GROUPS)
    assert [each.name for each in found.groups] == ["lr=0.2", "lr=0.1", "lr=0.3"]
    table = found.table.set_index("setting")
    values = [0.70, 0.71, 0.74]
    assert table.loc["lr=0.3", [ACCURACY, f"{ACCURACY}/sd"]].tolist() == [np.mean(values), np.std(values, ddof=1)]
    assert table["seeds"].tolist() == [3, 3, 3]
    assert (table[f"{ACCURACY}/low"] < table[ACCURACY]).all()
    differences = found.differences.set_index("setting")
    assert list(differences.index) == ["lr=0.1", "lr=0.3"]
    assert set(differences["baseline"]) == {"lr=0.2"}
    tests = [ttest_ind(values, [0.90, 0.91, 0.92], equal_var=False) for values in ([0.80, 0.81, 0.82], values)]
    assert differences["p"].tolist() == pytest.approx([test.pvalue for test in tests])
    adjusted = multipletests([test.pvalue for test in tests], method="holm")[1]
    assert differences["p_adjusted"].tolist() == pytest.approx(adjusted.tolist())
    interval = tests[1].confidence_interval(0.975)
    found_ends = differences.loc["lr=0.3", ["corrected_low", "corrected_high"]].tolist()
    assert found_ends == pytest.approx([interval.low, interval.high])
    assert found.counts == {"settings": 3, "settings/better": 0, "settings/worse": 2}


def test_low_losses_are_better() -> None:
    losses = [group(each.name, "val/loss", *each.values(ACCURACY)) for each in GROUPS]
    found = compared(*losses, metric="val/loss", lower=True)
    assert [each.name for each in found.groups] == ["lr=0.3", "lr=0.1", "lr=0.2"]


@pytest.mark.parametrize(
    ("groups", "best"),
    [
        (GROUPS, {ACCURACY: 0}),
        (GROUPS[:1], {}),
        ((GROUPS[1], group("close", ACCURACY, 0.89, 0.90, 0.93)), {}),
        # The interval of each difference excludes 0, but not those that are corrected for two comparisons.
        ((GROUPS[0], group("a", ACCURACY, 0.78, 0.79, 0.8), group("b", ACCURACY, 0.78, 0.79, 0.795)), {}),
        ((GROUPS[1], group("one seed", ACCURACY, 0.1)), {}),
        ((group("tie", ACCURACY, 0.5, 0.5), group("tied", ACCURACY, 0.5, 0.5)), {}),
        ((group("constant", ACCURACY, 0.6, 0.6), group("also constant", ACCURACY, 0.5, 0.5)), {}),
        ((GROUPS[1], group("undefined", ACCURACY, 0.1, float("nan"))), {}),
    ],
)
def test_a_value_is_bold_only_if_it_differs_from_every_other(
    groups: tuple[SeedGroup, ...], best: dict[str, int]
) -> None:
    assert compared(*groups).best == best


def test_the_files_contain_the_means_with_their_deviations(tmp_path: Path) -> None:
    names = ["50%_of {a}|b", "x^2 & \\y", "#1 ~ $z"]
    groups = [
        group(name, ACCURACY, *each.values(ACCURACY), lr_x=name) for name, each in zip(names, GROUPS, strict=True)
    ]
    found = compared(*groups)
    write_seeds(found, tmp_path)
    assert pd.read_csv(tmp_path / "seeds.csv")["val/accuracy/sd"].tolist()[0] == pytest.approx(0.01)
    assert pd.read_csv(tmp_path / "seed_differences.csv")["setting"].tolist() == [names[0], names[2]]
    markdown = (tmp_path / "seeds.md").read_text().splitlines()
    assert "| **0.9100 ± 0.0100 (3)** |" in markdown[2]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in markdown[:5]} == {3}
    assert markdown[6].startswith("Mean ± standard deviation over seeds (number of seeds). A value is bold only if the")
    assert "**" not in "".join(markdown[3:])
    latex = (tmp_path / "seeds.tex").read_text()
    assert [latex.count(word) for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\textbf", r"\caption")] == [
        1
    ] * 5
    assert r"\textbf{0.9100 $\pm$ 0.0100 (3)}" in latex
    assert r"50\%\_of \{a\}|b" in latex
    assert r"lr\_x & val/accuracy" in latex
    check_latex(latex)


def check_latex(code: str) -> None:
    """Check that braces and environments are closed, no special character is bare, and rows have equal length."""
    bare = re.sub(r"\\[\\&%$#_{}]|\\text\w+|\\[a-zA-Z]+", "", code)
    assert bare.count("{") == bare.count("}")
    assert not set(bare) & set("%#_^~\\")
    assert bare.count("$") % 2 == 0
    assert re.findall(r"\\begin{(\w+)}", code) == re.findall(r"\\end{(\w+)}", code)[::-1]
    rows = [line for line in code.splitlines() if line.endswith(r"\\")]
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    assert code.isascii()


def test_settings_without_columns_are_named(tmp_path: Path) -> None:
    write_seeds(compared(group("all runs", ACCURACY, 0.5, 0.6)), tmp_path)
    assert "| all runs" in (tmp_path / "seeds.md").read_text()
    assert not (tmp_path / "seed_differences.csv").exists()
    many = [group(f"run {k}", ACCURACY, 0.5, 0.6 + k, **{f"key{n}": k for n in range(7)}) for k in range(2)]
    write_seeds(compared(*many), tmp_path)
    assert "| run 0" in (tmp_path / "seeds.md").read_text()
    assert "key3" not in (tmp_path / "seeds.md").read_text()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_the_table_fits_the_terminal_without_cutting_numbers(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(console, "_width", width)
    metrics = ["test/accuracy", "val/accuracy", "test/loss", "val/loss", "test/f1"]
    long = [
        group(f"learning_rate={each.name}, backbone=efficientnet_v2_s", ACCURACY, *each.values(ACCURACY))
        for each in GROUPS
    ]
    for each in long:
        for run in each.runs:
            run.metrics.update(dict.fromkeys(metrics, run.metrics[ACCURACY]))
    show_seeds(compare_groups(long, metrics, frozenset(), {}))
    printed = capsys.readouterr().out
    assert all(len(line) <= width for line in printed.splitlines())
    assert "test/accuracy" in printed
    assert printed.count("0.9100 ± 0.0100") >= 1
    assert "…" not in printed
    assert ("more column" in printed) == (width < 120)


@pytest.mark.parametrize(
    ("groups", "sentences"),
    [
        (
            (GROUPS[0], GROUPS[1]),
            [
                "lr=0.1 is worse than lr=0.2 in val/accuracy by 0.1000 (95% interval 0.0773 to 0.1227 over 3 seeds"
                " each), p < 0.001"
            ],
        ),
        (
            (GROUPS[1], group("close", ACCURACY, 0.89, 0.93)),
            [
                "close and lr=0.2 do not differ significantly in val/accuracy (+0.0000, 95% interval -0.1891 to +0.1891"
                " over 2 and 3 seeds, p = 1)"
            ],
        ),
    ],
)
def test_a_difference_is_described_in_words(groups: tuple[SeedGroup, ...], sentences: list[str]) -> None:
    found = compare_groups(groups, [ACCURACY], frozenset(), {}, baseline=GROUPS[1])
    assert list(describe_differences(found)) == sentences


def test_the_adjustment_for_several_comparisons_is_described() -> None:
    first, second = describe_differences(compared(*GROUPS))
    assert first.endswith(", and p < 0.001 after Holm's adjustment for 2 comparisons")
    assert second.startswith("lr=0.3 is worse than lr=0.2")


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        (GROUPS[:1], "All 3 runs have the same settings, so there are no settings to compare."),
        (
            (GROUPS[0], group("alone", ACCURACY, 0.5)),
            "These settings have only one seed, so they have no interval over seeds: alone.",
        ),
        (
            (GROUPS[0], group("bad", ACCURACY, 0.5, float("nan"))),
            "val/accuracy is undefined for a run, so the mean is undefined: bad.",
        ),
    ],
)
def test_what_cannot_be_compared_is_explained(groups: tuple[SeedGroup, ...], sentence: str, capsys) -> None:
    found = compared(*groups)
    assert found.remarks == [sentence]
    show_seeds(found)
    assert sentence in " ".join(capsys.readouterr().out.split())


def test_the_figure_shows_losses_with_the_better_setting_on_the_right(tmp_path: Path, monkeypatch) -> None:
    from celeba_lab import figures

    drawn: dict[str, Any] = {}
    original = figures.run_differences

    def spy(names, differences, low, high, **options):
        drawn.update(
            names=names, values=[float(differences.iloc[0]), float(low.iloc[0]), float(high.iloc[0])], **options
        )
        return original(names, differences, low, high, **options)

    monkeypatch.setattr(figures, "run_differences", spy)
    losses = [group(each.name, "val/loss", *each.values(ACCURACY)) for each in GROUPS[:2]]
    found = compared(*losses, metric="val/loss", lower=True)
    picture = draw_seed_differences(RunFolder(tmp_path), found, "title")
    assert picture is not None
    assert picture.path.is_file()
    difference, low, high = drawn["values"]
    assert low < difference < high < 0
    assert drawn["label"] == "baseline val/loss minus val/loss"
    assert drawn["note"] == "Baseline: lr=0.1, 3 seeds. 95% intervals over seeds"
    section = seed_section(found, picture, "tables/")
    assert section.tables[0].file == "tables/seeds.csv"
    assert "lr=0.2 is worse than lr=0.1 in val/loss" in section.text
    assert draw_seed_differences(RunFolder(tmp_path), compared(GROUPS[0]), "title") is None


# --------------------------------------------------------------------------------------------------------------- sweeps


def write_runs(folder: Path, run_writer, **options: Any) -> list[Path]:
    """Write four runs: two learning rates with two seeds each, of which the second rate makes more mistakes."""
    folders = []
    for lr, wrong in ((0.1, 10), (0.2, 25)):
        for seed in (1, 2):
            probabilities = run_writer.probabilities(seed, wrong)
            settings = {"model": {"lr": lr}}
            folders.append(
                run_writer.write(
                    folder / f"{lr}-{seed}", seed, probabilities=probabilities, settings=settings, **options
                )
            )
    return folders


METRICS = ["test/loss", "train/accuracy", "test/accuracy", "val/accuracy"]


def compare(folders: list[Path], score: str | None = "test/accuracy") -> SeedComparison | None:
    return compare_entries(read_entries(folders), METRICS, score, "maximize")


def test_a_sweep_is_compared_over_seeds_and_images(tmp_path: Path, run_writer) -> None:
    folders = write_runs(tmp_path, run_writer)
    found = compare(folders)
    assert found is not None
    assert found.metrics == ["test/accuracy", "val/accuracy", "test/loss"]
    assert (found.lower, found.over_images) == ({"test/loss"}, ["test/accuracy"])
    row = found.differences.iloc[0]
    assert (row["images"], row["setting"], row["baseline"]) == (60, "lr=0.2", "lr=0.1")
    answers = read_answers([run for each in found.groups for run in each.runs], "test")
    scores = [each.scores("test/accuracy", answers) for each in found.groups]
    expected = seed_difference(scores[1], scores[0])
    assert (row["low"], row["high"]) == (expected.low, expected.high)
    assert found.remarks == [
        "The intervals of val/accuracy cover seeds, but not images: these runs have not saved their predictions:"
        " 0.1-1, 0.1-2, 0.2-1, 0.2-2."
    ]


def test_without_predictions_only_seeds_are_compared(tmp_path: Path, run_writer) -> None:
    folders = write_runs(tmp_path, run_writer)
    (folders[2] / "tables" / "predictions_test.csv").write_text("damaged")
    found = compare(folders)
    assert found is not None
    assert found.over_images == []
    assert pd.isna(found.differences["images"]).all()
    assert found.remarks[0].startswith("The intervals of test/accuracy cover seeds, but not images: ")
    assert "predictions_test.csv cannot be used" in found.remarks[0]


def test_large_tables_of_predictions_are_not_read(tmp_path: Path, run_writer, monkeypatch) -> None:
    monkeypatch.setattr("celeba_lab.reports.seeds._MOST_BYTES", 100)
    found = compare(write_runs(tmp_path, run_writer))
    assert found is not None
    assert "the tables of predictions are larger than" in found.remarks[0]


def test_runs_that_cannot_be_compared_do_not_stop_the_comparison(tmp_path: Path, run_writer) -> None:
    folders = write_runs(tmp_path, run_writer)
    (folders[0] / "config.yaml").unlink()
    others = [
        run_writer.write(tmp_path / "drawn", data={"name": "synthetic"}),
        run_writer.write(tmp_path / "again", 2, settings={"model": {"lr": 0.2}}),
        run_writer.write(tmp_path / "without", 5, split="val", data={"images": {"train": 40, "val": 20, "test": 60}}),
    ]
    found = compare([*folders, *others])
    assert found is not None
    assert [(each.name, len(each.runs)) for each in found.groups] == [("lr=0.1", 1), ("lr=0.2", 2)]
    text = "\n".join(found.remarks)
    assert "config.yaml cannot be used" in text
    assert "because they used other data" in text
    assert "because they do not report test/accuracy: without." in text
    assert "because they have the settings and the seed of another run: again." in text
    assert "These settings have only one seed, so they have no interval over seeds: lr=0.1." in text


def test_accuracies_over_different_attributes_are_those_of_the_leaderboard(tmp_path: Path, run_writer) -> None:
    folders = []
    for count, mistakes in ((1, 20), (2, 5)):
        names, labels = run_writer.names[:count], run_writer.labels[:, :count]
        for seed in (1, 2):
            probabilities = run_writer.probabilities(seed, mistakes, labels)
            settings = {"model": {"attributes": list(names)}}
            folder = tmp_path / f"{count}-{seed}"
            folders.append(run_writer.write(folder, seed, names=names, probabilities=probabilities, settings=settings))
    found = compare(folders)
    assert found is not None
    reported = [np.mean([run.metrics["test/accuracy"] for run in each.runs]) for each in found.groups]
    assert found.table["test/accuracy"].tolist() == reported == sorted(reported, reverse=True)
    assert found.over_images == []
    assert found.remarks[0] == (
        "The intervals of test/accuracy cover seeds, but not images: only some of the runs predict these attributes:"
        " Male."
    )


def test_the_order_is_that_of_the_printed_means() -> None:
    """The predictions of the better runs in the summaries are worse for the attributes that all runs share."""
    groups = [group(name, ACCURACY, value, value) for name, value in (("a", 0.9), ("b", 0.8))]
    correct = {run.name: np.arange(10)[:, None] < (4 if run.name < "b" else 6) for each in groups for run in each.runs}
    labels = np.ones((10, 1), dtype=np.uint8)
    answers = CorrectAnswers(np.arange(10).astype(str), ["Smiling"], ["Male"], labels, correct)
    found = compare_groups(groups, [ACCURACY], frozenset(), {"val": answers})
    assert [each.name for each in found.groups] == ["b", "a"]
    assert found.table[ACCURACY].tolist() == [0.6, 0.4]
    assert found.baseline.name == "b"


def test_without_several_seeds_there_is_no_comparison(tmp_path: Path, run_writer) -> None:
    folders = write_runs(tmp_path, run_writer)
    assert compare([folders[0], folders[2]]) is None
    assert compare(folders, None) is None
    assert compare(folders, "val/auroc") is None
    assert compare([]) is None
