"""Group faces by their labels."""

import torch
from omegaconf import DictConfig
from sklearn.base import ClusterMixin, TransformerMixin

from celeba_lab.analyses.clustering import check_clusterer, find_clusters, scale
from celeba_lab.engine.build import sample_labels
from celeba_lab.errors import UserError
from celeba_lab.reports.clusters import ClusterReport
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.run import log_settings, open_run, show_ending, task_name


def clusters(
    cfg: DictConfig,
    clusterer: ClusterMixin,
    scaler: TransformerMixin | None,
    report: ClusterReport,
    n_clusters: int | None = 5,
    attributes: list[str] | None = None,
    fraction: float = 1.0,
) -> dict[str, float]:
    """Cluster a sample of the labels, and show what the clusters are.

    Args:
        cfg: the configuration.
        clusterer: of scikit-learn.
        scaler: what is done to the labels first; None for nothing.
        report: what is looked at.
        n_clusters: for clusterers that are told the number; None leaves them as they are.
        attributes: all forty by default.
        fraction: of the rows in use.

    Returns:
        See :meth:`ClusterReport.write`.

    Raises:
        UserError: a setting or the data cannot be used.
    """
    clusterer = check_clusterer(clusterer, n_clusters)
    if attributes is not None and len(attributes) == 1:
        raise UserError(
            "task.attributes names one attribute; at least two are needed, to make groups of more than a yes and a no."
        )
    sample = sample_labels(cfg, attributes, fraction)
    points, features = scale(sample.labels, scaler, sample.attributes)
    run = open_run(cfg)
    with run.timed("compute"):
        clustering = find_clusters(points, clusterer)
    with run.timed("report"):
        metrics = report.write(run, sample, clustering, clusterer, cfg.seed, features)
    log_settings(cfg, run, metrics)
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=sample.datamodule.facts(),
        rows=len(sample.rows),
        metrics=metrics,
        device=device_name(torch.device("cpu")),
    )
    show_ending(run.path, [])
    return metrics
