"""The settings and choices that are named in messages, docstrings and the comments in conf/ exist."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from celeba_lab.config import RENAMED

ROOT = Path(__file__).resolve().parents[1]
FILES = [*sorted((ROOT / "celeba_lab").rglob("*.py")), *sorted((ROOT / "conf").rglob("*.yaml"))]
FOLDERS = sorted({str(path.relative_to(ROOT).parent) for path in FILES})
VALUE = "\ufffd"  # stands for an inserted value


def texts_of(path: Path) -> Iterator[str]:
    """Yield the comments of a YAML file, or the strings of a Python file."""
    if path.suffix == ".yaml":
        yield from (line.partition("# ")[2] for line in path.read_text().splitlines())
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values)
            for part in node.values:
                # The parts have been joined above.
                part.value = "" if isinstance(part, ast.Constant) else part.value  # type: ignore[attr-defined]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_setting_named_in_a_string_or_comment_exists(
    folder: str, find_unknown_settings: Callable[[str], set[str]]
) -> None:
    for path in (path for path in FILES if path.parent == ROOT / folder):
        # Texts without these characters are keys, such as "data.images".
        texts = [text for text in texts_of(path) if " " in text or "=" in text]
        unknown = {name for text in texts for name in find_unknown_settings(text)}
        if path.name == "config.py":
            unknown -= RENAMED.keys()
        assert not unknown, path


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("Use task=export task.generator_weights=raw.", set()),
        ("Use task=export weights=raw.", {"weights=raw"}),
        ("Set width=8 or model.width=8.", set()),
        ("Set model.widht=8.", {"model.widht=8"}),
        ("Raise model.widht or model.lr.", {"model.widht"}),
        ("Use loss=gan/wasserstein or loss=bce.", set()),
        ("as loss=wasserstein does", {"loss=wasserstein"}),
        (f"checkpoint={VALUE} was trained with model.{VALUE}={VALUE}, not experiment={VALUE}", set()),
    ],
)
def test_unknown_settings_are_found(
    text: str, unknown: set[str], find_unknown_settings: Callable[[str], set[str]]
) -> None:
    assert find_unknown_settings(text) == unknown
