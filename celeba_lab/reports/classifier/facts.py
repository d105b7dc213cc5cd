"""The facts at the top of a classifier's report."""

import torch

from celeba_lab import __version__
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.runs.environment import device_name, git_commit
from celeba_lab.runs.run import Run


def facts_of_run(run: Run, datamodule: CelebADataModule, checkpoint: str, device: torch.device) -> dict[str, str]:
    """Return the facts shown at the top of a report, as a mapping from names to strings.

    Args:
        run: Run to describe.
        datamodule: Data module that the run uses.
        checkpoint: Description of the reported checkpoint, usually its path.
        device: Device on which the model ran.
    """
    return {
        "experiment": run.experiment,
        "data": f"{datamodule.name} in {datamodule.root}: {datamodule.describe_splits()}",
        "checkpoint": checkpoint,
        "seed": str(run.seed),
        "device": device_name(device),
        "celeba_lab": " at ".join(filter(None, [__version__, git_commit()])),
        "settings": "config.yaml, in the same folder as this page",
    }
