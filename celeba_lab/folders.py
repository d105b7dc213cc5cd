"""Where the package finds its own files; imports nothing that takes time."""

from pathlib import Path


def config_directory() -> Path:
    """Return the absolute path of ``conf/``: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"
