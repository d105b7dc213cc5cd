"""The wheel is complete and works from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    [path] = folder.glob("*.whl")
    return path


def test_the_wheel_contains_the_code_and_all_settings(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, prefix in (("celeba_lab", ""), ("conf", "celeba_lab/")):
        files = [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.yaml"), *(ROOT / folder).rglob("*.csv")]
        assert files
        assert {prefix + str(path.relative_to(ROOT)) for path in files} <= names
    assert "celeba_lab/py.typed" in names, "without py.typed, type checkers ignore the type hints"
    assert not [name for name in names if name.startswith(("tests/", "outputs/", "data/"))]
    [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
    assert "celeba-lab = celeba_lab.cli.main:main" in zipfile.ZipFile(wheel).read(entry_points).decode()


def test_the_wheel_works_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True, timeout=300)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "hydra_plugins").mkdir(parents=True)
    for foreign in ("hydra_plugins/evil.py", "omegaconf.py"):  # Modules in the current folder must not be run.
        (elsewhere / foreign).write_text("open('acted', 'w')\nraise SystemExit('acted')\n")
    environment = os.environ | {"PYTHONPATH": str(site)}
    entry_point, module = [str(site / "bin" / "celeba-lab")], [sys.executable, "-m", "celeba_lab"]
    assert "experiment=NAME" in output_of([*entry_point, "--help"], elsewhere, environment)
    assert "attributes:\n  - Smiling" in output_of(
        [*module, "experiment=smile", "--cfg", "job"], elsewhere, environment
    )
    assert not (elsewhere / "acted").exists()


def output_of(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    options = {"capture_output": True, "text": True, "check": True, "timeout": 60}
    return subprocess.run(command, cwd=folder, env=environment, **options).stdout
