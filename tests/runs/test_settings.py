"""The files that contain the settings of a run."""

from pathlib import Path

from omegaconf import OmegaConf

from celeba_lab.runs.settings import OVERRIDES, SETTINGS, write_overrides, write_settings


def test_settings_are_stored_without_the_folder_of_the_resumed_run(tmp_path: Path) -> None:
    write_settings(tmp_path, {"seed": 1, "resume": "outputs/run", "model": {"lr": 0.1}})
    assert OmegaConf.load(tmp_path / SETTINGS) == {"seed": 1, "resume": None, "model": {"lr": 0.1}}


def test_overrides_are_stored_without_that_of_the_resumption(tmp_path: Path) -> None:
    write_overrides(tmp_path, ["seed=1", "resume=outputs/run", "name='a: b'"])
    assert OmegaConf.load(tmp_path / OVERRIDES) == ["seed=1", "name='a: b'"]
    write_overrides(tmp_path, ["resume=outputs/run"])
    assert OmegaConf.load(tmp_path / OVERRIDES) == []
