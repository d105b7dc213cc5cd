"""The commands, settings and links on the documentation pages exist, and their code examples work."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

import celeba_lab
from celeba_lab.files import config_directory

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# The first line of these code blocks names the file that a reader would create or extend.
BLOCK = r"```(?:yaml|python)\n# {}(\S+\.(?:yaml|py))\n(.*?)```"
FILES = dict(re.findall(BLOCK.format(""), README + CONTRIBUTING, flags=re.DOTALL))
ENDS = dict(re.findall(BLOCK.format("at the end of "), CONTRIBUTING, flags=re.DOTALL))

each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all example files from the pages."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in ("celeba_lab", "conf"):
        shutil.copytree(ROOT / folder, copy / folder)
    for name, content in FILES.items():
        (copy / name).write_text(content)
    for name, content in ENDS.items():
        with (copy / name).open("a") as file:
            file.write(content)
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


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_each_example_file_has_fewer_than_fifteen_lines() -> None:
    added = {Path(name).name for name in FILES}
    assert added == {"male_young.yaml", "count.py", "count.yaml", "tiny.py", "hinge.yaml"}
    assert {Path(name).name for name in ENDS} == {"__init__.py", "losses.py"}
    assert all(len(content.splitlines()) + 1 < 15 for content in [*FILES.values(), *ENDS.values()])


def test_the_example_experiment_task_and_loss_appear_in_the_help(extended: Path) -> None:
    page = run(extended, "--help").stdout
    assert re.search(r"male_young +Two attributes at once on a ResNet-18", page)
    assert re.search(r"count +Count the faces that have an attribute", page)
    assert re.search(r"hinge +Hinge loss, which ignores examples outside the margin", page)


@pytest.mark.slow
def test_the_example_experiment_runs_with_the_example_backbone_and_loss(extended: Path, tiny_celeba: Path) -> None:
    arguments = ["experiment=male_young", "model.backbone=tiny", "loss=hinge", "trainer=smoke", "data.batch_size=4"]
    arguments += ["task.report.tune=null", "task.report.estimator=null", "task.report.page=false"]
    result = run(extended, *arguments, "model.image_size=32", f"data.root={tiny_celeba}")
    assert result.returncode == 0, result.stderr
    assert "RANDOM weights: torchvision has no weights for tiny" in result.stdout
    [table] = extended.glob("outputs/male_young/*/tables/attributes_test.csv")
    config = OmegaConf.load(table.parents[1] / "config.yaml")
    assert config.model.loss == {"name": "hinge", "margin": 1.0}


@pytest.mark.slow
def test_the_example_task_runs(extended: Path, tiny_celeba: Path) -> None:
    result = run(extended, "-m", "task=count", "task.attribute=Smiling", "score=count", f"data.root={tiny_celeba}")
    assert result.returncode == 0, result.stderr
    [summary] = extended.glob("outputs/count/sweep_*/*/summary.json")
    assert 0 < json.loads(summary.read_text())["metrics"]["count"] < 48


def commands_of(page: str) -> list[list[str]]:
    """Return the overrides of each command on a page, with the first value of each override of a sweep."""
    blocks = re.findall(r"```\n(.*?)```", page.replace("\\\n", " "), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("python -m celeba_lab ")]
    lines = [line for line in lines if "experiment=NAME" not in line]
    commands = []
    for line in lines:
        words = shlex.split(line, comments=True)[3:]
        if "-m" in words:
            words = [re.sub(r"=\S*interval\(([^,]+),.*", r"=\1", word) for word in words if word != "-m"]
            words = [word.partition(",")[0] for word in words]
        commands.append(words)
    return [words for words in commands if words != ["--help"]]


@each_page
def test_every_command_on_a_page_can_be_composed(path: Path, compose: Callable[..., DictConfig]) -> None:
    for overrides in commands_of(path.read_text()):
        compose(*overrides)


def test_commands_are_found_on_the_pages() -> None:
    assert ["experiment=smile", "model.lr=1e-4"] in commands_of(README)
    assert len(commands_of((ROOT / "docs" / "gan.md").read_text())) >= 9


@each_page
def test_every_setting_named_on_a_page_exists(path: Path, find_unknown_settings: Callable[[str], set[str]]) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    named = re.findall(r"`~?([^`\n]+)`", text)
    unknown = {name for code in named for name in find_unknown_settings(code)}
    unknown -= {f"experiment={Path(name).stem}" for name in FILES}
    assert not unknown, f"{path.name} names settings that do not exist"


def test_every_make_target_named_on_a_page_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in (README, CONTRIBUTING):
        # The first group matches inline code, the second a line of a code block.
        named = {"".join(found) for found in re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", page, flags=re.MULTILINE)}
        assert named, "no make target was found on the page"
        assert named <= targets


def names_in(group: str) -> list[str]:
    folder = config_directory() / group
    return [str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml")]


@pytest.mark.parametrize(
    ("page", "group"),
    [
        ("README.md", "experiment"),
        ("docs/usage.md", "experiment"),
        ("docs/usage.md", "recipe"),
        ("docs/usage.md", "trainer"),
        ("docs/data.md", "data"),
        ("docs/sweeps.md", "search"),
    ],
)
def test_the_tables_list_every_choice(page: str, group: str) -> None:
    text = (ROOT / page).read_text()
    missing = [name for name in names_in(group) if f"`{group}={name}" not in text and name != "files"]
    assert not missing, f"{page} does not mention {group}={missing}"


@pytest.mark.parametrize("page", ["README.md", "docs/usage.md"])
def test_the_tables_list_every_task(page: str) -> None:
    tasks = [path.stem for path in (config_directory() / "task").glob("*.yaml")]
    missing = [name for name in tasks if f"`task={name}" not in (ROOT / page).read_text()]
    assert not missing, f"{page} does not mention task={missing}"


def test_the_tables_list_every_loss() -> None:
    text = (ROOT / "docs/usage.md").read_text() + (ROOT / "docs/gan.md").read_text()
    missing = [name for name in names_in("loss") if f"`loss={name}`" not in text]
    assert not missing


@each_page
def test_every_relative_link_leads_to_a_file(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" not in target:
            file = path.parent / target.partition("#")[0]
            assert file.exists(), f"{path.name} links to {target}"


@each_page
def test_the_imports_in_python_examples_work(path: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL):
        for node in ast.parse(block).body:
            if isinstance(node, ast.Import | ast.ImportFrom) and "tiny" not in ast.unparse(node):
                exec(ast.unparse(node), {})


def test_the_citation_has_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == celeba_lab.__version__


def test_make_help_has_a_line_for_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE):
        assert re.search(rf"^  make {target} +\S", listed, flags=re.MULTILINE), f"make help does not list make {target}"
