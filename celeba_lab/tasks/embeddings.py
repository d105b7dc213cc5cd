"""Cluster faces by the features of a trained classifier."""

from typing import Any

import lightning as L
import numpy as np
import torch
from omegaconf import DictConfig
from sklearn.base import ClusterMixin, TransformerMixin

from celeba_lab.analyses.clustering import configure_clusterer, find_clusters, scale
from celeba_lab.analyses.estimators import check_parameters
from celeba_lab.console import display_path
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.loaders import Processes
from celeba_lab.engine.build import build_datamodule, build_evaluator
from celeba_lab.engine.checkpoints import load_classifier
from celeba_lab.engine.labels import sample_labels
from celeba_lab.engine.signals import stopping_between_batches
from celeba_lab.errors import check_at_least, check_between, check_positive_fraction, settings_of
from celeba_lab.models.classifier.embedder import Embedder
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.reports.clusters import ClusteringResult, ClusterReport
from celeba_lab.reports.embeddings import MOST_SPRITES, report_agreement, write_features, write_projector
from celeba_lab.runs.run import Run, write_bad_images


def embeddings(
    cfg: DictConfig,
    clusterer: ClusterMixin,
    scaler: TransformerMixin | None,
    report: ClusterReport,
    n_clusters: int | None = 5,
    attributes: list[str] | None = None,
    fraction: float = 1.0,
    projector_images: int = 2000,
) -> dict[str, float]:
    """Cluster faces by their backbone features, and compare these clusters with clusters based on the labels.

    Args:
        cfg: Configuration of the run. ``checkpoint`` is the path to the classifier.
        clusterer: Unfitted scikit-learn clusterer.
        scaler: scikit-learn transformer that scales the features and the labels before clustering. If None, nothing is
            scaled.
        report: The report to write, with tables and figures about the clusters.
        n_clusters: Number of clusters, for clusterers with this parameter. If None, the value in ``clusterer`` is used.
        attributes: Names of the attributes that describe the clusters. Defaults to all 40 attributes.
        fraction: Fraction of the images to use.
        projector_images: Maximum number of faces in TensorBoard's projector, or 0 to omit the projector.

    Returns:
        The metrics returned by :meth:`~celeba_lab.reports.clusters.ClusterReport.write`, and the agreement with the
        label clusters, ``labels/adjusted_rand_index`` and ``labels/adjusted_mutual_information``.

    Raises:
        UserError: A setting, the checkpoint or the data cannot be used.
    """
    check_at_least("n_clusters", n_clusters, 1)
    check_positive_fraction("fraction", fraction)
    check_parameters(scaler, "scaler")
    clusterer = configure_clusterer(clusterer, n_clusters)
    check_between("projector_images", projector_images, 0, MOST_SPRITES)
    run = Run.open(cfg)
    model = load_classifier(cfg.checkpoint, "embed faces")
    datamodule = build_datamodule(cfg.data, attributes, model.input_size)
    sample = sample_labels(run, datamodule, fraction, with_images=True)
    # The labels are clustered first, so that an invalid setting raises an error before the features are computed.
    of_labels = find_clusters(scale(sample.labels, scaler)[0], clusterer)
    trainer = _build_trainer(cfg)
    with run.timed("embed"), stopping_between_batches(trainer):
        features = _embed(trainer, model, datamodule, sample.rows)
    write_features(run, sample, features)
    with run.timed("compute"):
        clustering = find_clusters(scale(features, scaler)[0], clusterer, "features")
    with run.reporting(), settings_of("report"):
        result = ClusteringResult(run, sample, clustering, clusterer, axes=None, seed=cfg.seed)
        write_projector(result, features, projector_images)
        metrics = report_agreement(result, of_labels) | report.write(result)
        write_bad_images(run, datamodule)
    return run.finish(
        metrics,
        data=datamodule.facts(),
        checkpoint=cfg.checkpoint,
        device=trainer.strategy.root_device,
        details={"rows": len(sample.rows)},
        next_commands=[("explore in 3D", f"tensorboard --logdir {display_path(run.path)}")],
    )


def _build_trainer(cfg: DictConfig) -> L.Trainer:
    """Return a Trainer that handles all batches in a single process, so that the features of all faces are returned."""
    whole = {"devices": 1, "num_nodes": 1, "strategy": "auto", "limit_predict_batches": None, "fast_dev_run": False}
    return build_evaluator(cfg.trainer, cfg.callbacks, **whole)


def _embed(trainer: L.Trainer, model: AttributeClassifier, data: CelebADataModule, rows: np.ndarray) -> np.ndarray:
    """Return the features of the faces in the given rows, float32 (N, D)."""
    batches: Any = trainer.predict(Embedder(model), data.rows_dataloader(rows, Processes.of(trainer)))
    return torch.cat(batches).numpy()
