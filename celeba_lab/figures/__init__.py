"""Pictures of results: arrays in, a matplotlib ``Figure`` out.

No file, no configuration, no torch, and no pyplot: a figure is garbage-collected like any other object and needs no
display. Save one with ``figure.savefig(path)``; its resolution is part of the figure.

- :mod:`~celeba_lab.figures.style`: colours, fonts, titles, grids of panels.
- :mod:`~celeba_lab.figures.training`: what happened epoch by epoch.
- :mod:`~celeba_lab.figures.decisions`: what a threshold does to the probabilities.
- :mod:`~celeba_lab.figures.ranking`: how well the probabilities order the images, whatever the threshold.
- :mod:`~celeba_lab.figures.faces`: images with captions.
- :mod:`~celeba_lab.figures.matrices`: heat maps of a table.
- :mod:`~celeba_lab.figures.associations`: how attributes go together.
- :mod:`~celeba_lab.figures.clusters`: how many clusters there are and where they lie.
"""

from celeba_lab.figures.associations import attribute_scores, dendrogram, strongest_pairs, top_associations
from celeba_lab.figures.clusters import cluster_colour, cluster_scatter, number_of_clusters, pca_overview
from celeba_lab.figures.decisions import confusion_matrices, score_histograms
from celeba_lab.figures.faces import face_grid, image_caption, label_caption, prediction_caption
from celeba_lab.figures.matrices import cluster_profile, matrix_heatmap
from celeba_lab.figures.ranking import precision_recall_curves, roc_curves
from celeba_lab.figures.style import CORRECT, PALETTE, STYLE, WRONG
from celeba_lab.figures.training import learning_curves

__all__ = [
    "CORRECT",
    "PALETTE",
    "STYLE",
    "WRONG",
    "attribute_scores",
    "cluster_colour",
    "cluster_profile",
    "cluster_scatter",
    "confusion_matrices",
    "dendrogram",
    "face_grid",
    "image_caption",
    "label_caption",
    "learning_curves",
    "matrix_heatmap",
    "number_of_clusters",
    "pca_overview",
    "precision_recall_curves",
    "prediction_caption",
    "roc_curves",
    "score_histograms",
    "strongest_pairs",
    "top_associations",
]
