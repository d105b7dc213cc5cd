"""The command that is printed to resume a sweep contains what its folder does not store."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from celeba_lab.cli.output_paths import check_output_paths, given_on_command_line
from celeba_lab.cli.typed import list_typed_again, list_typed_for_sweep
from celeba_lab.config import resolve
from celeba_lab.runs.interrupts import Interrupted
from celeba_lab.runs.sweep import Sweep

PRINTED = "python -m celeba_lab "


def test_the_printed_command_gives_a_resumed_sweep_the_same_permissions(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def prepare(cfg: DictConfig) -> None:
        resolve(cfg)
        check_output_paths(cfg)
        begun.append(f"{cfg.logger.tensorboard.save_dir} {HydraConfig.get().job.env_set.X}")
        raise Interrupted(15)

    monkeypatch.setattr("celeba_lab.cli.main.prepare", prepare)
    away = [f"logger.tensorboard.save_dir='{tmp_path}/my logs'", "hydra.sweep.subdir=j${hydra.job.num}"]
    hydra = ["+hydra.job.env_set.X=1", "hydra.job.chdir=false", "hydra.sweeper.max_batch_size=1"]
    code, out, err = command("-m", "experiment=smile", "seed=1,2", "hydra.sweep.dir=s", *away, *hydra)
    assert code == 143
    [printed] = [line for line in out.splitlines() if line.startswith("if stopped: ")]
    printed = printed.partition(PRINTED)[2]
    assert shlex.split(printed) == ["resume=s", *away, *hydra[:2]]
    assert err.splitlines()[-1] == f"To resume: {PRINTED}{printed}"

    assert command("resume=s")[2].startswith(f"celeba_lab: error: The sweep was started with {away[1]}, which must be")
    code, out, _ = command(*shlex.split(printed))
    assert (code, begun) == (143, [f"{tmp_path}/my logs 1"] * 2)
    assert f"if stopped: {PRINTED}{printed}\n" in out, "the resumed sweep can be stopped as well"
    assert [path.name for path in (tmp_path / "s").iterdir() if path.is_dir()] == ["j0"]


def test_the_folders_of_jobs_must_be_in_the_folder_of_the_sweep(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, _, err = command("-m", "experiment=smile", "seed=1,2", "hydra.sweep.subdir=a/${hydra.job.num}")
    assert code == 1
    assert err.startswith("celeba_lab: error: hydra.sweep.subdir=a/${hydra.job.num} must not contain a slash")
    assert not list(tmp_path.glob("outputs/*/*"))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["+logger.mlflow.tracking_uri=http://a,http://b"], True),
        (["logger.mlflow.tracking_uri=${oc.env:MLFLOW}"], True),
        (["callbacks.best.dirpath=a,b"], True),
        (["trainer={default_root_dir:x}"], True),
        (["logger=mlflow", "callbacks.best.filename=a", "model.weights=/a/b", "trainer.max_epochs=1,2"], False),
    ],
)
def test_settings_that_may_lead_out_of_the_folder_are_typed_again(typed: list[str], expected: bool) -> None:
    sweep = Sweep(
        overrides=["seed=1", *typed], hydra_overrides=[], options=[], varied=[], jobs=None, score=None,
        direction="maximize",
    )  # fmt: skip
    with given_on_command_line(["-m", *typed]):
        assert list_typed_for_sweep(sweep) == (typed if expected else [])
    assert list_typed_for_sweep(sweep) == [], "a file cannot give permissions"


def test_another_configuration_is_chosen_again() -> None:
    stored = ["-cd", "mine", "--config-name=x", "seed=1", "hydra.run.dir=a", "hydra/launcher=joblib", "hydra.mode=RUN"]
    with given_on_command_line(stored):
        assert list_typed_again() == []
    with given_on_command_line(["--config-path", "own", *stored]):
        assert list_typed_again() == ["--config-path=own", "-cd=mine", "--config-name=x"]
