"""Simple commands do not import modules that they do not need."""

import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
import torch

from celeba_lab.engine.checkpoints import load_sampler
from celeba_lab.models.gan import GAN

SLOW = {"torch", "torchvision", "torchmetrics", "lightning", "sklearn", "scipy", "pandas", "numpy", "matplotlib"}
# What an analysis needs for its tables and figures.
TABLES = {"numpy", "pandas", "matplotlib", "scipy"}

# Runs command lines in one process. After each one, prints its errors and the slow modules imported so far.
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
    """Return each command line's standard error and the slow modules imported so far."""
    script = SCRIPT.format(lines=lines, slow=SLOW)
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, cwd=cwd)
    assert result.returncode == 0, result.stderr
    parts = [part.rpartition("\n") for part in result.stderr.removesuffix("\n--\n").split("\n--\n")]
    return [(error, {name for name in modules.split(",") if name}) for error, _, modules in parts]


MISTAKES = {
    "'smlie' is not a choice for experiment": ["experiment=smlie"],
    "'hinge' is not a choice for loss": ["experiment=gan", "loss=hinge"],
    "loss=gan/hinge does not work with model=classifier": ["experiment=smile", "loss=gan/hinge"],
    "There is no setting 'model.lrr'": ["experiment=smile", "model.lrr=1"],
    "model.lrr is not a setting of": ["experiment=smile", "+model.lrr=1"],
    "cannot be parsed": ["model.attributes=[Smiling"],
    "seed: Value 'abc'": ["seed=abc"],
    "seed=-1 must be": ["seed=-1"],
    "model.attributes=[Smling] contains 'Smling', which is not": ["experiment=smile", "model.attributes=[Smling]"],
    "model.lr='abc' has the wrong type": ["experiment=smile", "model.lr=abc"],
    "trainer.max_epochs='many' has the wrong type": ["experiment=gan", "trainer.max_epochs=many"],
    "task.images has no value": ["task=predict"],
    "nonsense is not a setting of celeba_lab": ["experiment=smile", "+nonsense=1"],
    "model.lr=0 must be above 0": ["experiment=smile", "model.lr=0"],
    "model.augment.flip=3 must be": ["experiment=smile", "model.augment.flip=3"],
    "model.loss.gamma=-1 must be": ["experiment=smile", "loss=focal", "model.loss.gamma=-1"],
    "model.optimizer=Adm is not": ["experiment=smile", "model.optimizer=Adm"],
    "model.backbone=mobilnet_v2 is not": ["experiment=smile", "model.backbone=mobilnet_v2"],
    "To evaluate, specify a checkpoint: checkpoint=": ["task=evaluate"],
    "To generate faces, specify a checkpoint: checkpoint=": ["task=generate"],
    "could not be read (5 bytes), because the file is damaged or not": ["task=evaluate", "checkpoint=notes"],
    "task.ensemble=no.ckpt does not exist": ["task=evaluate", "checkpoint=start", "task.ensemble=[no.ckpt]"],
    "No file or folder matches 'nope/*.jpg'": ["task=predict", "checkpoint=start", "task.images=nope/*.jpg"],
    "task.runs=nowhere matches nothing": ["task=compare", "task.runs=nowhere"],
    "checkpoint=no.ckpt does not exist": ["task=evaluate", "checkpoint=no.ckpt"],
    "model.weights=no.pth does not exist": ["experiment=smile", "model.weights=no.pth"],
    "The data folder nowhere does not exist": ["experiment=smile", "data=celeba", "data.root=nowhere"],
    "trainer.accumulate_grad_batches=0 must be": ["experiment=smile", "trainer.accumulate_grad_batches=0"],
    "model.r1=-1 must be": ["experiment=gan", "model.r1=-1"],
    "task.fraction=2 must be": ["experiment=clusters", "task.fraction=2"],
    "data.partitions=trin must be": ["experiment=smile", "data.partitions=[trin]"],
    "data.limit=0 must be at least 2": ["experiment=smile", "data.limit=0"],
    "model.threshold=2 must be between 0 and 1": ["experiment=smile", "model.threshold=2"],
    "task.split=tst must be one of": ["task=compare", "task.runs=x", "task.split=tst"],
    "callbacks.samples.n=65 must be": ["experiment=gan", "callbacks.samples.n=65"],
}


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_mistake_in_a_setting_is_reported_before_slow_imports(tmp_path: Path, every: int) -> None:
    mistakes = dict(list(MISTAKES.items())[::every])
    (tmp_path / "notes").write_text("notes")
    (tmp_path / "start").write_bytes(b"PK")  # Begins like a checkpoint.
    found = run_lines(*mistakes.values(), cwd=tmp_path)
    for (error, modules), sentence in zip(found, mistakes, strict=True):
        assert sentence in error
        assert not modules, f"'{sentence}' imports {modules}"
    assert not list(tmp_path.rglob("*.*")), "a rejected run left a file"


