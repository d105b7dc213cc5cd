"""``resume=FOLDER``: the settings of the run are restored, and only some of them can be changed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from celeba_lab.cli.resume import check_changes, merge_overrides, resume_command
from celeba_lab.cli.resume_arguments import expand_arguments
from celeba_lab.cli.run_folder import claim, release_claims
from celeba_lab.errors import SettingError, UserError
from celeba_lab.runs.run import Run
from celeba_lab.runs.settings import write_settings


def overrides_of(run: Path) -> Path:
    return run / ".hydra" / "overrides.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of a run that has written its settings but was stopped before it trained."""
    run = tmp_path / "a run"
    (run / ".hydra").mkdir(parents=True)
    (run / "config.yaml").write_text("name: smile\n")
    OmegaConf.save(["experiment=smile", "trainer=cpu", "+trainer.x=1", "seed=7"], run / ".hydra" / "overrides.yaml")
    return run


def test_arguments_without_resume_are_kept() -> None:
    assert expand_arguments(["experiment=smile", "-m"]) == ["experiment=smile", "-m"]


def test_the_overrides_of_the_run_come_before_new_ones(folder: Path) -> None:
    arguments = expand_arguments([f"resume='{folder}'", "trainer.max_epochs=9", "trainer=gpu", "--config-dir", "mine"])
    assert arguments == [
        "--config-dir", "mine", "experiment=smile", "trainer=gpu", "+trainer.x=1", "seed=7", "trainer.max_epochs=9",
        "hydra.mode=RUN", f"hydra.run.dir='{folder}'", "hydra.output_subdir=null", f"resume='{folder}'",
    ]  # fmt: skip


def test_options_of_the_first_command_are_used_again(folder: Path) -> None:
    source = {"path": "/my/conf", "schema": "file", "provider": "command-line"}
    hydra = {"job": {"config_name": "other"}, "runtime": {"config_sources": [source]}}
    OmegaConf.save({"hydra": hydra}, folder / ".hydra" / "hydra.yaml")
    assert expand_arguments([f"resume='{folder}'"])[:4] == ["--config-name", "other", "--config-dir", "/my/conf"]


@pytest.mark.parametrize(
    "hydra",
    [
        {"job": {"config_name": 3}},
        {"job": {"config_name": ["config"]}},
        {"runtime": {"config_sources": 3}},
        {"runtime": {"config_sources": {"path": "x", "provider": "command-line"}}},
        {"runtime": {"config_sources": [3]}},
        {"runtime": {"config_sources": [None]}},
        {"runtime": {"config_sources": [{"path": "x"}]}},
        {"runtime": {"config_sources": [{"path": 3, "provider": "command-line"}]}},
        {"runtime": {"config_sources": [{"path": None, "provider": "command-line"}]}},
    ],
)
def test_stored_options_of_other_types_are_rejected(folder: Path, hydra: object) -> None:
    OmegaConf.save({"hydra": hydra}, folder / ".hydra" / "hydra.yaml")
    with pytest.raises(UserError, match=r"hydra\.yaml (is damaged|cannot be used): "):
        expand_arguments([f"resume='{folder}'"])


@pytest.mark.parametrize("text", ["- 3\n", "3\n", "a: [\n"])
def test_a_damaged_file_of_hydra_is_rejected(folder: Path, text: str) -> None:
    (folder / ".hydra" / "hydra.yaml").write_text(text)
    with pytest.raises(UserError, match=r"hydra\.yaml cannot be used: "):
        expand_arguments([f"resume='{folder}'"])


@pytest.mark.parametrize(
    ("earlier", "later", "merged"),
    [
        (["seed=1"], ["seed=2"], ["seed=2"]),
        (["+x=1"], ["x=2"], ["+x=2"]),
        (["+x=1"], ["~x"], []),
        (["x=1"], ["~x"], ["~x"]),
        (["trainer=cpu"], ["trainer.max_epochs=2"], ["trainer=cpu", "trainer.max_epochs=2"]),
    ],
)
def test_each_setting_is_given_once(earlier: list[str], later: list[str], merged: list[str]) -> None:
    assert merge_overrides(earlier, later) == merged


