"""Group faces by their labels."""

from omegaconf import DictConfig
from sklearn.base import ClusterMixin, TransformerMixin

from celeba_lab.analyses.clustering import check_clusterer, find_clusters, scale
from celeba_lab.assembly import log_settings, open_run, sample_labels, summary_of_data, task_name
from celeba_lab.cluster_report import ClusterReport
from celeba_lab.console import show_ending


def clusters(
    cfg: DictConfig,
    clusterer: ClusterMixin,
    scaler: TransformerMixin | None,
    report: ClusterReport,
    n_clusters: int = 5,
    attributes: list[str] | None = None,
    fraction: float = 1.0,
) -> dict[str, float]:
    """Cluster a sample of the labels, and show what the clusters are.

    Args:
        cfg: the configuration.
        clusterer: of scikit-learn.
        scaler: what is done to the labels first; None for nothing.
        report: what is looked at.
        n_clusters: for clusterers that are told the number.
        attributes: all forty by default.
        fraction: of the rows in use.

    Returns:
        See :meth:`ClusterReport.write`.

    Raises:
        UserError: a setting or the data cannot be used.
    """
    clusterer = check_clusterer(clusterer, n_clusters)
    sample = sample_labels(cfg, attributes, fraction)
    points = scale(sample.labels, scaler)
    run = open_run(cfg)
    with run.timed("compute"):
        clustering = find_clusters(points, clusterer)
    with run.timed("report"):
        metrics = report.write(run, sample, clustering, clusterer, cfg.seed, sample.attributes)
    log_settings(cfg, run, metrics)
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=summary_of_data(sample.datamodule),
        rows=len(sample.rows),
        metrics=metrics,
        device="cpu",
    )
    show_ending(run.path, [])
    return metrics
