"""Pictures of results: arrays in, a matplotlib ``Figure`` out.

No file, no configuration, no torch, and no pyplot: a figure is garbage-collected like any other object and needs no
display. Save one with ``figure.savefig(path)``; its resolution is part of the figure.

- :mod:`~celeba_lab.figures.style`: colours, fonts, titles, grids of panels.
- :mod:`~celeba_lab.figures.training`: what happened epoch by epoch.
- :mod:`~celeba_lab.figures.decisions`: what a threshold does to the probabilities.
- :mod:`~celeba_lab.figures.ranking`: how well the probabilities order the images, whatever the threshold.
- :mod:`~celeba_lab.figures.faces`: images with captions.
"""

from celeba_lab.figures.decisions import confusion_matrices, score_histograms
from celeba_lab.figures.faces import face_grid, image_caption, label_caption, prediction_caption
from celeba_lab.figures.ranking import precision_recall_curves, roc_curves
from celeba_lab.figures.style import CORRECT, PALETTE, STYLE, WRONG
from celeba_lab.figures.training import learning_curves

__all__ = [
    "CORRECT",
    "PALETTE",
    "STYLE",
    "WRONG",
    "confusion_matrices",
    "face_grid",
    "image_caption",
    "label_caption",
    "learning_curves",
    "precision_recall_curves",
    "prediction_caption",
    "roc_curves",
    "score_histograms",
]
