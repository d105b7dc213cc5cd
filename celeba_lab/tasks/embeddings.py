"""Group faces by what a trained classifier sees in them."""

from typing import Any

import lightning as L
import numpy as np
import torch
from omegaconf import DictConfig
from sklearn.base import ClusterMixin, TransformerMixin
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from celeba_lab import figures
from celeba_lab.analyses.clustering import Clustering, check_clusterer, contingency, find_clusters, scale
from celeba_lab.analyses.sampling import LabelSample
from celeba_lab.console import console
from celeba_lab.data.describe import summary_of_data
from celeba_lab.engine.build import build_trainer, sample_labels
from celeba_lab.engine.checkpoints import load_classifier
from celeba_lab.engine.measure import progress_bar
from celeba_lab.engine.signals import exit_codes_of_signals
from celeba_lab.errors import UserError
from celeba_lab.files import write_atomically
from celeba_lab.models.classifier.embedder import Embedder
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.reports.clusters import ClusterReport
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.run import RunFolder, log_settings, open_run, show_ending, task_name, write_bad_images

_SPRITE = 48  # pixels a side of a face in TensorBoard's projector
_MOST_SPRITES = (8192 // _SPRITE) ** 2  # its picture of all faces is at most 8,192 pixels a side


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
    """Cluster the features of a checkpoint's backbone, and compare with the clusters of the labels.

    Args:
        cfg: the configuration; ``checkpoint`` names the model.
        clusterer: of scikit-learn.
        scaler: what is done to the features, and to the labels, first; None for nothing.
        report: what is looked at.
        n_clusters: for clusterers that are told the number; None leaves them as they are.
        attributes: that describe the clusters; all forty by default.
        fraction: of the images in use.
        projector_images: at most so many in TensorBoard's projector; 0 for none.

    Returns:
        See :meth:`ClusterReport.write`; ``labels/adjusted_rand_index`` and ``labels/adjusted_mutual_information`` tell
        how far the clusters agree with those of the labels.

    Raises:
        UserError: a setting, the checkpoint or the data cannot be used.
    """
    clusterer = check_clusterer(clusterer, n_clusters)
    if not 0 <= projector_images <= _MOST_SPRITES:
        raise UserError(f"task.projector_images={projector_images}: give a number from 0 to {_MOST_SPRITES}.")
    model = load_classifier(cfg.checkpoint, "embed faces")
    sample = sample_labels(cfg, attributes, fraction, image_size=model.input_size)
    of_labels = find_clusters(scale(sample.labels, scaler)[0], clusterer)  # first: a mistake shows before the long part
    run = open_run(cfg)
    trainer = _build_trainer(cfg)
    with run.timed("embed"), exit_codes_of_signals(trainer):
        features = _embed(trainer, model, sample)
    _write_features(run, sample, features)
    with run.timed("compute"):
        clustering = find_clusters(scale(features, scaler)[0], clusterer, "features")
    with run.timed("report"):
        _write_projector(run, sample, clustering, features, projector_images, cfg.seed)
        agreement = _compare(run, sample, clustering, of_labels)
        metrics = report.write(run, sample, clustering, clusterer, cfg.seed, None) | agreement
        write_bad_images(run, sample.datamodule)
    log_settings(cfg, run, metrics)
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=summary_of_data(sample.datamodule),
        rows=len(sample.rows),
        metrics=metrics,
        checkpoint=str(cfg.checkpoint),
        device=device_name(trainer.strategy.root_device),
    )
    show_ending(run.path, [("look around in 3 D", f"tensorboard --logdir {run.path}")])
    return metrics


def _build_trainer(cfg: DictConfig) -> L.Trainer:
    """Build a trainer of one process that takes every batch: each face needs its features."""
    whole = {"devices": 1, "num_nodes": 1, "strategy": "auto", "limit_predict_batches": None, "fast_dev_run": False}
    return build_trainer(cfg, progress_bar(cfg), **whole)


def _embed(trainer: L.Trainer, model: AttributeClassifier, sample: LabelSample) -> np.ndarray:
    """Return the features of the faces of the sample, float32 (N, D)."""
    sample.datamodule.trainer = trainer
    batches: Any = trainer.predict(Embedder(model), dataloaders=sample.datamodule.rows_dataloader(sample.rows))
    return torch.cat(batches).numpy()


def _write_features(run: RunFolder, sample: LabelSample, features: np.ndarray) -> None:
    """Write ``features.npz``: as text they would be ten times larger."""
    ids = np.array(sample.datamodule.image_ids(sample.rows))
    write_atomically(run.path / "features.npz", lambda file: np.savez(file, features=features, image_id=ids))


def _write_projector(
    run: RunFolder, sample: LabelSample, clustering: Clustering, features: np.ndarray, most: int, seed: int
) -> None:
    """Send features, faces, clusters and labels to TensorBoard's projector."""
    if run.writer is None or not most:
        return
    chosen = np.sort(np.random.default_rng(seed).permutation(len(features))[:most])
    numbers = (clustering.clusters[chosen] + 1).tolist()
    faces = np.stack(sample.datamodule.raw_images(sample.rows[chosen], size=_SPRITE))  # (N, H, W, 3)
    ids = sample.datamodule.image_ids(sample.rows[chosen])
    run.writer.add_embedding(
        features[chosen],
        metadata=[
            [name, cluster, *row]
            for name, cluster, row in zip(ids, numbers, sample.labels[chosen].tolist(), strict=True)
        ],
        metadata_header=["image_id", "cluster", *sample.attributes],
        label_img=torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 255,
        tag="features",
    )


def _compare(run: RunFolder, sample: LabelSample, clustering: Clustering, of_labels: Clustering) -> dict[str, float]:
    """Say how far the clusters of the features are those of the labels."""
    both = np.intersect1d(clustering.members, of_labels.members)
    first, second = clustering.clusters[both], of_labels.clusters[both]
    counts = contingency(first, second, (clustering.count, of_labels.count))
    rows = [f"features {c + 1}" for c in range(clustering.count)]
    columns = [f"labels {c + 1}" for c in range(of_labels.count)]
    run.matrix("agreement", counts, rows, columns, corner="cluster")
    rand = float(adjusted_rand_score(first, second))
    mutual = float(adjusted_mutual_info_score(first, second))
    note = f"adjusted Rand index {rand:.2f}, adjusted mutual information {mutual:.2f} (1: the same, 0: by chance)"
    console.print(f"agreement with the clusters of the labels: {note}")
    picture = figures.matrix_heatmap(
        counts,
        rows,
        columns,
        label="faces",
        row_title="cluster by features",
        column_title="cluster by labels",
        title=sample.source,
        note=note,
    )
    run.figure("agreement", picture)
    return {"labels/adjusted_rand_index": rand, "labels/adjusted_mutual_information": mutual}
