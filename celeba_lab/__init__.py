"""Experiments on CelebA faces with PyTorch Lightning and Hydra."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for, which most commands never do."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("celeba-lab")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0+uninstalled"
