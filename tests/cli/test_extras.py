"""A missing library is reported before any slow imports."""

import sys

import pytest
from omegaconf import OmegaConf

from celeba_lab.cli.extras import check_extras


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_the_command_that_installs_a_logger_is_given(
    command, tmp_path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    code, _, err = command("experiment=cooccurrence", f"logger={name}")
    assert code == 1
    expected = (
        f"logger={name} needs libraries that are not installed. Install them with: pip install 'celeba-lab[{name}]'"
    )
    assert err.strip().endswith(expected)
    assert not (tmp_path / "outputs").exists()


def test_loggers_without_extras_are_accepted() -> None:
    check_extras(OmegaConf.create({"logger": None}))
    check_extras(OmegaConf.create({"logger": {"csv": None, "other": {"_target_": "mine.Logger"}}}))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "logger=tensorbord",
            "'tensorbord' is not a choice for logger. Did you mean 'tensorboard'? Choose from: csv, events, ",
        ),
        (
            "logger=[csv,wnb]",
            "'wnb' is not a choice for logger. Did you mean 'wandb'? Choose from: csv, events, many, mlflow",
        ),
        ("logger=[]", "logger=[] is not a choice."),
        ("+logger.x.a=1", "logger.x has no _target_, so no logger can be built."),
        ("logger=x.Y", "'x.Y' is not a choice for logger."),
    ],
)
def test_an_unknown_logger_is_explained(command, text: str, sentence: str) -> None:
    code, _, err = command("experiment=cooccurrence", text)
    assert code == 1
    assert sentence in err
