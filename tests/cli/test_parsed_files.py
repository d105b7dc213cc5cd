"""Configuration files are parsed once, and again if they change."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.sources_registry import SourcesRegistry
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


def test_copies_of_a_file_are_parsed_once_and_keep_their_own_place(tmp_path: Path, monkeypatch) -> None:
    parsed = []
    load = OmegaConf.load
    monkeypatch.setattr(OmegaConf, "load", lambda file: parsed.append(Path(file.name)) or load(file))
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "copied.yaml").write_text("# @package here\nlr: 7\n")
    with parsing_files_once():
        source = SourcesRegistry.instance().resolve("file")
        found = [source("main", str(folder)).load_config("copied") for folder in folders]
    assert [result.config for result in found] == [{"lr": 7}] * 2
    assert [result.header["package"] for result in found] == ["here"] * 2
    assert [result.path for result in found] == [f"file://{folder}" for folder in folders]
    assert parsed == [folders[0] / "copied.yaml"]
