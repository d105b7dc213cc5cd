"""Configuration files cannot make a run write outside its folder, but the command line can."""

from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from celeba_lab.cli.output_paths import check_output_paths, given_on_command_line, list_permitted
from celeba_lab.errors import SettingError

PLAIN = "lightning.pytorch.callbacks.ModelCheckpoint"


@pytest.fixture(autouse=True)
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the current run."""
    folder = tmp_path / "outputs" / "run"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    hydra = OmegaConf.create({"runtime": {"output_dir": str(folder)}})
    monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: hydra))
    return folder


AWAY = [
    {"callbacks": {"x": {"_target_": PLAIN, "dirpath": "."}}},
    {"callbacks": {"x": {"_target_": PLAIN, "dirpath": "~/Documents"}}},
    {"callbacks": {"x": {"_target_": PLAIN, "dirpath": "s3://bucket"}}},
    {"callbacks": {"x": {"_target_": PLAIN, "filename": "../../x"}}},
    {"callbacks": {"x": {"_target_": PLAIN, "filename": "/x"}}},
    {"callbacks": {"epoch_log": {"path": "history.csv"}}},
    {"callbacks": {"x": {"_target_": PLAIN, "deep": [{"anything": "/etc/x"}]}}},
    {"logger": {"csv": {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "logs"}}},
    {"trainer": {"profiler": {"_target_": "lightning.pytorch.profilers.SimpleProfiler", "dirpath": "/tmp"}}},
    {"trainer": {"default_root_dir": "elsewhere"}},
]


@pytest.mark.parametrize("settings", AWAY)
def test_a_path_that_leads_out_of_the_run_folder_is_refused(settings: dict) -> None:
    with pytest.raises(SettingError, match=r"leads out of the run folder.* If you want this, add it to the command: "):
        check_output_paths(OmegaConf.create(settings))


@pytest.mark.parametrize("settings", AWAY)
def test_paths_on_the_command_line_may_lead_anywhere(settings: dict) -> None:
    with given_on_command_line([f"{group}={{}}" for group in settings]):
        check_output_paths(OmegaConf.create(settings))
    removed = [f"~{group}={{}}" for group in settings]
    others = [
        "seed=1",
        "+logging=/x",
        *removed,
        *(f"{group}=cpu" for group in settings),
        *(f"{group}/x=y" for group in settings),
    ]
    with pytest.raises(SettingError), given_on_command_line(others):
        check_output_paths(OmegaConf.create(settings))


def test_the_command_that_resumes_a_run_contains_the_paths_that_were_permitted() -> None:
    settings = {"trainer": {"default_root_dir": "/a b"}, "callbacks": {"x": {"_target_": PLAIN, "filename": "a"}}}
    with given_on_command_line(["trainer.default_root_dir='/a b'", "callbacks.x.filename=a"]):
        check_output_paths(OmegaConf.create(settings))
        assert list_permitted() == ["trainer.default_root_dir='/a b'"]


def test_paths_in_the_run_folder_and_other_texts_are_accepted(run_folder: Path) -> None:
    best = {"_target_": PLAIN, "dirpath": f"{run_folder}/checkpoints", "monitor": "val/accuracy", "filename": "a/b"}
    logger = {"save_dir": str(run_folder), "name": "", "version": ""}
    check_output_paths(OmegaConf.create({"callbacks": {"best": best, "none": None}, "logger": logger, "trainer": None}))


def test_modules_that_the_user_trusts_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELEBA_LAB_TRUSTED_MODULES", "mine")
    check_output_paths(OmegaConf.create({"callbacks": {"x": {"_target_": "mine.Mail", "path": "/var/mail"}}}))
