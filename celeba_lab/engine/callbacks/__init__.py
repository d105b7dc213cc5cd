"""Callbacks for Lightning's Trainer.

The configuration refers to a callback as ``celeba_lab.engine.callbacks.NAME``.
"""

from celeba_lab.engine.callbacks.accumulation import GradientAccumulationScheduler
from celeba_lab.engine.callbacks.averaging import ExponentialMovingAverage, StochasticWeightAveraging
from celeba_lab.engine.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from celeba_lab.engine.callbacks.divergence import TerminateOnNaN
from celeba_lab.engine.callbacks.early_stopping import EarlyStopping
from celeba_lab.engine.callbacks.events import EventPosition
from celeba_lab.engine.callbacks.finders import BatchSizeFinder, LearningRateFinder
from celeba_lab.engine.callbacks.health import Health
from celeba_lab.engine.callbacks.history import EpochLog
from celeba_lab.engine.callbacks.images import SampleGrid, TrainingImageGrid
from celeba_lab.engine.callbacks.progress import ModelLine, ProgressLine
from celeba_lab.engine.callbacks.pruning import Pruning
from celeba_lab.engine.callbacks.random_state import RandomState
from celeba_lab.engine.callbacks.timing import ImageRate, Stopwatch, ThroughputMonitor

__all__ = [
    "BatchSizeFinder",
    "BestCheckpoint",
    "EarlyStopping",
    "EpochLog",
    "EventPosition",
    "ExponentialMovingAverage",
    "GradientAccumulationScheduler",
    "Health",
    "ImageRate",
    "LastCheckpoint",
    "LearningRateFinder",
    "ModelLine",
    "ProgressLine",
    "Pruning",
    "RandomState",
    "SampleGrid",
    "StochasticWeightAveraging",
    "Stopwatch",
    "TerminateOnNaN",
    "ThroughputMonitor",
    "TrainingImageGrid",
]
