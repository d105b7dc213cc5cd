"""Put finished runs side by side."""

from omegaconf import DictConfig

from celeba_lab.console import display_path
from celeba_lab.data.annotations import SPLITS
from celeba_lab.errors import check_at_least, check_choice
from celeba_lab.reports import comparison
from celeba_lab.runs.answers import read_answers
from celeba_lab.runs.run import Run

_FEWEST_RESAMPLES = 100  # the ends of a 95 % interval are then the third values from either side


def compare(
    cfg: DictConfig,
    runs: str | list[str],
    split: str = "test",
    metric: str = "accuracy",
    baseline: str | None = None,
    resamples: int = 2000,
) -> dict[str, float]:
    """Write the metrics of finished runs, the settings that differ, and whether their images can distinguish them.

    Args:
        cfg: Configuration of the run; the resampling depends on its ``seed``.
        runs: Run folders, folders of run folders, or globs of either.
        split: Split whose predictions are compared: train, val or test.
        metric: Metric that ranks the runs, on validation. The tests are about accuracy.
        baseline: Name or path of the run that the others are compared with; by default the best on validation.
        resamples: Number of bootstrap samples of the images, for the intervals.

    Returns:
        ``runs``, the number of compared runs; ``split/metric/best`` and ``split/metric/baseline``; and ``better`` and
        ``worse``, the numbers of runs whose interval of the accuracy's difference from the baseline leaves out 0.

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
    data = base.data
    with run.timed("report"):
        run.table("runs", table)
        run.table("settings", settings)
        run.table("paired", paired)
        run.table("mcnemar", details)
        title = f"{data['name']} · {cfg.name}"
        comparison.draw_curves(run, found, metric, title)
        comparison.draw_differences(run, paired, f"{title} · {split}")
    metrics = comparison.comparison_metrics(table[f"{split}/{metric}"], base, paired)
    comparison.show_data(answers, split, data["name"])
    comparison.show_runs(table, metric, split)
    comparison.show_settings(settings)
    comparison.show_differences(paired, base, metric, is_chosen=baseline is not None)
    return run.finish(
        metrics,
        data=data,
        details={
            "runs": {one.name: str(display_path(one.folder)) for one in found},
            "baseline": base.name,
            "attributes": answers.attributes,
        },
    )
