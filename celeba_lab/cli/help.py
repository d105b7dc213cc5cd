"""The ``--help`` page, generated from the YAML files without slow imports."""

import shutil
import textwrap
from pathlib import Path

from celeba_lab.cli.choices import list_choices
from celeba_lab.files import config_directory

_ABOUT = (
    "celeba_lab runs experiments on CelebA faces. Every setting is in a file under conf/ and can be changed on the"
    " command line. Every run writes its tables, figures, checkpoints and summary to a folder under outputs/."
)

_OVERRIDES = [
    ("data.root=PATH", "Folder that contains CelebA (or set CELEBA_ROOT)"),
    ("data.limit=500", "Maximum number of images per split, for a quick test"),
    ("data.batch_size=64", "Number of images per training step"),
    ("model.attributes=[Smiling,Male]", "Any of the forty attributes, or all"),
    ("model.backbone=resnet18", "Any torchvision classifier"),
    ("model.weights=PATH", "auto, the name of torchvision weights, a file, or null for random weights"),
    ("trainer.max_epochs=10", "Any argument of Lightning's Trainer"),
    ("checkpoint=PATH", "Checkpoint to evaluate or to predict with"),
    ("seed=1", "Seed for all random numbers"),
    ("callbacks=[default,early_stopping]", "The usual callbacks and one more"),
    ("resume=FOLDER", "Go on with a run or a sweep that was stopped or killed"),
    ("repeat=FOLDER", "Run a finished run again, and compare the results"),
    ("score=val/loss", "Metric that ranks the runs of a sweep (with direction=minimize)"),
    ("fail_fast=true", "Skip the other runs of a sweep after one has failed"),
]

_EXAMPLES = [
    "python -m celeba_lab experiment=smile data.root=data/celeba",
    "python -m celeba_lab -m experiment=smile model.lr=1e-4,3e-4,1e-3",
    "python -m celeba_lab search=smile hydra.sweeper.n_trials=10",
    "python -m celeba_lab task=predict checkpoint=PATH task.images='photos/*.jpg'",
    "python -m celeba_lab experiment=smile --cfg job     (prints every setting)",
    "python -m celeba_lab --hydra-help                   (lists Hydra's flags)",
]

_GROUPS = ["recipe", "loss", "trainer", "data", "model", "callbacks", "profiler", "debug", "logger"]


def help_text() -> str:
    """Return the help page, which lists experiments, tasks, other choices, useful overrides and examples."""
    parts = [
        textwrap.fill(_ABOUT, width=_width()),
        "Usage: python -m celeba_lab [-m] experiment=NAME [key=value ...]\n   or: celeba-lab ...",
        _section("Experiments (experiment=NAME)", _describe("experiment")),
        _section("Tasks (task=NAME)", _describe("task")),
        _section("Searches with Optuna (search=NAME)", _describe("search")),
        *(_section(f"{group.capitalize()} ({group}=NAME)", _describe(group)) for group in _GROUPS),
        _section("Useful overrides", _OVERRIDES),
        "Examples:\n" + "\n".join(f"  {line}" for line in _EXAMPLES),
    ]
    return "\n\n".join(parts)


def _describe(group: str) -> list[tuple[str, str]]:
    folder = config_directory() / group
    return [(name, _first_comment(folder / f"{name}.yaml")) for name in list_choices(group)]


def describe_option(group: str, name: str) -> str:
    """Return the description of a choice, such as ``recipe=default``, as shown on the help page."""
    return _first_comment(config_directory() / group / f"{name}.yaml")


def _first_comment(path: Path) -> str:
    """Return the first comment that is not a Hydra directive. By convention, this comment describes the file."""
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
