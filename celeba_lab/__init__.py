"""Experiments on CelebA faces with PyTorch Lightning and Hydra."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> str:
    """Look up ``__version__`` only on request, because most commands do not need it."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("celeba-lab")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0+uninstalled"
