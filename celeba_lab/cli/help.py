"""The text of ``--help``, read from the YAML files themselves; imports nothing that takes time."""

import shutil
import textwrap
from pathlib import Path

from celeba_lab.files import config_directory

_ABOUT = (
    "celeba_lab runs experiments on CelebA faces: every setting is a file under conf/ or an override on the command"
    " line, and every run leaves one folder under outputs/ with its tables, figures, checkpoints and summary."
)

_OVERRIDES = [
    ("data.root=PATH", "the folder that holds CelebA (or set CELEBA_ROOT)"),
    ("data.limit=500", "at most so many images of each split: a quick try"),
    ("data.batch_size=64", "images per step"),
    ("model.attributes=[Smiling,Male]", "any of the forty"),
    ("model.backbone=resnet18", "any classifier of torchvision"),
    ("model.weights=PATH", "auto, a torchvision weights name, a file, or null for a random start"),
    ("trainer.max_epochs=10", "every argument of Lightning's Trainer by its own name"),
    ("seed=1 checkpoint=PATH", "checkpoint: the model of evaluate and predict; train continues it"),
]

_EXAMPLES = [
    "python -m celeba_lab experiment=smile data.root=data/celeba",
    "python -m celeba_lab -m experiment=smile model.lr=1e-4,3e-4,1e-3",
    "python -m celeba_lab task=predict checkpoint=outputs/smile/.../checkpoints/best.ckpt task.images='photos/*.jpg'",
]

_CHOICES = ["recipe", "loss", "trainer", "data", "model", "callbacks", "logger"]


def help_text() -> str:
    """Return the help page: what the tool does, experiments, tasks, overrides and examples."""
    conf = config_directory()
    parts = [
        textwrap.fill(_ABOUT, width=_width()),
        "Usage: python -m celeba_lab [-m] experiment=NAME [key=value ...]      (or: celeba-lab ...)",
        _section("Experiments (experiment=NAME)", _describe(conf / "experiment")),
        _section("Tasks (task=NAME)", _describe(conf / "task")),
        *(_section(f"{group.capitalize()} ({group}=NAME)", _describe(conf / group)) for group in _CHOICES),
        _section("Useful overrides", _OVERRIDES),
        "Examples:\n" + "\n".join(f"  {line}" for line in _EXAMPLES),
        "Every setting:  python -m celeba_lab experiment=smile --cfg job        Hydra's own flags:  --hydra-help",
    ]
    return "\n\n".join(parts)


def _describe(folder: Path) -> list[tuple[str, str]]:
    return [(path.stem, _first_comment(path)) for path in sorted(folder.glob("*.yaml"))]


def _first_comment(path: Path) -> str:
    """Return the first comment that is no directive of Hydra's: by convention the file in one line."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""


def _section(title: str, rows: list[tuple[str, str]]) -> str:
    margin = max((len(name) for name, _ in rows), default=0) + 4
    lines = [
        textwrap.fill(
            f"  {name.ljust(margin - 2)}{text}", width=_width(), subsequent_indent=" " * margin, break_on_hyphens=False
        )
        for name, text in rows
    ]
    return "\n".join([f"{title}:", *lines])


def _width() -> int:
    return min(110, max(60, shutil.get_terminal_size((100, 24)).columns))
