"""Errors of libraries that a setting has caused name the part of the run that has failed."""

from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
from lightning.pytorch.callbacks import BaseFinetuning, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

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
