"""Settings of a launcher that are run as commands, or send the jobs elsewhere, must be typed by the user."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from celeba_lab.cli.launcher_settings import check_launcher, list_typed
from celeba_lab.errors import SettingError

SLURM = {"setup": None, "additional_parameters": {}, "submitit_folder": "${hydra.sweep.dir}/.submitit/%j"}
TYPED_ONLY = "is accepted only on the command line or in a file in conf/hydra/launcher."
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"setup": ["evil"]}, f"hydra.launcher.setup.0=evil {TYPED_ONLY}"),
    ({"additional_parameters": {"wrap": "evil"}}, f"hydra.launcher.additional_parameters.wrap=evil {TYPED_ONLY}"),
    ({"submitit_folder": "/precious"}, f"hydra.launcher.submitit_folder=/precious {TYPED_ONLY}"),
    ({"address": "evil:6379"}, f"hydra.launcher.address=evil:6379 {TYPED_ONLY}"),
    ({"runtime_env": {"pip": ["evil"]}}, f"hydra.launcher.runtime_env.pip.0=evil {TYPED_ONLY}"),
    ({"temp_folder": "/precious"}, f"hydra.launcher.temp_folder=/precious {TYPED_ONLY}"),
    ({"comment": "a\nevil"}, "hydra.launcher.comment=a\nevil must not contain control characters."),
    ({"partition": "a\revil"}, "must not contain control characters."),
    ({"x\nevil": 1}, "must not contain control characters."),
    ({"nodes": 2}, "hydra.launcher.nodes=2 must be 1, because each job of a sweep uses a single process."),
    ({"tasks_per_node": 2}, "hydra.launcher.tasks_per_node=2 must be 1"),
]


@pytest.mark.parametrize(("settings", "sentence"), REFUSED)
def test_a_file_cannot_choose_commands_or_addresses(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_launcher(SLURM | settings, "submitit_slurm", ["hydra/launcher=submitit_slurm", "hydra.launcher.x=1"])
    assert sentence in str(caught.value)


@pytest.mark.parametrize("settings", [settings for settings, sentence in REFUSED if TYPED_ONLY in sentence])
def test_the_user_can_type_them(settings: dict[str, Any]) -> None:
    [(name, value)] = settings.items()
    override = f"+hydra.launcher.{name}=x"
    check_launcher(SLURM | settings, "submitit_slurm", ["seed=1", override])
    assert list_typed() == [override]
    with pytest.raises(SettingError):
        check_launcher(SLURM | {name: value, "setup": ["another"]}, "submitit_slurm", [f"hydra.launcher.{name}x=1"])
    assert list_typed() == []


def test_the_files_of_the_user_can_contain_them(own_conf: Path) -> None:
    folder = own_conf / "hydra" / "launcher"
    (folder / "mine.yaml").write_text("setup: [module load cuda]\naddress: 10.0.0.1:6379\n")
    launcher = {"setup": ["module load cuda"], "address": "10.0.0.1:6379"}
    check_launcher(launcher, "mine", [])
    for choice in ("slurm", "missing", "../../experiment/mine", None):
        with pytest.raises(SettingError):
            check_launcher(launcher, choice, [])


def test_an_option_is_added_to_those_in_the_chosen_file(own_conf: Path) -> None:
    (own_conf / "hydra" / "launcher" / "mine.yaml").write_text("additional_parameters: {requeue: true}\nsetup: [a]\n")
    added = {"additional_parameters": {"requeue": True, "mail-type": "END"}, "setup": ["a"]}
    check_launcher(added, "mine", ["+hydra.launcher.additional_parameters.mail-type=END"])
    with pytest.raises(SettingError, match=r"additional_parameters\.mail-type=END is accepted only"):
        check_launcher(added, "mine", [])
    with pytest.raises(SettingError, match=r"setup\.0=a is accepted only"):  # Another command follows.
        check_launcher({"setup": ["a", "b"]}, "mine", ["+hydra.launcher.setup.1=b"])


def test_a_resumed_sweep_needs_them_again() -> None:
    with pytest.raises(SettingError, match=r"does not store it, so type it again\.$"):
        check_launcher({"address": "auto"}, "ray", ["resume=s"])


def test_a_borrowed_experiment_starts_no_commands(own_conf: Path, command, tmp_path: Path) -> None:
    hydra = {"mode": "MULTIRUN", "launcher": {"setup": ["touch evil"]}, "sweeper": {"params": {"seed": "1,2"}}}
    text = OmegaConf.to_yaml({"defaults": [{"override /hydra/launcher": "slurm"}], "hydra": hydra})
    (own_conf / "experiment" / "borrowed.yaml").write_text(f"# @package _global_\n{text}")
    code, _, err = command("experiment=borrowed")
    assert (code, err.startswith("celeba_lab: error: hydra.launcher.setup.0=touch evil is accepted only")) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]
