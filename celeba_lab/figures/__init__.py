"""Plotting functions that take arrays of results and return a Matplotlib ``Figure``.

This package does not read files or the configuration, and it does not depend on torch or pyplot. Figures are
garbage-collected like any other object, and drawing them does not require a display. Save a figure with
``figure.savefig(path)``. Each figure already has a suitable resolution.

- :mod:`~celeba_lab.figures.style`: colours, fonts, titles and grids of panels.
- :mod:`~celeba_lab.figures.numbers`: number formatting.
- :mod:`~celeba_lab.figures.rows`: row labels and value columns.
- :mod:`~celeba_lab.figures.bars`: bars with text at their ends.
- :mod:`~celeba_lab.figures.training`: learning curves of a classifier.
- :mod:`~celeba_lab.figures.generation`: training curves of a GAN.
- :mod:`~celeba_lab.figures.predictions`: validation of label and prediction arrays.
- :mod:`~celeba_lab.figures.decisions`: confusion matrices and probability histograms.
- :mod:`~celeba_lab.figures.ranking`: ROC and precision-recall curves.
- :mod:`~celeba_lab.figures.calibration`: reliability diagrams.
- :mod:`~celeba_lab.figures.groups`: accuracy by subgroup.
- :mod:`~celeba_lab.figures.comparisons`: several values per attribute.
- :mod:`~celeba_lab.figures.faces`: grids of faces with captions.
- :mod:`~celeba_lab.figures.tiles`: faces tiled into a single image.
- :mod:`~celeba_lab.figures.matrices`: heat maps.
- :mod:`~celeba_lab.figures.associations`: associations between attributes.
- :mod:`~celeba_lab.figures.runs`: comparisons between runs.
- :mod:`~celeba_lab.figures.benchmarks`: results of a benchmark.
- :mod:`~celeba_lab.figures.clusters`: cluster maps and principal components.
"""

from celeba_lab.figures.associations import attribute_scores, dendrogram, strongest_pairs, top_associations
from celeba_lab.figures.benchmarks import benchmark_bars
from celeba_lab.figures.calibration import reliability_diagrams
from celeba_lab.figures.clusters import cluster_color, cluster_scatter, number_of_clusters, pca_overview
from celeba_lab.figures.comparisons import paired_counts, score_comparison
from celeba_lab.figures.decisions import confusion_matrices, score_histograms
from celeba_lab.figures.faces import face_grid, image_caption, prediction_caption
from celeba_lab.figures.generation import adversarial_curves, distance_curves
from celeba_lab.figures.groups import subgroup_accuracy
from celeba_lab.figures.matrices import cluster_profile, matrix_heatmap
from celeba_lab.figures.ranking import precision_recall_curves, roc_curves
from celeba_lab.figures.runs import MOST_CURVES, run_curves, run_differences
from celeba_lab.figures.style import CORRECT, PALETTE, STYLE, WRONG
from celeba_lab.figures.sweeps import sweep_scores
from celeba_lab.figures.training import learning_curves, learning_rate_search

__all__ = [
    "CORRECT",
    "MOST_CURVES",
    "PALETTE",
    "STYLE",
    "WRONG",
    "adversarial_curves",
    "attribute_scores",
    "benchmark_bars",
    "cluster_color",
    "cluster_profile",
    "cluster_scatter",
    "confusion_matrices",
    "dendrogram",
    "distance_curves",
    "face_grid",
    "image_caption",
    "learning_curves",
    "learning_rate_search",
    "matrix_heatmap",
    "number_of_clusters",
    "paired_counts",
    "pca_overview",
    "precision_recall_curves",
    "prediction_caption",
    "reliability_diagrams",
    "roc_curves",
    "run_curves",
    "run_differences",
    "score_comparison",
    "score_histograms",
    "strongest_pairs",
    "subgroup_accuracy",
    "sweep_scores",
    "top_associations",
]
