"""The files that contain the settings of a run."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from celeba_lab.errors import UserError
from celeba_lab.runs.settings import (
    HYDRA,
    OVERRIDES,
    REFERENCES,
    SETTINGS,
    RunSettings,
    differing_settings,
    read_choice,
    write_overrides,
    write_settings,
)


def test_settings_are_stored_without_the_folder_of_the_resumed_run(tmp_path: Path) -> None:
    write_settings(tmp_path, {"seed": 1, "resume": "outputs/run", "model": {"lr": 0.1}})
    assert OmegaConf.load(tmp_path / SETTINGS) == {"seed": 1, "resume": None, "model": {"lr": 0.1}}


def test_overrides_are_stored_without_that_of_the_resumption(tmp_path: Path) -> None:
    write_overrides(tmp_path, ["seed=1", "resume=outputs/run", "name='a: b'"])
    assert OmegaConf.load(tmp_path / OVERRIDES) == ["seed=1", "name='a: b'"]
    write_overrides(tmp_path, ["resume=outputs/run"])
    assert OmegaConf.load(tmp_path / OVERRIDES) == []


def record(folder: Path, references: str | None = None, **settings: object) -> RunSettings:
    """Write the settings of a run, with references in ``.hydra``, and read them."""
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(settings), folder / SETTINGS)
    if references is not None:
        (folder / REFERENCES).write_text(references)
    return RunSettings.read(folder)


REFERRING = """
seed: 1
data: {seed: "${seed}", root: "${oc.env:CELEBA_ROOT,data}"}
trainer: {max_epochs: "${recipe.max_epochs}"}
callbacks: {log: {path: "${hydra:runtime.output_dir}/tables/history.csv"}}
"""


def test_settings_that_follow_from_others_do_not_differ(tmp_path: Path) -> None:
    runs = [
        record(
            tmp_path / str(seed),
            REFERRING,
            name=f"run{seed}",
            seed=seed,
            data={"seed": seed, "root": f"data{seed}"},
            trainer={"max_epochs": seed},
            # The folder was moved after the run.
            callbacks={"log": {"path": f"/old/{seed}/tables/history.csv"}},
        )
        for seed in (1, 2)
    ]
    assert runs[0].derived == {"data.seed", "trainer.max_epochs", "callbacks.log.path"}
    assert differing_settings(runs) == ["seed", "data.root"]


def test_a_setting_that_one_run_has_typed_differs(tmp_path: Path) -> None:
    one = record(tmp_path / "a", REFERRING, seed=1, trainer={"max_epochs": 4})
    other = record(tmp_path / "b", REFERRING.replace("${recipe.max_epochs}", "5"), seed=1, trainer={"max_epochs": 5})
    assert differing_settings([one, other]) == ["trainer.max_epochs"]
    assert differing_settings([one, one]) == []


def test_without_references_paths_in_the_run_folder_and_seeds_do_not_differ(tmp_path: Path) -> None:
    runs = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        moved = f"/old/{seed}"
        paths = {"own": str(folder / "tables" / "a.csv"), "moved": f"{moved}/b.csv", "other": f"/elsewhere/{seed}"}
        logger = {"save_dir": moved}
        runs.append(record(folder, seed=seed, data={"seed": seed}, gan={"seed": 5 * seed}, logger=logger, paths=paths))
    assert runs[0].values == {"seed": 1, "data.seed": 1, "gan.seed": 5, "paths.other": "/elsewhere/1"}
    assert differing_settings(runs) == ["seed", "gan.seed", "paths.other"]


def test_damaged_references_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.hydra/config\.yaml cannot be used"):
        record(tmp_path / "a", "seed: [", seed=1)


def test_the_choices_of_groups_are_read(tmp_path: Path) -> None:
    record(tmp_path / "a", seed=1)
    assert read_choice(tmp_path / "a", "recipe") is None
    (tmp_path / "a" / HYDRA).write_text("hydra: {runtime: {choices: {recipe: strong, loss: null}}}")
    assert read_choice(tmp_path / "a", "recipe") == "strong"
    assert read_choice(tmp_path / "a", "loss") is None
