"""The README is true: its commands exist, and what it shows of adding things works as printed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from celeba_lab.files import config_directory

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
# Fenced blocks whose first line names a file: what a reader would put there.
FILES = dict(re.findall(r"```(?:yaml|python)\n# (\S+\.(?:yaml|py))\n(.*?)```", README, flags=re.DOTALL))


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with everything in it that the README tells how to add."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in ("celeba_lab", "conf"):
        shutil.copytree(ROOT / folder, copy / folder)
    for name, content in FILES.items():
        (copy / name).write_text(content)
    with (copy / "celeba_lab/models/__init__.py").open("a") as file:
        file.write("from celeba_lab.models import tiny\n")
    return copy


def run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "celeba_lab", *arguments],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_each_addition_takes_less_than_fifteen_lines() -> None:
    assert {Path(name).name for name in FILES} == {"male_young.yaml", "count.py", "count.yaml", "tiny.py"}
    assert all(len(content.splitlines()) + 1 < 15 for content in FILES.values())


def test_the_new_experiment_and_the_new_task_appear_in_the_help(extended: Path) -> None:
    page = run(extended, "--help").stdout
    assert re.search(r"male_young +Two attributes at once on a ResNet-18", page)
    assert re.search(r"count +Count the faces that have an attribute", page)


def test_the_new_experiment_runs_on_the_new_backbone(extended: Path, tiny_celeba: Path) -> None:
    arguments = ["experiment=male_young", "model.backbone=tiny", "trainer=smoke", "data.batch_size=4"]
    result = run(extended, *arguments, "model.image_size=32", f"data.root={tiny_celeba}")
    assert result.returncode == 0, result.stderr
    assert "RANDOM weights: torchvision has none for tiny" in result.stdout
    assert list(extended.glob("outputs/male_young/*/tables/attributes_test.csv"))


def test_the_new_task_runs(extended: Path, tiny_celeba: Path) -> None:
    result = run(extended, "-m", "task=count", "task.attribute=Smiling", "score=count", f"data.root={tiny_celeba}")
    assert result.returncode == 0, result.stderr
    assert re.search(r"Smiling: \d+ of 48 faces", result.stdout)


def commands_of(page: str) -> list[list[str]]:
    """The overrides of each printed command; of a sweep the first value of each."""
    blocks = re.findall(r"```\n(.*?)```", page.replace("\\\n", " "), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("python -m celeba_lab ")]
    commands = []
    for line in lines:
        words = shlex.split(line, comments=True)[3:]
        if "-m" in words:
            words = [word.partition(",")[0] for word in words if word != "-m"]
        commands.append(words)
    return [words for words in commands if words != ["--help"]]


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_every_printed_command_can_be_composed(path: Path, compose) -> None:
    for overrides in commands_of(path.read_text()):
        compose(*overrides)


def test_printed_commands_are_found() -> None:
    assert ["experiment=smile", "model.lr=1e-4"] in commands_of(README)
    assert len(commands_of((ROOT / "docs" / "gan.md").read_text())) >= 9


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", README)) <= targets | {"builds", "installs"}


def test_every_experiment_task_and_recipe_is_in_the_tables() -> None:
    for group in ("experiment", "task", "recipe"):
        for path in (config_directory() / group).glob("*.yaml"):
            assert f"`{group}={path.stem}" in README, f"{path} is not in the README"


def test_make_help_has_a_line_for_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE):
        assert re.search(rf"^  make {target} +\S", listed, flags=re.MULTILINE), f"make {target} has no line"
