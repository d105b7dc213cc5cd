"""Pictures of results: arrays in, a matplotlib ``Figure`` out.

No file, no configuration, no torch, and no pyplot: a figure is garbage-collected like any other object and needs no
display. Save one with ``figure.savefig(path)``; its resolution is part of the figure.

- :mod:`~celeba_lab.figures.style`: colours, fonts, titles, grids of panels.
- :mod:`~celeba_lab.figures.training`: what happened epoch by epoch.
- :mod:`~celeba_lab.figures.generation`: the same of a GAN.
- :mod:`~celeba_lab.figures.decisions`: what a threshold does to the probabilities.
- :mod:`~celeba_lab.figures.ranking`: how well the probabilities order the images, whatever the threshold.
- :mod:`~celeba_lab.figures.calibration`: whether the probabilities mean what they say.
- :mod:`~celeba_lab.figures.groups`: how well a classifier does in groups of images.
- :mod:`~celeba_lab.figures.comparisons`: several numbers of the same attribute side by side.
- :mod:`~celeba_lab.figures.faces`: images with captions.
- :mod:`~celeba_lab.figures.matrices`: heat maps of a table.
- :mod:`~celeba_lab.figures.associations`: how attributes go together.
- :mod:`~celeba_lab.figures.runs`: several runs beside each other.
- :mod:`~celeba_lab.figures.clusters`: how many clusters there are and where they lie.
"""

from celeba_lab.figures.associations import attribute_scores, dendrogram, strongest_pairs, top_associations
from celeba_lab.figures.calibration import reliability_diagrams
from celeba_lab.figures.clusters import cluster_colour, cluster_scatter, number_of_clusters, pca_overview
from celeba_lab.figures.comparisons import paired_counts, score_comparison
from celeba_lab.figures.decisions import confusion_matrices, score_histograms
from celeba_lab.figures.faces import face_grid, image_caption, label_caption, prediction_caption
from celeba_lab.figures.generation import adversarial_curves, distance_curves
from celeba_lab.figures.groups import subgroup_accuracy
from celeba_lab.figures.matrices import cluster_profile, matrix_heatmap
from celeba_lab.figures.ranking import precision_recall_curves, roc_curves
from celeba_lab.figures.runs import MOST_CURVES, run_curves, run_differences
from celeba_lab.figures.style import CORRECT, PALETTE, STYLE, WRONG
from celeba_lab.figures.training import learning_curves

__all__ = [
    "CORRECT",
    "MOST_CURVES",
    "PALETTE",
    "STYLE",
    "WRONG",
    "adversarial_curves",
    "attribute_scores",
    "cluster_colour",
    "cluster_profile",
    "cluster_scatter",
    "confusion_matrices",
    "dendrogram",
    "distance_curves",
    "face_grid",
    "image_caption",
    "label_caption",
    "learning_curves",
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
    "top_associations",
]
