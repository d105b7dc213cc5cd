"""Cluster faces by their labels."""

from omegaconf import DictConfig
from sklearn.base import ClusterMixin, TransformerMixin

from celeba_lab.analyses.clustering import configure_clusterer, find_clusters, scale
from celeba_lab.analyses.estimators import check_parameters
from celeba_lab.analyses.sampling import check_several
from celeba_lab.engine.labels import build_faces, sample_labels
from celeba_lab.errors import check_at_least, check_positive_fraction, settings_of
from celeba_lab.reports.clusters import ClusteringResult, ClusterReport
from celeba_lab.runs.run import Run


def clusters(
    cfg: DictConfig,
    clusterer: ClusterMixin,
    scaler: TransformerMixin | None,
    report: ClusterReport,
    n_clusters: int | None = 5,
    attributes: list[str] | None = None,
    fraction: float = 1.0,
) -> dict[str, float]:
    """Cluster faces by their labels, and write a report about the clusters.

    Args:
        cfg: Configuration of the run.
        clusterer: Unfitted scikit-learn clusterer.
        scaler: scikit-learn transformer that scales the labels before clustering. If None, the labels are not scaled.
        report: The report to write, with tables and figures about the clusters.
        n_clusters: Number of clusters, for clusterers with this parameter. If None, the value in ``clusterer`` is used.
        attributes: Names of at least two attributes. Defaults to all 40 attributes.
        fraction: Fraction of the rows to use.

    Returns:
        The metrics returned by :meth:`~celeba_lab.reports.clusters.ClusterReport.write`.

    Raises:
        UserError: A setting or the data cannot be used.
    """
    check_at_least("n_clusters", n_clusters, 1)
    check_several(attributes)
    check_positive_fraction("fraction", fraction)
    check_parameters(scaler, "scaler")
    clusterer = configure_clusterer(clusterer, n_clusters)
    run = Run.open(cfg)
    sample = sample_labels(run, build_faces(cfg.data, attributes), fraction)
    points, axes = scale(sample.labels, scaler, sample.attributes)
    with run.timed("compute"):
        clustering = find_clusters(points, clusterer)
    with run.reporting(), settings_of("report"):
        metrics = report.write(ClusteringResult(run, sample, clustering, clusterer, axes, cfg.seed))
    return run.finish(metrics, data=sample.data.facts(), details={"rows": len(sample.rows)})
