"""Simple commands do not import what they do not need."""

import subprocess
import sys
from pathlib import Path

SLOW = {"torch", "torchvision", "torchmetrics", "lightning", "sklearn", "scipy", "pandas", "numpy", "matplotlib"}

# Runs command lines one after the other in one process; prints their errors, and the slow modules after each of them.
SCRIPT = """
import sys
from celeba_lab.cli.main import main

for line in {lines!r}:
    sys.argv = ["celeba_lab", *line]
    try:
        main()
    except SystemExit:
        pass
    print(*sorted({slow!r} & set(sys.modules)), sep=",", end="\\n--\\n", file=sys.stderr, flush=True)
"""


def run_lines(*lines: list[str], cwd: Path) -> list[tuple[str, set[str]]]:
    """The standard error of each command line, and the slow modules that were loaded after it."""
    script = SCRIPT.format(lines=lines, slow=SLOW)
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, cwd=cwd)
    assert result.returncode == 0, result.stderr
    parts = [part.rpartition("\n") for part in result.stderr.removesuffix("\n--\n").split("\n--\n")]
    return [(error, {name for name in modules.split(",") if name}) for error, _, modules in parts]


def test_a_mistake_in_a_plain_setting_is_named_before_anything_slow_is_imported(tmp_path: Path) -> None:
    mistakes = {
        "There is no experiment 'smlie'": ["experiment=smlie"],
        "There is no loss 'hinge'": ["experiment=gan", "loss=hinge"],
        "loss=gan/hinge is not for model=classifier": ["experiment=smile", "loss=gan/hinge"],
        "There is no setting 'model.lrr'": ["experiment=smile", "model.lrr=1"],
        "model.lrr is not a setting of": ["experiment=smile", "+model.lrr=1"],
        "cannot be read": ["model.attributes=[Smiling"],
        "seed: Value 'abc'": ["seed=abc"],
        "seed=-1 must be": ["seed=-1"],
        "'Smling' is not an attribute": ["experiment=smile", "model.attributes=[Smling]"],
        "model.lr='abc' has the wrong type": ["experiment=smile", "model.lr=abc"],
        "trainer.max_epochs='many' has the wrong type": ["experiment=gan", "trainer.max_epochs=many"],
        "task.images has no value": ["task=predict"],
        "data.limit=0 must be at least 1": ["experiment=smile", "data.limit=0"],
        "model.threshold=2 must be between 0 and 1": ["experiment=smile", "model.threshold=2"],
        "task.split=tst must be one of": ["task=compare", "task.runs=x", "task.split=tst"],
        "callbacks.samples.n=65 must be": ["experiment=gan", "callbacks.samples.n=65"],
    }
    found = run_lines(*mistakes.values(), cwd=tmp_path)
    for (error, modules), sentence in zip(found, mistakes, strict=True):
        assert sentence in error
        assert not modules, f"'{sentence}' imports {modules}"
    assert not list(tmp_path.rglob("*.*")), "a refused run leaves no file"


def test_showing_a_configuration_imports_nothing_slow(tmp_path: Path) -> None:
    [(error, modules)] = run_lines(["experiment=smile", "--cfg", "job"], cwd=tmp_path)
    assert not modules
    assert not error
    assert not list(tmp_path.iterdir()), "a configuration that is only shown makes no folder"
