"""Errors of libraries that a setting has caused name the part of the run that has failed."""

import json
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
from lightning.pytorch.callbacks import BaseFinetuning, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from celeba_lab.engine.callbacks import BestCheckpoint, Stopwatch
from celeba_lab.engine.library_errors import explaining_library_errors
from celeba_lab.errors import UserError

RUN = SimpleNamespace(settings={"callbacks": {}})


class Own(L.Callback):
    """A callback in a module of the user."""

    def on_train_start(self, trainer, pl_module) -> None:
        raise ValueError("a bug of the user")


def test_a_callback_of_lightning_that_fails_is_named(trainer, toy, numbers, tmp_path: Path) -> None:
    for callback in (BaseFinetuning(), ModelCheckpoint(tmp_path, filename="{a:b}{")):
        built = trainer(callback)
        sentence = rf"^{type(callback).__name__} has failed \(\w+Error.*\)\. Check its settings\.$"
        with pytest.raises(UserError, match=sentence), explaining_library_errors(RUN, built):
            built.fit(toy(), numbers())


def test_a_logger_that_fails_is_named(trainer, toy, numbers, tmp_path: Path) -> None:
    built = trainer(logger=TensorBoardLogger(tmp_path, q=1))
    failure = pytest.raises(UserError, match=r"^TensorBoardLogger has failed \(TypeError")
    with failure, explaining_library_errors(RUN, built):
        built.fit(toy(), numbers())


def test_errors_in_modules_of_the_user_and_of_celeba_lab_are_not_hidden(trainer, toy, numbers) -> None:
    built = trainer(Own())
    with pytest.raises(ValueError, match="a bug of the user"), explaining_library_errors(RUN, built):
        built.fit(toy(), numbers())
    with pytest.raises(ZeroDivisionError), explaining_library_errors(RUN, built):
        _ = 1 / 0


class Broken(Stopwatch):
    """A callback of celeba_lab with a bug that another library notices."""

    def on_train_start(self, trainer, pl_module) -> None:
        json.loads("[")


def test_a_bug_in_a_callback_of_celeba_lab_is_not_hidden(trainer, toy, numbers, monkeypatch) -> None:
    monkeypatch.setattr(Broken, "__module__", Stopwatch.__module__)
    built = trainer(Broken())
    with pytest.raises(json.JSONDecodeError), explaining_library_errors(RUN, built):
        built.fit(toy(), numbers())


def test_a_wrong_setting_of_a_callback_of_celeba_lab_names_it(trainer, toy, numbers, tmp_path: Path) -> None:
    built = trainer(BestCheckpoint(tmp_path, filename="{a:b}{"))
    with pytest.raises(UserError, match=r"^BestCheckpoint has failed"), explaining_library_errors(RUN, built):
        built.fit(toy(), numbers())
