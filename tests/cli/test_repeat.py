"""``repeat=FOLDER`` runs a finished run again in a new folder, and says whether the results are equal."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from celeba_lab.runs.settings import write_settings
from celeba_lab.runs.summary import Summary

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[DictConfig]:
    """The configurations of all runs. The first one, in the folder ``a``, has been run."""
    found: list[DictConfig] = []

    def task(cfg: DictConfig) -> dict[str, float]:
        folder = Path(HydraConfig.get().runtime.output_dir)
        found.append(OmegaConf.create(OmegaConf.to_container(cfg, resolve=True)))
        write_settings(folder, OmegaConf.to_container(cfg, resolve=True))
        (folder / "tables").mkdir()
        (folder / "tables" / "predictions_test.csv").write_text(f"{cfg.model.lr} {cfg.trainer.log_every_n_steps}\n")
        metrics = {"test/accuracy": cfg.trainer.log_every_n_steps / 10, "test/f1": float("nan")}
        Summary(experiment="smile", task="train", metrics=metrics, versions={"torch": "1.0"}).write(folder)
        return metrics

    monkeypatch.setattr("celeba_lab.cli.main.prepare", lambda cfg: task)
    code, out, err = command("experiment=smile", "model.lr=0.5", "trainer.log_every_n_steps=3", "hydra.run.dir=a")
    assert (code, err) == (0, "")
    assert "  repeat: python -m celeba_lab repeat=a\n" in out
    return found


@pytest.mark.parametrize("arguments", [["repeat=a"], ["task=repeat", "run=a"], ["task=repeat", "task.run=a"]])
def test_the_same_settings_are_used_in_a_new_folder(command: Command, run, tmp_path: Path, arguments) -> None:
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    assert "repeating: a\n  torch: 1.0 before, " in out
    assert "repeat: all 2 metrics and all predictions are equal to the last bit" in out
    [folder] = tmp_path.glob("outputs/smile/*")
    first, second = run
    assert second.model == first.model
    assert first.callbacks.best.dirpath == str(tmp_path / "a" / "checkpoints")
    assert second.callbacks.best.dirpath == str(folder / "checkpoints")
    table = pd.read_csv(folder / "tables" / "repeat.csv")
    assert table.columns.tolist() == ["metric", "original", "repeated", "equal"]
    assert table["equal"].all()
    assert "repeat" in OmegaConf.load(folder / "config.yaml")


def test_the_settings_in_the_folder_count(command: Command, run, tmp_path: Path) -> None:
    """A configuration file may have changed since the first run."""
    stored = OmegaConf.load(tmp_path / "a" / "config.yaml")
    stored.model.lr = 0.25
    OmegaConf.save(stored, tmp_path / "a" / "config.yaml")
    command("repeat=a")
    assert run[-1].model.lr == 0.25


def test_differences_are_shown(command: Command, run, tmp_path: Path) -> None:
    code, out, _ = command("repeat=a", "trainer.log_every_n_steps=4", "hydra.run.dir=b")
    assert code == 0
    assert "the predictions in predictions_test.csv differ" in out
    assert "1 of 2 metrics differ" in out
    assert pd.read_csv(tmp_path / "b" / "tables" / "repeat.csv")["equal"].tolist() == [False, True]
    code, out, _ = command("repeat=b")
    assert "equal to the last bit" in out, "a repeated run can be repeated"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["task=repeat"],
            "task=repeat needs the folder of a finished run: python -m celeba_lab task=repeat task.run=FOLDER",
        ),
        (["repeat=nowhere"], "repeat=nowhere is not a folder. Check the path."),
        (["repeat=a/tables"], "repeat=a/tables cannot be repeated, because the folder does not contain config.yaml."),
        (["repeat=a", "-m"], "-m cannot be combined with repeat=a. Repeat the runs of a sweep one by one."),
        (["repeat=a", "resume=a"], "resume=a and repeat=a cannot be combined."),
        (["repeat=a", "model.lr=1"], "model.lr=1 cannot be changed when a run is repeated (the run uses 0.5)."),
        (
            ["repeat=unfinished"],
            "repeat=unfinished is not a finished run. Resume it first: python -m celeba_lab resume=",
        ),
    ],
)
def test_a_mistake_is_explained(command: Command, run, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    (tmp_path / "unfinished" / ".hydra").mkdir(parents=True)
    (tmp_path / "unfinished" / "config.yaml").write_text("name: smile\n")
    (tmp_path / "unfinished" / ".hydra" / "overrides.yaml").write_text("[]\n")
    code, _, err = command(*arguments)
    assert (code, len(err.splitlines())) == (1, 1)
    assert sentence in err
    assert len(run) == 1
    assert not (tmp_path / "outputs").exists()


def test_a_damaged_summary_is_refused(command: Command, run, tmp_path: Path) -> None:
    path = tmp_path / "a" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": 3}))
    code, _, err = command("repeat=a")
    assert code == 1
    assert "summary.json" in err
    assert len(run) == 1
