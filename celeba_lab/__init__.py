"""Experiments on CelebA faces with PyTorch Lightning and Hydra."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("celeba-lab")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+uninstalled"
