"""Compare finished runs."""

from omegaconf import DictConfig

from celeba_lab.console import Progress, display_path
from celeba_lab.data.annotations import SPLITS
from celeba_lab.errors import check_at_least, check_choice
from celeba_lab.reports import comparison
from celeba_lab.reports.seed_tables import show_seeds
from celeba_lab.reports.seeds import compare_seeds
from celeba_lab.runs.answers import read_answers
from celeba_lab.runs.run import Run
from celeba_lab.runs.seeds import group_runs

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

    If there are runs that differ only in their seed, the settings are also compared over seeds and images.

    Args:
        cfg: Configuration of the run. ``seed`` determines the bootstrap samples.
        runs: Run folders, folders that contain run folders, or globs that match either.
        split: Split whose predictions are compared: train, val or test.
        metric: Validation metric by which the runs are ranked. The statistical tests always use the accuracy.
        baseline: Name or path of the run, or name of the setting (such as ``lr=0.001``), with which the others are
            compared. Defaults to the run and the setting with the best value of ``metric`` on the validation split.
        resamples: Number of bootstrap samples for the confidence intervals.

    Returns:
        The metrics ``runs`` (the number of compared runs), ``split/metric/best``, ``split/metric/baseline``, ``better``
        and ``worse``. ``better`` and ``worse`` are the numbers of runs whose accuracy is significantly higher or lower
        than the baseline's (the confidence interval of the difference excludes 0). If a setting has several seeds,
        also ``settings``, ``settings/better`` and ``settings/worse``, which are adjusted for multiple comparisons.

    Raises:
        UserError: A setting or a run cannot be used, fewer than two runs can be compared, or the runs used different
            data.
    """
    check_choice("split", split, SPLITS)
    check_at_least("resamples", resamples, _FEWEST_RESAMPLES)
    run = Run.open(cfg)
    found = comparison.read_comparable(runs, split, ignore=run.path)
    comparison.check_metric(found, split, metric)
    groups, repeated = group_runs(found)
    base = comparison.choose_baseline(found, metric, baseline, groups)
    answers = read_answers(found, split)
    with run.timed("compute"):
        over_seeds = compare_seeds(groups, repeated, answers, split, metric, base if baseline else None)
        paired, mcnemar = comparison.paired_tables(answers, base.name, resamples, cfg.seed)
    table, settings = comparison.run_table(found, split), comparison.setting_table(found)
    with run.reporting(), Progress("writing the report"):
        tables = {"runs": table, "settings": settings, "paired": paired, "mcnemar": mcnemar}
        comparison.write_comparison(run, found, tables, over_seeds, split, metric, run.title(base.data["name"]))
    metrics = comparison.comparison_metrics(table[f"{split}/{metric}"], base, paired, over_seeds)
    comparison.show_data(answers, split, base.data["name"])
    show_seeds(over_seeds)
    comparison.show_runs(table, metric, split)
    comparison.show_settings(settings)
    comparison.show_differences(paired, base, metric, is_chosen=baseline is not None)
    folders = {one.name: str(display_path(one.folder)) for one in found}
    details = {"runs": folders, "baseline": base.name, "attributes": answers.attributes}
    return run.finish(metrics, data=base.data, details=details)
