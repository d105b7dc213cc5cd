"""Folders of runs from other people, with files that are damaged, huge, links, pipes or not what they seem to be."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from bad_inputs import BadInput
from small_data import draw_faces, run, train_classifier

Change = Callable[[Path], Any]


def _text(text: str) -> Change:
    return lambda path: path.write_text(text)


def _append(text: str) -> Change:
    return lambda path: path.write_text(re.sub("^score:.*\n", "", path.read_text(), flags=re.MULTILINE) + text)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)


def _file(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.touch()


def _link(target: str) -> Change:
    def change(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return change


def _outside(path: Path) -> None:
    """Replace a file by a link to a good file in the other run folder."""
    runs = next(parent for parent in path.parents if parent.name == "bad runs")
    _link(str(runs / "one" / path.relative_to(runs / "two")))(path)


def _huge(path: Path) -> None:
    os.truncate(path, 30 << 30)


def _summary(**fields: Any) -> Change:
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _group(name: str, /, **values: Any) -> Change:
    """Change a group of values in a JSON or YAML file."""

    def change(path: Path) -> None:
        read = json.loads if path.suffix == ".json" else yaml.safe_load
        content = read(path.read_text())
        content[name] |= values
        path.write_text(json.dumps(content))

    return change


def _data(**values: Any) -> Change:
    return _group("data", **values)


def _model(**values: Any) -> Change:
    return _group("model", **values)


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 9)
)
NOT_FILES: dict[str, Change] = {
    "pipe": _pipe,
    "folder": _folder,
    "device": _link("/dev/zero"),
    "link to itself": lambda path: _link(str(path))(path),
    "link to nowhere": _link("nowhere"),
    "link to another folder": _outside,
    "30 GB": _huge,
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe\x00"),
}
YAML: dict[str, Change] = {
    "deep": _text("[" * 100_000),
    "nested 60 times": _text("a: " + "[" * 60 + "]" * 60),
    "aliases": _text(LAUGHS),
    "an alias of itself": _text("a: &a [*a]"),
    "a huge integer": _text("a: 0x" + "f" * 5000),
    "nested interpolations": _text("a: " + "${" * 600 + "x" + "}" * 600),
    "a Python object": _text("a: !!python/object/apply:os.getcwd []"),
    "a set": _text("a: !!set {x, y}"),
    "a number": _text("5"),
}
FILES: dict[str, dict[str, Change]] = {
    "summary.json": {
        **NOT_FILES,
        "deep": _text("[" * 100_000),
        "deep in a field": lambda path: path.write_text(path.read_text().replace("{", '{"x": ' + "[" * 60, 1)),
        "images as a list": _data(images=["test"]),
        "images as text": _data(images={"test": "many"}),
        "no images": _data(images=None),
        "nested images": _data(images={"test": {"a": 1}}),
        "name as a list": _data(name=["a"]),
        "huge seed": _summary(seed=10**30),
        "negative epoch": _summary(best_epoch=-5),
        "huge epoch": _summary(best_epoch=10**15),
        "huge time": _summary(seconds={"training": 1e308}),
        "infinite metric": _summary(metrics={"val/accuracy": float("inf")}),
        "metrics as text": _summary(metrics={"val/accuracy": "high"}),
        "long device": _summary(device="x" * 10**6),
        "surrogate": _summary(device="\ud800"),
    },
    "config.yaml": {
        **NOT_FILES,
        **YAML,
        "threshold as text": _model(threshold="abc"),
        "threshold as a list": _model(threshold=[1]),
        "threshold not a number": _model(threshold=float("nan")),
        "settings as a list": _text("- a\n"),
    },
    "tables/history.csv": {
        **NOT_FILES,
        "300,000 columns": _text("epoch" + ",x" * 300_000 + "\n"),
        "300,000 cells": _text("epoch\n1" + ",1" * 300_000 + "\n"),
        "infinite epoch": _text("epoch,val/loss\ninf,1\n"),
        "huge value": _text("epoch,val/loss\n1,1e308\n"),
    },
    "tables/predictions_test.csv": {
        **NOT_FILES,
        "300,000 columns": _text("image_id" + ",label/a,probability/a" * 150_000 + "\n"),
    },
}
RESUMED: dict[str, dict[str, Change]] = {
    "config.yaml": {
        "link to another folder": _outside,
        "pipe": _pipe,
        "30 GB": _huge,
        "interpolations": _append("".join(f"a{k}: ${{a{k - 1}}}${{a{k - 1}}}\n" for k in range(1, 40))),
        "an environment variable": _append("score: ${oc.env:HOME}\n"),
        **YAML,
    },
    ".hydra/overrides.yaml": {"30 GB": _huge, **YAML},
    ".hydra/threads.yaml": {"30 GB": _huge, **YAML},
    ".hydra/hydra.yaml": {"30 GB": _huge, "aliases": _text(LAUGHS), "deep": _text("[" * 100_000)},
    **{
        name: {"folder": _folder}
        for name in (".x.part", "summary.json", "report.html", "events.out.tfevents.z", "tables/history.csv")
    },
    **{name: {"file": _file} for name in ("tables", "figures", "checkpoints")},
}


SWEEP: dict[str, dict[str, Change]] = {
    "sweep.json": {
        **{name: change for name, change in NOT_FILES.items() if change is not _outside},
        "deep": _text("[" * 100_000),
        "another version": _summary(version=99),
        "a setting of Hydra": _summary(overrides=["hydra.run.dir=x"]),
        "another field": _summary(x=1),
        "direction": _summary(direction="up"),
    },
    "0_seed-1/summary.json": {"deep": _text("[" * 100_000), "not JSON": _text("{"), "version": _summary(version=99)},
}


def sweep_cases(folder: Path, root: Path) -> Iterator[BadInput]:
    """Yield commands that resume a sweep with a changed file, or with a setting that cannot be changed."""
    good, bad = folder / "sweep", folder / "bad sweep"
    own = ["experiment=cooccurrence", f"data.root={root}", "seed=1,2", f"hydra.sweep.dir={good}"]
    run(["-m", *own], folder)
    for file, changes in SWEEP.items():
        for text, change in changes.items():
            shutil.rmtree(bad, ignore_errors=True)
            shutil.copytree(good, bad)
            change(bad / file)
            yield BadInput("runs", f"sweep, {file}, {text}", [f"resume='{bad}'"], Path(file).name)
    for override in ("score=x", "direction=minimize", "hydra.sweep.dir=x", "model.lr=1", "seed=3"):
        yield BadInput("runs", f"sweep, {override}", [f"resume={good}", override], override)
    shutil.rmtree(bad)


def cases(folder: Path) -> Iterator[BadInput]:
    """Yield one command for each changed file."""
    root = draw_faces(folder / "faces")
    good = train_classifier(folder).parents[1]
    runs = folder / "bad runs"
    for file, changes in FILES.items():
        for text, change in changes.items():
            _copy(good, runs)
            change(runs / "two" / file)
            yield BadInput("runs", f"{file}, {text}", ["task=compare", f"task.runs='{runs}'"], Path(file).name)
    _copy(good, runs)
    (runs / "two").rename(runs / os.fsdecode(b"\xff\xfe"))
    yield BadInput("runs", "folder that is not UTF-8", ["task=compare", f"task.runs='{runs}'"], r"\udcff\udcfe")
    for file, changes in RESUMED.items():
        for text, change in changes.items():
            _copy(good, runs)
            (runs / "two" / "summary.json").unlink()
            change(runs / "two" / file)
            arguments = [f"resume='{runs}/two'", "trainer.max_epochs=4", f"data.root={root}"]
            yield BadInput("runs", f"resume, {file}, {text}", arguments, Path(file).name)
    shutil.rmtree(runs)
    yield from sweep_cases(folder, root)


def _copy(good: Path, runs: Path) -> None:
    """Copy a finished run to two new folders."""
    shutil.rmtree(runs, ignore_errors=True)
    for name in ("one", "two"):
        shutil.copytree(good, runs / name)
