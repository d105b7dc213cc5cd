"""Measure the time and memory needed to write a classifier report on 200,000 images and forty attributes.

The labels are CelebA's. The probabilities are random and classify 90% of the labels correctly, and the images of the
mistakes are noise. Inference time is not included.

    python tests/benchmarks/report_size.py --data ../shared/celeba
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from scipy.special import expit

from celeba_lab.analyses.predictions import Predictions
from celeba_lab.config import build, register_schema
from celeba_lab.data.annotations import SPLITS
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.files import config_directory
from celeba_lab.reports.classifier.report import ClassifierReport
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.runs.run import Run


class Noise(CelebADataModule):
    """CelebA's labels with random noise as images."""

    has_images = True

    def raw_images(self, indices: np.ndarray, size: int | None = None) -> list[np.ndarray]:
        return list(np.random.default_rng(0).integers(0, 256, (len(indices), 218, 178, 3), dtype=np.uint8))


def guess(data: CelebADataModule, split: str, rows: np.ndarray) -> Predictions:
    labels = data.annotations.labels[rows].astype(np.uint8)
    noise = np.random.default_rng(0).normal(size=labels.shape)
    probabilities = expit(3 * (1.3 * (2.0 * labels - 1) + noise)).astype(np.float32)
    return Predictions(split, data.image_ids(rows), rows, labels, probabilities, ATTRIBUTES, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with CelebA's annotations")
    parser.add_argument("--images", type=int, default=200_000)
    arguments = parser.parse_args()
    register_schema()
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        report: ClassifierReport = build(compose("config", ["experiment=attributes"]).task.report)
    data = Noise(str(arguments.data), attributes=list(ATTRIBUTES))
    rows = np.arange(len(data.annotations))[: arguments.images]
    predictions, validation = guess(data, "test", rows), guess(data, "val", data.split_indices("val"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), "evaluate", {"name": "made-up predictions", "seed": 0})
        start = time.perf_counter()
        report.write(EvaluationResult(run, data, predictions, validation), {})
        seconds = time.perf_counter() - start
        sizes = {path.name: path.stat().st_size for path in run.path.rglob("*") if path.is_file()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"largest files": dict(sorted(sizes.items(), key=lambda item: -item[1])[:5])}, indent=2))
    print(
        f"{len(rows):,} x {len(ATTRIBUTES)} predictions of {' + '.join(SPLITS)}: {seconds:.1f} s, "
        f"peak {peak:,.0f} MB (before the report {before:,.0f} MB), page {sizes['report.html'] / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
