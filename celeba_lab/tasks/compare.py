"""Compare finished runs."""

from omegaconf import DictConfig

from celeba_lab.console import Progress, display_path
from celeba_lab.data.annotations import SPLITS
from celeba_lab.errors import check_at_least, check_choice
from celeba_lab.reports import comparison
from celeba_lab.runs.answers import read_answers
from celeba_lab.runs.run import Run

_FEWEST_RESAMPLES = 100  # Fewer samples would not give reliable 95% intervals.


def compare(
    cfg: DictConfig,
    runs: str | list[str],
    split: str = "test",
    metric: str = "accuracy",
    baseline: str | None = None,
    resamples: int = 2000,
) -> dict[str, float]:
    """Compare the metrics and settings of finished runs, and test whether their accuracies differ.

    Args:
        cfg: Configuration of the run. ``seed`` determines the bootstrap samples.
        runs: Run folders, folders that contain run folders, or globs that match either.
        split: Split whose predictions are compared: train, val or test.
        metric: Validation metric by which the runs are ranked. The statistical tests always use the accuracy.
        baseline: Name or path of the run with which the other runs are compared. Defaults to the run with the best
            value of ``metric`` on the validation split.
        resamples: Number of bootstrap samples for the confidence intervals.

    Returns:
        The metrics ``runs`` (the number of compared runs), ``split/metric/best``, ``split/metric/baseline``, ``better``
        and ``worse``. ``better`` and ``worse`` are the numbers of runs whose accuracy is significantly higher or lower
        than the baseline's (the confidence interval of the difference excludes 0).

    Raises:
        UserError: A setting or a run cannot be used, fewer than two runs can be compared, or the runs used different
            data.
    """
    check_choice("split", split, SPLITS)
    check_at_least("resamples", resamples, _FEWEST_RESAMPLES)
    run = Run.open(cfg)
    found = comparison.read_comparable(runs, split, ignore=run.path)
    comparison.check_metric(found, split, metric)
    base = comparison.choose_baseline(found, metric, baseline)
    answers = read_answers(found, split)
    with run.timed("compute"):
        paired, details = comparison.paired_tables(answers, base.name, resamples, cfg.seed)
    table, settings = comparison.run_table(found, split), comparison.setting_table(found)
    with run.timed("report"), Progress("writing the report"):
        run.table("runs", table)
        run.table("settings", settings)
        run.table("paired", paired)
        run.table("mcnemar", details)
        title = run.title(base.data["name"])
        comparison.draw_curves(run, found, metric, title)
        comparison.draw_differences(run, paired, title, split)
    metrics = comparison.comparison_metrics(table[f"{split}/{metric}"], base, paired)
    comparison.show_data(answers, split, base.data["name"])
    comparison.show_runs(table, metric, split)
    comparison.show_settings(settings)
    comparison.show_differences(paired, base, metric, is_chosen=baseline is not None)
    return run.finish(
        metrics,
        data=base.data,
        details={
            "runs": {one.name: str(display_path(one.folder)) for one in found},
            "baseline": base.name,
            "attributes": answers.attributes,
        },
    )