@pytest.mark.parametrize("name", ["celeba_lab.log", "tables", "checkpoints/last.ckpt"])
def test_a_run_folder_with_links_is_rejected(folder: Path, tmp_path: Path, name: str) -> None:
    """A resumed run would change the files to which they lead."""
    (tmp_path / "precious").mkdir()
    (folder / "checkpoints").mkdir()
    (folder / name).symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match=rf"cannot be resumed, because {name} in it is a link out of the folder\."):
        expand_arguments([f"resume='{folder}'"])


def test_links_within_a_run_folder_are_accepted(folder: Path) -> None:
    (folder / "best.ckpt").touch()
    (folder / "last.ckpt").symlink_to("best.ckpt")
    assert "seed=7" in expand_arguments([f"resume='{folder}'"])


def test_links_that_lead_nowhere_are_rejected(folder: Path) -> None:
    (folder / "last.ckpt").symlink_to("last.ckpt")
    with pytest.raises(UserError, match=r"because last\.ckpt in it is neither a file nor a folder\."):
        expand_arguments([f"resume='{folder}'"])


def test_a_run_folder_with_a_pipe_is_rejected(folder: Path) -> None:
    os.mkfifo(folder / "events.out.tfevents.1")
    with pytest.raises(UserError, match=r"because events\.out\.tfevents\.1 in it is neither a file nor a folder\."):
        expand_arguments([f"resume='{folder}'"])


@pytest.mark.parametrize(
    "name",
    [
        "summary.json",
        "report.html",
        "celeba_lab.log",
        "events.out.tfevents.1",
        ".x.part",
        "tables/history.csv",
        "tables/.history.csv.0123abcd.part",
        "figures/roc.png",
        "checkpoints/last.ckpt",
        ".hydra/hydra.yaml",
    ],
)
def test_a_folder_in_place_of_a_file_is_rejected(folder: Path, name: str) -> None:
    """The resumed run would fail when it replaces the file, after hours of training."""
    (folder / name).mkdir(parents=True)
    sentence = rf"cannot be resumed, because {name} in it is a folder, but must be a file\. Delete it, or replace it"
    with pytest.raises(UserError, match=sentence):
        expand_arguments([f"resume='{folder}'"])


@pytest.mark.parametrize("name", ["tables", "figures", "checkpoints"])
def test_a_file_in_place_of_a_folder_is_rejected(folder: Path, name: str) -> None:
    (folder / name).touch()
    with pytest.raises(UserError, match=rf"because {name} in it is a file, but must be a folder\."):
        expand_arguments([f"resume='{folder}'"])


def test_other_files_and_folders_in_a_run_folder_are_accepted(folder: Path) -> None:
    (folder / "notes" / "old.csv").mkdir(parents=True)
    (folder / "tables").mkdir()
    (folder / "tables" / "history.csv").touch()
    (folder / "notes" / "tables").touch()
    assert "seed=7" in expand_arguments([f"resume='{folder}'"])


