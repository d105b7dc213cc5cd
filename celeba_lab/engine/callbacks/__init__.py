"""Callbacks for Lightning's Trainer.

The configuration refers to a callback as ``celeba_lab.engine.callbacks.NAME``.
"""

from celeba_lab.engine.callbacks.averaging import ExponentialMovingAverage
from celeba_lab.engine.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from celeba_lab.engine.callbacks.divergence import TerminateOnNaN
from celeba_lab.engine.callbacks.events import EventPosition
from celeba_lab.engine.callbacks.health import Health
from celeba_lab.engine.callbacks.history import EpochLog
from celeba_lab.engine.callbacks.images import SampleGrid, TrainingImageGrid
from celeba_lab.engine.callbacks.progress import ModelLine, ProgressLine
from celeba_lab.engine.callbacks.random_state import RandomState
from celeba_lab.engine.callbacks.timing import ImageRate, Stopwatch

__all__ = [
    "BestCheckpoint",
    "EpochLog",
    "EventPosition",
    "ExponentialMovingAverage",
    "Health",
    "ImageRate",
    "LastCheckpoint",
    "ModelLine",
    "ProgressLine",
    "RandomState",
    "SampleGrid",
    "Stopwatch",
    "TerminateOnNaN",
    "TrainingImageGrid",
]
