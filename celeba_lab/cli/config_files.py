"""Checks of configuration files and of what they compose, before Hydra reads or resolves them."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from celeba_lab.config import flatten
from celeba_lab.errors import UserError
from celeba_lab.files import MAX_YAML_BYTES, check_yaml, naming_file, read_file

_REMEDY = "Correct this configuration file."
_MOST = 10_000
"""Most replacements that may be needed to resolve one setting."""
_DEEPEST = 50
"""Most interpolations that may refer to each other in a chain."""


def check_config_file(folder: str, name: str) -> None:
    """Check that a configuration file is in its own folder, and can be read with little time and memory.

    A file of somebody else could otherwise include any other YAML file of the user, whose content would be stored in
    the run folder.

    Args:
        folder: Folder of configuration files.
        name: Path to the file within this folder, as in a defaults list.

    Raises:
        UserError: The path or a link leads out of the folder, or the file is not a YAML file of reasonable size.
    """
    path = Path(folder, name if name.endswith(".yaml") else f"{name}.yaml")
    if not path.exists():
        return
    if not path.resolve().is_relative_to(Path(folder).resolve()):
        raise UserError(f"{name} leads out of {folder}. Configuration files must be in this folder.")
    state = path.stat()
    _check_content(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1000)  # Hydra reads each file several times.
def _check_content(path: Path, modified: int, size: int) -> None:
    with naming_file(path, _REMEDY):
        text = read_file(path, MAX_YAML_BYTES).decode()
    try:
        check_yaml(text, path, _REMEDY)
    except UserError as error:
        if not isinstance(error.__cause__, YAMLError):  # Hydra names the line of an error in YAML.
            raise


def check_interpolations(cfg: DictConfig) -> None:
    """Check that interpolations such as ``${name}`` do not multiply each other, so that they can be resolved in time.

    Args:
        cfg: A configuration whose interpolations have not been resolved.

    Raises:
        UserError: Too many replacements are needed to resolve a setting.
    """
    content: Any = OmegaConf.to_container(cfg, resolve=False)
    texts = {key: value for key, value in flatten(content, "").items() if isinstance(value, str) and "${" in value}
    names: dict[str, list[str]] = {}
    for key in texts:
        names.setdefault(key.rpartition(".")[2], []).append(key)
    known: dict[str, tuple[int, int]] = {}

    def measure(key: str, above: tuple[str, ...]) -> tuple[int, int]:
        """Return the number of replacements that resolve a setting, and how many of them depend on each other."""
        if key in above or len(above) > _DEEPEST:
            return 1, 1  # OmegaConf reports a cycle.
        if key not in known:
            words = re.findall(r"[\w.]+", texts[key].partition("${")[2])
            count, depth = 1, 1
            for word in words:
                # A relative interpolation or a resolver can refer to any setting with this name.
                found = [measure(name, (*above, key)) for name in names.get(word.rpartition(".")[2], ())]
                count += max((inner for inner, _ in found), default=0)
                depth = max([depth, *(1 + inner for _, inner in found)])
            known[key] = count, depth
        return known[key]

    for key in texts:
        count, depth = measure(key, ())
        if count > _MOST:
            raise UserError(f"{key} contains interpolations that multiply each other. Simplify the settings.")
        if depth > _DEEPEST:
            raise UserError(f"{key} contains a chain of more than {_DEEPEST} interpolations. Simplify the settings.")