@pytest.mark.parametrize(
    ("prepare", "argument", "sentence"),
    [
        (lambda run: None, "resume=nowhere", "resume=nowhere is not a folder. Check the path."),
        (lambda run: None, "resume='a run/checkpoints/last.ckpt'", "Specify the run folder: resume='a run'"),
        (
            lambda run: (run / "config.yaml").unlink(),
            "resume='a run'",
            "because the folder does not contain",
        ),
        (lambda run: (run / "multirun.yaml").touch(), "resume='a run'", "is the folder of a sweep"),
        (
            lambda run: (run / ".hydra/overrides.yaml").write_text("a: 1"),
            "resume='a run'",
            "is not a list of overrides",
        ),
        (
            lambda run: (run / ".hydra/overrides.yaml").write_text("[a"),
            "resume='a run'",
            "overrides.yaml cannot be used",
        ),
        (lambda run: (run / "config.yaml").write_text("- a\n"), "resume='a run'", "it does not contain settings"),
        (lambda run: (run / "config.yaml").write_text("a: [\n"), "resume='a run'", "config.yaml cannot be used"),
        (lambda run: None, "+resume='a run'", "on the command line"),
    ],
)
def test_a_folder_that_cannot_be_resumed_is_explained(
    prepare, argument: str, sentence: str, folder: Path, command
) -> None:
    OmegaConf.save(["experiment=smile"], folder / ".hydra" / "overrides.yaml")
    prepare(folder)
    code, _, err = command(argument)
    assert code == 1
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "text",
    ["--experimental-rerun=x.pickle", "-m", "hydra.searchpath=[pkg://x]", "+hydra.job.env_set.A=1", "hydra/launcher=x"],
)
def test_stored_options_and_settings_of_hydra_are_refused(folder: Path, text: str) -> None:
    OmegaConf.save(["experiment=smile", text], overrides_of(folder))
    with pytest.raises(UserError, match="which is not a setting of a run"):
        expand_arguments([f"resume='{folder}'"])


def test_a_sweep_cannot_be_combined_with_resume(folder: Path) -> None:
    with pytest.raises(UserError, match="-m cannot be combined with resume"):
        expand_arguments([f"resume='{folder}'", "-m"])


@pytest.mark.parametrize("key", ["model.lr", "data.batch_size", "seed", "callbacks.best.monitor", "task._target_"])
def test_settings_that_would_change_the_result_are_refused(key: str) -> None:
    with pytest.raises(SettingError, match=rf"^{key}=2 cannot be changed when a run is resumed \(the run uses 1\)\."):
        check_changes({key: 2}, {key: 1})


def test_settings_that_do_not_change_the_result_are_accepted() -> None:
    check_changes({"data.num_workers": 2, "trainer.max_epochs": 9, "callbacks.progress_bar": None}, {})


@pytest.fixture
def resume(folder: Path, command, monkeypatch) -> Callable[..., tuple[DictConfig | None, str]]:
    """``resume("trainer.max_epochs=9")`` returns the settings of the resumed run, or None, and the error output."""
    found: list[DictConfig] = []

    def prepare(cfg: DictConfig) -> Callable[[DictConfig], dict[str, float]]:
        found.append(OmegaConf.create(OmegaConf.to_container(cfg, resolve=True)))
        return lambda cfg: {}

    monkeypatch.setattr("celeba_lab.cli.main.prepare", prepare)

    def run(*arguments: str) -> tuple[DictConfig | None, str]:
        found.clear()
        _, _, err = command(*arguments)
        return (found[0] if found else None), err

    (folder / "config.yaml").unlink()
    cfg, _ = run("experiment=smile", "trainer=cpu", "seed=7", f"hydra.run.dir='{folder}'")
    write_settings(folder, OmegaConf.to_container(cfg))
    return lambda *arguments: run(f"resume='{folder}'", *arguments)


def test_the_settings_in_the_folder_are_used_although_a_configuration_file_has_changed(folder: Path, resume) -> None:
    stored = OmegaConf.load(folder / "config.yaml")
    stored.model.lr, stored.trainer.max_epochs, stored.trainer.log_every_n_steps = 0.5, 1, 3
    OmegaConf.save(stored, folder / "config.yaml")
    cfg, _ = resume("trainer.max_epochs=4")  # The value that the file has now.
    assert (cfg.model.lr, cfg.trainer.max_epochs, cfg.trainer.log_every_n_steps) == (0.5, 4, 3)
    cfg, err = resume("model.lr=0.001")
    assert cfg is None
    assert "model.lr=0.001 cannot be changed when a run is resumed (the run uses 0.5)." in err


def test_settings_that_are_missing_in_the_folder_have_their_usual_values(folder: Path, resume) -> None:
    stored = OmegaConf.load(folder / "config.yaml")
    del stored.trainer.log_every_n_steps, stored.score
    OmegaConf.save(stored, folder / "config.yaml")
    cfg, _ = resume()
    assert cfg.trainer.log_every_n_steps > 0
    assert "score" in cfg


