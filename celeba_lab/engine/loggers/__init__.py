"""Loggers for Lightning's Trainer that also store figures, tables, text and results.

Each class extends Lightning's logger with the same name. The configuration refers to a logger as
``celeba_lab.engine.loggers.NAME``.
"""

from celeba_lab.engine.loggers.csv_logger import CSVLogger
from celeba_lab.engine.loggers.mlflow_logger import MLFlowLogger
from celeba_lab.engine.loggers.tensorboard_logger import TensorBoardLogger
from celeba_lab.engine.loggers.wandb_logger import WandbLogger

__all__ = ["CSVLogger", "MLFlowLogger", "TensorBoardLogger", "WandbLogger"]
