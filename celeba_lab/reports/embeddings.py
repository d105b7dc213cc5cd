"""The report for ``task=embeddings``: features, data for TensorBoard's projector, and agreement with the labels."""

import numpy as np
import torch
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from celeba_lab import figures
from celeba_lab.analyses.clustering import Clustering, contingency
from celeba_lab.analyses.sampling import LabelSample
from celeba_lab.console import Progress, console
from celeba_lab.files import write_atomically
from celeba_lab.reports.clusters import ClusteringResult
from celeba_lab.runs.folder import RunFolder

_SPRITE = 48  # Side length of a face in TensorBoard's projector, in pixels.
MOST_SPRITES = (8192 // _SPRITE) ** 2  # The sprite image can be at most 8,192 x 8,192 pixels.


def write_features(run: RunFolder, sample: LabelSample, features: np.ndarray) -> None:
    """Write the features to ``features.npz``. A text file would be about ten times larger.

    Args:
        run: Run folder to which the file is written.
        sample: Sample that contains one face for each row of ``features``.
        features: Features of the N faces, float32 (N, D).
    """
    ids = np.array(sample.data.image_ids(sample.rows))
    with Progress("writing the features"):
        write_atomically(run.path / "features.npz", lambda file: np.savez(file, features=features, image_id=ids))


def write_projector(result: ClusteringResult, features: np.ndarray, most: int) -> None:
    """Send features, faces, clusters and labels to TensorBoard's projector if the run logs to TensorBoard.

    Args:
        result: Clusters computed from the features.
        features: Features of the N faces, float32 (N, D).
        most: Maximum number of randomly chosen faces to send. If 0, nothing is sent.
    """
    writer, sample = result.run.writer, result.sample
    if writer is None or not most:
        return
    chosen = np.sort(np.random.default_rng(result.seed).permutation(len(features))[:most])
    numbers = (result.clustering.clusters[chosen] + 1).tolist()
    ids = sample.data.image_ids(sample.rows[chosen])
    metadata = [
        [name, cluster, *row] for name, cluster, row in zip(ids, numbers, sample.labels[chosen].tolist(), strict=True)
    ]
    with Progress(f"sending {len(chosen):,} faces to the projector"):
        faces = np.stack(sample.data.raw_images(sample.rows[chosen], size=_SPRITE))  # (N, H, W, 3)
        writer.add_embedding(
            features[chosen],
            metadata=metadata,
            metadata_header=["image_id", "cluster", *sample.attributes],
            label_img=torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 255,
            tag="features",
        )


def report_agreement(result: ClusteringResult, of_labels: Clustering) -> dict[str, float]:
    """Write and print the agreement between feature clusters and label clusters.

    Args:
        result: Clusters computed from the features.
        of_labels: Clusters computed from the labels of the same faces.

    Returns:
        ``labels/adjusted_rand_index`` and ``labels/adjusted_mutual_information``, computed over the faces that belong
        to a cluster in both clusterings.
    """
    run, clustering = result.run, result.clustering
    both = np.intersect1d(clustering.members, of_labels.members)
    first, second = clustering.clusters[both], of_labels.clusters[both]
    counts = contingency(first, second, (clustering.count, of_labels.count))
    rows = [f"features {c + 1}" for c in range(clustering.count)]
    columns = [f"labels {c + 1}" for c in range(of_labels.count)]
    run.matrix("agreement", counts, rows, columns, corner="cluster")
    rand = float(adjusted_rand_score(first, second))
    mutual = float(adjusted_mutual_info_score(first, second))
    note = f"adjusted Rand index {rand:.2f}, adjusted mutual information {mutual:.2f} (1: identical, 0: chance level)"
    console.print(f"agreement with the label clusters: {note}")
    figure = figures.matrix_heatmap(
        counts,
        rows,
        columns,
        label="faces",
        row_title="cluster by features",
        column_title="cluster by labels",
        title=result.title,
        note=note,
    )
    run.figure("agreement", figure)
    return {"labels/adjusted_rand_index": rand, "labels/adjusted_mutual_information": mutual}