def test_a_stored_override_that_removes_the_task_does_not_matter(folder: Path, resume, monkeypatch) -> None:
    OmegaConf.save(["experiment=smile", "trainer=cpu", "seed=7", "~task"], overrides_of(folder))
    names: list[str] = []
    task = "celeba_lab.cli.main.prepare", lambda cfg: lambda cfg: names.append(Run.open(cfg).task) or {}
    monkeypatch.setattr(*task)
    _, err = resume()
    assert (err, names) == ("", ["train"])


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("trainer", 3, "the settings in trainer are missing"),
        pytest.param("data", [1], "the settings in data are missing", marks=pytest.mark.slow),
        pytest.param("model", {}, "the settings in model are missing", marks=pytest.mark.slow),
        pytest.param("task", None, "the settings in task are missing", marks=pytest.mark.slow),
        pytest.param("extra", 1, "extra is not a setting of celeba_lab", marks=pytest.mark.slow),
        ("score", "${oc.env:HOME}", "score contains an interpolation"),
        ("callbacks", {"a": ["${name}${name}"]}, "callbacks.a contains an interpolation"),
    ],
)
def test_a_damaged_file_of_settings_is_rejected(folder: Path, resume, key: str, value: object, sentence: str) -> None:
    stored = OmegaConf.load(folder / "config.yaml")
    stored[key] = value
    OmegaConf.save(stored, folder / "config.yaml")
    cfg, err = resume()
    assert cfg is None
    assert f"config.yaml is damaged: {sentence}." in err


def test_a_run_folder_is_used_by_one_process(folder: Path, command) -> None:
    assert claim(folder)
    try:
        code, _, err = command(f"resume='{folder}'")
        assert code == 1
        assert "is being used by another process. Wait until it has stopped, then try again." in err
    finally:
        release_claims()


@pytest.mark.parametrize("argument", ["resume=null", "resume='a run'"])
def test_null_means_that_nothing_is_resumed(folder: Path, argument: str, monkeypatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert ("seed=7" in expand_arguments([argument, "score=x"])) == (argument != "resume=null")


def test_a_deletion_can_be_repeated(folder: Path) -> None:
    once = expand_arguments([f"resume='{folder}'", "~callbacks.image_grid"])
    OmegaConf.save([text for text in once if not text.startswith(("hydra.", "resume="))], overrides_of(folder))
    assert expand_arguments([f"resume='{folder}'", "~callbacks.image_grid"]) == once


def test_a_run_of_a_sweep_whose_file_selects_the_mode_is_resumed(folder: Path, resume, own_conf: Path) -> None:
    OmegaConf.save(["experiment=swept", "trainer=cpu"], overrides_of(folder))
    swept = "defaults:\n  - smile\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 7,8\n"
    (own_conf / "experiment" / "swept.yaml").write_text(f"# @package _global_\n{swept}")
    cfg, err = resume()
    assert (err, cfg.seed) == ("", 7)


def test_the_command_contains_the_modules_that_the_user_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELEBA_LAB_TRUSTED_MODULES", "mine,theirs,mine")
    assert resume_command(Path("run")) == "python -m celeba_lab resume=run 'trusted_modules=[mine,theirs]'"
    check_changes({"trusted_modules": "['mine']"}, {"trusted_modules": "[]"})


def test_settings_that_refer_to_others_are_restored(folder: Path, resume) -> None:
    OmegaConf.save(["experiment=smile", "trainer=cpu", "seed=7", "score=${name}"], overrides_of(folder))
    cfg, err = resume("trainer.log_every_n_steps=${seed}")
    assert (err, cfg.trainer.log_every_n_steps) == ("", 7)
    _, err = resume("trainer.log_every_n_steps=${nothing}")
    assert "Interpolation key 'nothing' not found" in err
