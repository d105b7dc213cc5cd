"""Searches with a bad space, bad settings or the files of another search."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from bad_inputs import BadInput
from small_data import draw_faces, run

SEARCH = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1"]
FINDERS = "callbacks=[default,lr_finder,batch_size_finder]"
# Overrides of a search for the learning rate of experiment=smile, and what the sentence must name.
NAMES: dict[str, tuple[list[str], str]] = {
    "empty interval": (["model.lr=interval(2,1)"], "model.lr"),
    "logarithm of 0": (["model.lr=tag(log,interval(0,1))"], "model.lr"),
    "range without values": (["seed=range(3,3)"], "seed"),
    "misspelt setting": (["model.lrr=interval(1,2)"], "lrr"),
    "interval in a grid": (["model.lr=interval(1,2)", "hydra/sweeper/sampler=grid"], "grid"),
    "nothing to search": (["seed=1"], "at least one setting"),
    "unknown sampler": (["seed=1,2", "hydra/sweeper/sampler=tpee"], "tpee"),
    "unknown pruner": (["seed=1,2", "hydra/sweeper/pruner=medan"], "medan"),
    "setting of another sampler": (["seed=1,2", "+hydra.sweeper.sampler.n_start=1"], "n_start"),
    "setting of another pruner": (["seed=1,2", "+hydra.sweeper.pruner.n_start=1"], "n_start"),
    "setting of another sweeper": (["seed=1,2", "hydra.sweeper.max_batch_size=2"], "max_batch_size"),
    "section as parameter": (["+hydra.sweeper.params.model.lr=1"], "hydra.sweeper.params.model"),
    "broken parameter": (["hydra.sweeper.params={seed:'(1'}"], "hydra.sweeper.params"),
    "finder of the learning rate": (["model.lr=interval(0.1,1)", FINDERS], "callbacks.lr_finder"),
    "finder of the batch size": (["data.batch_size=8,16", FINDERS], "callbacks.batch_size_finder"),
    "one of two callbacks": (["model.lr=1,2", f"callbacks=default,{FINDERS.partition('=')[2]}"], "callbacks.lr_finder"),
    "no score": (["seed=1,2", "score=null"], "score"),
    "misspelt score": (["seed=1,2", "score=val/acuracy"], "val/accuracy"),
    "score of the test": (["seed=1,2", "score=test/accuracy", "hydra/sweeper/pruner=median"], "test/accuracy"),
    "several devices": (["seed=1,2", "trainer=cpu", "trainer.devices=2"], "trainer.devices"),
    **{
        f"{setting}={value}": (["seed=1,2", f"hydra.sweeper.{setting}={value}"], f"hydra.sweeper.{setting}")
        for setting, values in {
            "n_trials": ["0", "-1", "many", "null", "10001"],
            "n_jobs": ["0", "many"],
            "seed": ["-1", "x"],
            "storage": ["../study.log", "sqlite:///x.db", "search.json", "null", "''"],
        }.items()
        for value in values
    },
}


def cases(folder: Path) -> Iterator[BadInput]:
    """Yield one command for each mistake."""
    for name in ("smlie", "[smile]", ""):
        yield BadInput("searches", f"search={name}", [f"search={name}"], "search")
    for name, (arguments, culprit) in NAMES.items():
        yield BadInput("searches", name, [*SEARCH, "experiment=smile", *arguments], culprit)
    finder = ["-m", "experiment=smile", "model.lr=1,2", FINDERS]
    yield BadInput("searches", "finder in a sweep", finder, "callbacks.lr_finder")
    for module in ("optuna", "cmaes"):
        arguments = [*SEARCH, "experiment=smile", "seed=1,2", "hydra/sweeper/sampler=cmaes"]
        yield BadInput("searches", f"{module} is missing", arguments, module, hidden=module)
    yield from _other_studies(folder)


def _other_studies(folder: Path) -> Iterator[BadInput]:
    """Yield commands that use the study of a small search for another one, or a damaged study."""
    good, bad = folder / "search", folder / "bad search"
    own = [*SEARCH, "experiment=cooccurrence", f"data.root={draw_faces(folder / 'faces')}", "score=phi/largest"]
    space = "task.fraction=interval(0.5,1)"
    run([*own, space, f"hydra.sweep.dir={good}"], folder)
    others = {
        "other space": [*own, "task.fraction=interval(0.6,1)"],
        "other score": [*own, space, "score=phi/smallest"],
        "other direction": [*own, space, "direction=minimize"],
        "other study": [*own, space, "hydra.sweeper.study_name=other"],
    }
    for name, arguments in others.items():
        shutil.rmtree(bad, ignore_errors=True)
        bad.mkdir()
        shutil.copy(good / "study.log", bad)
        given = {text.partition("=")[0]: text for text in arguments}
        yield BadInput("searches", name, [*given.values(), f"hydra.sweep.dir='{bad}'"], "study.log")
    for override in (
        "hydra.sweeper.study_name=other",
        "hydra.sweeper.storage=other.log",
        "task.fraction=interval(0,1)",
        "direction=minimize",
        "score=x",
    ):
        yield BadInput("searches", f"resume, {override}", [f"resume={good}", override], override)
    for file in ("study.log", "search.json", "sweep.json"):
        for text in ("{}\n", "[1]\n", "{", "\x00", "[" * 100_000):
            shutil.rmtree(bad, ignore_errors=True)
            shutil.copytree(good, bad)
            (bad / file).write_text(text)
            yield BadInput("searches", f"{file}, {text[:9]!r}", [f"resume='{bad}'"], file)
    shutil.rmtree(bad)
