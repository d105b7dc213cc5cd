"""Prepares the process from which those that draw figures are forked: they inherit the modules and fonts it has loaded.

This module draws a small figure when it is imported, because matplotlib loads fonts when it needs them.
"""

import gc

from matplotlib.figure import Figure

from celeba_lab.runs.drawing import draw_png

_figure = Figure(figsize=(1, 1), layout="constrained")
_figure.subplots().set_title("faces")
draw_png(_figure)
gc.freeze()  # Neither this process, when it ends, nor the forked ones search for garbage among these objects.
