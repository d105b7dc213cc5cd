"""Check that a configuration file does not make callbacks, loggers or the Trainer write outside the run folder.

A borrowed experiment could otherwise overwrite or delete any file of the user. A path outside the run folder must be
given on the command line. Modules that the user trusts are not checked.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from celeba_lab.cli.targets import is_trusted
from celeba_lab.config import children_of
from celeba_lab.errors import SettingError

_GROUPS = ("callbacks", "logger", "trainer")
# Arguments of callbacks, loggers and profilers that are paths. A relative path would lead to the current folder.
_PATHS = ("dirpath", "path", "folder", "dir", "save_dir", "root_dir", "log_dir", "output_dir", "default_root_dir")

_given: list[str] = []


@contextmanager
def given_on_command_line(arguments: Iterable[str]) -> Iterator[None]:
    """Within this block, the settings among the arguments may lead anywhere.

    Args:
        arguments: Command-line arguments, without those that are stored in the folder of a resumed run.
    """
    before = list(_given)
    _given[:] = [text.lstrip("+").partition("=")[0] for text in arguments if "=" in text]
    try:
        yield
    finally:
        _given[:] = before


def check_output_paths(cfg: DictConfig) -> None:
    """Check all paths in the settings of callbacks, loggers and the Trainer.

    Args:
        cfg: The configuration, without interpolations.

    Raises:
        SettingError: A path leads out of the run folder and was not given on the command line.
    """
    folder = Path(HydraConfig.get().runtime.output_dir).resolve()
    content: Any = OmegaConf.to_container(cfg, resolve=False)
    for group in _GROUPS:
        for path, value in _untrusted_texts(content.get(group), group):
            if any(path == key or path.startswith(f"{key}.") for key in _given):
                continue
            is_path = path.rpartition(".")[2] in _PATHS and value
            if _leads_away(value, folder) or (is_path and not Path(value).resolve().is_relative_to(folder)):
                rule = "leads out of the run folder, which a configuration file must not do"
                hint = f"If you want this, add it to the command: {path}={value}"
                raise SettingError(path, value, rule, hint, is_absolute=True)


def _untrusted_texts(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield all texts in nested settings with their paths, except in the settings of trusted modules."""
    if isinstance(node, str):
        yield path, node
    elif not (isinstance(node, dict) and is_trusted(str(node.get("_target_")))):
        for where, value in children_of(node, path):
            yield from _untrusted_texts(value, where)


def _leads_away(text: str, folder: Path) -> bool:
    """Return whether a text is an address, or a path that leads out of a folder wherever it begins."""
    path = PurePath(text)
    is_away = text.startswith("~") or "://" in text or ".." in path.parts
    return is_away or (path.is_absolute() and not Path(text).resolve().is_relative_to(folder))
