"""Count which attributes occur together."""

import torch
from omegaconf import DictConfig

from celeba_lab.analyses.cooccurrence import Cooccurrence, pair_table
from celeba_lab.engine.build import sample_labels
from celeba_lab.errors import SettingError
from celeba_lab.reports.cooccurrence import show_cooccurrence, write_cooccurrence
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.run import log_settings, open_run, show_ending, task_name


def cooccurrence(cfg: DictConfig, attributes: list[str] | None = None, fraction: float = 1.0) -> dict[str, float]:
    """Write joint counts, P(A | B), lift, phi and pointwise mutual information of every pair of attributes.

    Args:
        cfg: Configuration of the run.
        attributes: Names of at least two attributes; all forty by default.
        fraction: Fraction of the rows to use.

    Returns:
        ``images`` and the largest and smallest ``phi``.

    Raises:
        UserError: A setting or the data cannot be used.
    """
    sample = sample_labels(cfg, attributes, fraction)
    names = sample.attributes
    if len(names) < 2:
        raise SettingError("attributes", attributes, "must name at least two attributes")
    run = open_run(cfg)
    with run.timed("compute"):
        found = Cooccurrence.of(sample.labels)
    pairs = pair_table(found, names)
    with run.timed("report"):
        write_cooccurrence(run, found, pairs, names, sample.title)
    metrics = {
        "images": float(found.n),
        "phi/largest": float(pairs["phi"].max()),
        "phi/smallest": float(pairs["phi"].min()),
    }
    log_settings(cfg, run, metrics)
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=sample.datamodule.facts(),
        rows=found.n,
        metrics=metrics,
        device=device_name(torch.device("cpu")),
    )
    show_cooccurrence(pairs, sample.title)
    show_ending(run.path, [])
    return metrics
