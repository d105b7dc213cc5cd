"""Check optimizer and backbone names against source code, because importing torch takes seconds."""

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig

from celeba_lab.errors import SettingError, did_you_mean

_PACKAGE = Path(__file__).parents[1]
_OPTIMIZER = re.compile(r"^from torch\.optim\.\w+ import ([A-Z]\w+) as \1$", re.MULTILINE)
_BACKBONE = re.compile(r"^@register_(?:model|backbone)\b.*\n(?:(?!def ).*\n)*def (\w+)", re.MULTILINE)


def check_names(cfg: DictConfig) -> None:
    """Check the names of the model's optimizer and backbone.

    Only a name that is similar to a known one is rejected here, because code that has not been imported yet may
    register other names. All other unknown names are rejected by the constructor.

    Raises:
        SettingError: A name is misspelt.
    """
    if cfg.model is None:
        return
    kinds = (("optimizer", list_optimizers, "an optimizer in torch.optim"), ("backbone", list_backbones, "a backbone"))
    for key, list_known, what in kinds:
        name = cfg.model.get(key)
        if not isinstance(name, str) or name in (known := list_known()):
            continue
        if suggestion := did_you_mean(name, known):
            raise SettingError(f"model.{key}", name, f"is not {what}", suggestion, is_absolute=True)


def list_optimizers() -> list[str]:
    """Return the names of the optimizers in ``torch.optim``."""
    return sorted(_find(_OPTIMIZER, [_folder("torch") / "optim" / "__init__.py"]) - {"Optimizer"})


def list_backbones() -> list[str]:
    """Return the names of torchvision's image classifiers and of the backbones that this package registers."""
    return sorted(_find(_BACKBONE, [*_folder("torchvision").glob("models/*.py"), *_PACKAGE.glob("models/**/*.py")]))


def _folder(package: str) -> Path:
    spec = find_spec(package)  # A top-level package is found without being imported.
    return Path(spec.origin).parent if spec and spec.origin else Path()


def _find(pattern: re.Pattern[str], paths: Iterable[Path]) -> set[str]:
    return {name for path in paths if path.is_file() for name in pattern.findall(path.read_text(encoding="utf-8"))}
