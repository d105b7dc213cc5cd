"""Fixtures for the tests of the command line."""

import shutil
from pathlib import Path

import pytest

from celeba_lab.files import config_directory


@pytest.fixture
def own_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of conf/ that a test may change. The command-line interface reads it instead of conf/."""
    conf = tmp_path / "conf"
    shutil.copytree(config_directory(), conf)
    for module in ("files", "cli.help", "cli.choices"):
        monkeypatch.setattr(f"celeba_lab.{module}.config_directory", lambda: conf)
    return conf
