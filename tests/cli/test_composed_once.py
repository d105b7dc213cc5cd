"""The settings of a single run are composed once, and those of a sweep and of its jobs as often as Hydra asks for."""

from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from celeba_lab.cli.composed_once import composing_once
from celeba_lab.config import register_schema
from celeba_lab.files import config_directory


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Overrides of all compositions."""
    found: list[list[str]] = []
    load = ConfigLoaderImpl.load_configuration

    def count(loader, config_name, overrides, **named):
        found.append(list(overrides))
        return load(loader, config_name=config_name, overrides=overrides, **named)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", count)
    return found


def start(overrides: list[str], folder: Path | None = None):
    """Return the settings of a single run, which Hydra composes after it has asked for the mode."""
    register_schema()
    with initialize_config_dir(str(folder or config_directory()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        mode = hydra.get_mode("config", overrides)
        given = [*overrides, *(["hydra.mode=RUN"] if mode is None else [])]
        return hydra.compose_config("config", given, mode or RunMode.RUN, from_shell=False)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["experiment=smile", "seed=3", "model.attributes=[Smiling,Male]"],
        ["experiment=gan", "hydra.run.dir=here", "+callbacks.x={a: 1}", "name='a,b'"],
    ],
)
def test_a_single_run_gets_the_same_settings(overrides: list[str], composed) -> None:
    expected = start(overrides)
    assert len(composed) == 2
    with composing_once():
        found = start(overrides)
    assert len(composed) == 3
    assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected)
    assert found == expected
    assert OmegaConf.is_struct(found)
    assert [type(found.hydra.mode), found.hydra.mode] == [RunMode, RunMode.RUN]


@pytest.mark.parametrize("overrides", [["seed=1,2"], ["model.lr=range(1,3)"], ["experiment=???"]])
def test_what_only_a_sweep_accepts_is_refused_as_before(overrides: list[str], composed) -> None:
    with pytest.raises(Exception) as expected:
        start(overrides)
    with composing_once(), pytest.raises(type(expected.value)) as found:
        start(overrides)
    assert str(found.value) == str(expected.value)
    assert len(composed) == 4


def test_settings_that_contain_the_mode_are_composed_twice(composed) -> None:
    with composing_once():
        assert start(["hydra.mode=MULTIRUN", "seed=1,2"]).hydra.mode == RunMode.MULTIRUN
    assert len(composed) == 2
