"""Configuration files are parsed once, and again if they change."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from celeba_lab.cli.parsed_files import parsing_files_once


def test_a_file_is_parsed_again_only_if_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    load = OmegaConf.load
    monkeypatch.setattr(OmegaConf, "load", lambda file: parsed.append(Path(file.name).stem) or load(file))
    (tmp_path / "settings.yaml").write_text("lr: 1\n")

    def composed(*overrides: str) -> float:
        return compose("settings", overrides=[*overrides]).lr

    with parsing_files_once(), initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert composed() == 1
        assert composed("lr=2") == 2
        assert composed() == 1  # The content that is kept was not changed by the override.
        assert parsed.count("settings") == 1
        (tmp_path / "settings.yaml").write_text("lr: 0.5\n")
        assert composed() == 0.5
        assert parsed.count("settings") == 2