def test_showing_a_configuration_does_not_import_slow_modules(tmp_path: Path) -> None:
    [(error, modules)] = run_lines(["experiment=smile", "--cfg", "job"], cwd=tmp_path)
    assert not modules
    assert not error
    assert not list(tmp_path.iterdir()), "showing a configuration created a folder"


def test_an_analysis_of_the_labels_imports_neither_torch_nor_lightning(tmp_path: Path, tiny_celeba: Path) -> None:
    task = ["experiment=cooccurrence", "task.attributes=[Male,Smiling]", "data=celeba", f"data.root={tiny_celeba}"]
    [(error, modules)] = run_lines([*task, "hydra.run.dir=pairs"], cwd=tmp_path)
    assert not error
    assert (tmp_path / "pairs" / "summary.json").is_file()
    assert modules == TABLES


ANALYSES = {
    "leaderboard": (["task=leaderboard", "task.runs=runs", "score=test/accuracy"], TABLES),
    "logistic": (["experiment=logistic", "task.attributes=[Male,Smiling,Young]"], TABLES | {"sklearn"}),
    "clusters": (["experiment=clusters", "task.fraction=1"], TABLES | {"sklearn"}),
    "synthesize": (["task=synthesize", "task.n=30"], TABLES),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ANALYSES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_task_without_a_model_imports_only_what_it_needs(
    name: str, tmp_path: Path, tiny_celeba: Path, run_writer
) -> None:
    run_writer.write(tmp_path / "runs" / "one", 1)
    arguments, needed = ANALYSES[name]
    root = "drawn" if name == "synthesize" else tiny_celeba
    data = [] if name == "leaderboard" else [f"data.root={root}"]
    [(error, modules)] = run_lines([*arguments, *data, "hydra.run.dir=out"], cwd=tmp_path)
    assert not error
    assert (tmp_path / "out" / "summary.json").is_file()
    assert modules == needed


@pytest.mark.slow
def test_compare_does_not_import_torch_and_export_does_not_import_lightning(tmp_path: Path, run_writer) -> None:
    for seed, name in enumerate(("one", "other")):
        run_writer.write(tmp_path / "runs" / name, seed)
    model = GAN(image_size=16, latent_size=8, width=4, ema=0.9)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    (compared, first), (exported, second) = run_lines(
        ["task=compare", "task.runs=runs", "task.resamples=100", "hydra.run.dir=compared"],
        ["task=export", "checkpoint=last.ckpt", "hydra.run.dir=exported"],
        cwd=tmp_path,
    )
    assert not compared + exported
    for run in ("compared", "exported"):
        assert (tmp_path / run / "summary.json").is_file()
        assert len(list((tmp_path / run).glob("events.out.*"))) == 1
    assert first == {"matplotlib", "numpy", "pandas", "scipy"}
    assert second == first | {"torch"}
    sampler = load_sampler(str(tmp_path / "exported" / "generator.safetensors"))
    assert torch.equal(sampler.sample(4, seed=1)[0], model.eval().sampler().sample(4, seed=1)[0])


@pytest.mark.parametrize("module", ["torch", "torch._dynamo"])
def test_a_run_with_torch_ends_without_a_message(module: str) -> None:
    """Extension modules report objects that Python's search for garbage at the end has not freed."""
    script = f"import {module}; from celeba_lab.cli.imports import skip_last_search; skip_last_search()"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert (result.returncode, result.stderr) == (0, "")


def test_python_ends_without_a_search_for_garbage() -> None:
    script = (
        "import gc; from celeba_lab.cli.imports import skip_last_search as skip; skip(); print(gc.get_freeze_count())"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert int(result.stdout) > 1000


def test_help_can_be_read_in_part() -> None:
    command = [sys.executable, "-m", "celeba_lab", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)
