"""Everything is sent to the loggers that can store it."""

import pandas as pd
import pytest

from celeba_lab.errors import UserError
from celeba_lab.runs.logger_ids import LoggerIds, read_id, write_id
from celeba_lab.runs.loggers import Loggers, closing_loggers, register, release


class Recorder:
    """A logger that stores only figures and knows when its run ends."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def send_figure(self, name: str, png: bytes, step: int) -> None:
        self.calls.append(("figure", name, png, step))

    def close(self, is_finished: bool) -> None:
        self.calls.append(("close", is_finished))


class Lightning:
    """A logger as Lightning's: it knows only metrics and hyperparameters."""

    def __init__(self) -> None:
        self.hyperparameters: dict = {}

    def log_hyperparams(self, params: dict) -> None:
        self.hyperparameters |= params


def test_what_a_logger_cannot_store_is_left_out() -> None:
    recorder, lightning = Recorder(), Lightning()
    loggers = Loggers([recorder, lightning])
    loggers.send_figure("roc", b"PNG", 3)
    loggers.send_image("samples", b"PNG", 3)
    loggers.send_table("scores", pd.DataFrame({"a": [1]}))
    loggers.send_text("configuration", "seed: 1")
    loggers.send_charts({"all": {"loss": ["train/loss"]}})
    loggers.send_results({"lr": 0.1}, {"val/loss": 0.5}, 3)
    loggers.keep_rows(0)
    loggers.withdraw()
    assert recorder.calls == [("figure", "roc", b"PNG", 3)]
    assert lightning.hyperparameters == {"lr": 0.1}
    assert (loggers.writer, loggers.list_views(), len(loggers)) == (None, [], 2)


def test_loggers_are_closed_if_their_run_fails() -> None:
    failed, finished = Recorder(), Recorder()

    def fail() -> None:
        release(register(Loggers([finished])))
        register(Loggers([failed]))
        _ = 1 / 0

    with pytest.raises(ZeroDivisionError), closing_loggers():
        fail()
    assert (failed.calls, finished.calls) == ([("close", False)], [])


def test_ids_of_several_services_are_kept(tmp_path) -> None:
    assert read_id(tmp_path, "wandb") is None
    write_id(tmp_path, "wandb", "a1")
    write_id(tmp_path, "mlflow", "b2")
    assert (read_id(tmp_path, "wandb"), read_id(tmp_path, "mlflow"), read_id(tmp_path, "aim")) == ("a1", "b2", None)


def test_an_id_that_no_service_gives_is_refused(tmp_path) -> None:
    LoggerIds(ids={"wandb": "../x"}).write(tmp_path)
    with pytest.raises(UserError, match=r"loggers\.json .*'\.\./x' is not the id of a run"):
        read_id(tmp_path, "wandb")
