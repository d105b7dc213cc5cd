"""Prepare the process from which those that draw figures are forked: they inherit its modules and fonts."""

import gc
import sys

from matplotlib.figure import Figure

from celeba_lab.runs.drawing import draw_png


def prepare() -> None:
    """Draw a small figure, because matplotlib loads fonts when it needs them, and freeze all objects.

    Neither this process, when it ends, nor the forked ones search for garbage among these objects.
    """
    figure = Figure(figsize=(1, 1), layout="constrained")
    figure.subplots().set_title("faces")
    draw_png(figure)
    gc.freeze()


# The process imports this module, but cannot be told to call a function.
if any("multiprocessing.forkserver" in argument for argument in sys.orig_argv):
    prepare()
