"""Figures do not use pyplot or change settings of matplotlib, and importing them is fast."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd

from celeba_lab import figures


def test_figures_do_not_use_pyplot_or_change_settings(random_predictions, names_of):
    before = dict(mpl.rcParams)
    labels, probabilities = random_predictions(50, 2)
    figures.confusion_matrices(labels, probabilities, names_of(2), title="title")
    figures.roc_curves(labels, probabilities, names_of(2), areas=[0.5, 0.6], title="title")
    figures.score_histograms(labels, probabilities, names_of(2), title="title")
    figures.learning_curves(pd.DataFrame({"epoch": [0], "val/loss": [1.0]}), title="title", best_epoch=0)
    figures.face_grid([np.zeros((8, 8, 3), dtype=np.uint8)], ["caption"], title="title")
    assert dict(mpl.rcParams) == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def test_importing_figures_imports_neither_pyplot_nor_torch():
    command = "import sys, celeba_lab.figures; print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
