"""Devices, processes and Trainers that are built from the configuration group ``trainer``."""

import lightning as L
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from celeba_lab.engine.build import (
    build_callbacks,
    build_evaluator,
    build_trainer,
    check_precision,
    choose_device,
    count_processes,
    find_callback,
)
from celeba_lab.engine.callbacks import EpochLog, ProgressLine, Stopwatch
from celeba_lab.errors import SettingError, UserError


@pytest.fixture
def trainer(compose) -> DictConfig:
    """The configuration group ``trainer`` for the CPU, without a run folder."""
    return compose("trainer=cpu", "trainer.default_root_dir=null").trainer


def test_the_device_equals_the_device_of_the_trainer(trainer: DictConfig) -> None:
    assert choose_device(trainer) == torch.device("cpu") == build_trainer(trainer).strategy.root_device


@pytest.mark.parametrize("devices", [1, 2])
def test_the_process_count_equals_that_of_the_trainer(trainer: DictConfig, devices: int) -> None:
    trainer.devices = devices
    assert count_processes(trainer) == devices == build_trainer(trainer).world_size


@pytest.mark.parametrize("choose", [choose_device, build_trainer])
@pytest.mark.parametrize("accelerator", ["tpuu", "mps"])
def test_a_missing_device_gives_a_one_line_error(trainer: DictConfig, choose, accelerator: str) -> None:
    if accelerator == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has an Apple GPU")
    trainer.accelerator = accelerator
    with pytest.raises(UserError, match=r"^trainer: .* Use trainer=auto, cpu, gpu or mps\.$"):
        choose(trainer)


def test_callbacks_keep_their_order_and_null_callbacks_are_dropped(compose) -> None:
    configured = compose("callbacks.image_grid=null").callbacks
    kept = [name for name in configured if name in ("stopwatch", "progress_bar", "image_grid")]
    group = OmegaConf.create({name: configured[name] for name in kept})
    assert group.image_grid is None
    kinds = {"stopwatch": Stopwatch, "progress_bar": ProgressLine}
    assert [type(callback) for callback in build_callbacks(group)] == [kinds[name] for name in group if group[name]]
    assert build_callbacks(None) == []


@pytest.mark.parametrize("experiment", ["smile", "gan"])
def test_divergence_is_detected_before_a_checkpoint_is_saved(experiment: str, compose) -> None:
    targets = [
        callback._target_.rpartition(".")[2] for callback in compose(f"experiment={experiment}").callbacks.values()
    ]
    assert targets[0] == "TerminateOnNaN"
    assert [name for name in targets if "Checkpoint" in name][-1] == "LastCheckpoint", (
        "LastCheckpoint must come after the other checkpoints, because it stores their state"
    )


def test_a_callback_is_found_by_its_class(trainer: DictConfig) -> None:
    watch = Stopwatch()
    built = build_trainer(trainer, [watch])
    assert find_callback(built, Stopwatch) is watch
    assert find_callback(built, ProgressLine) is None


def test_an_evaluator_has_only_the_progress_line_of_the_training_callbacks(trainer: DictConfig, compose) -> None:
    watch = Stopwatch()
    evaluator = build_evaluator(trainer, compose().callbacks, watch, limit_test_batches=3)
    assert isinstance(evaluator.progress_bar_callback, ProgressLine)
    assert find_callback(evaluator, EpochLog) is None
    assert find_callback(evaluator, Stopwatch) is watch
    assert evaluator.limit_test_batches == 3
    assert evaluator.logger is None


def test_an_evaluator_does_not_need_callbacks(trainer: DictConfig) -> None:
    assert isinstance(build_evaluator(trainer, None), L.Trainer)


@pytest.mark.parametrize("precision", ["16-true", "bf16-true", "64-true"])
def test_a_precision_that_is_unsuitable_for_training_is_rejected(trainer: DictConfig, precision: str) -> None:
    trainer.precision = precision
    with pytest.raises(SettingError, match=rf"^trainer\.precision={precision} is not .*32-true\.$"):
        check_precision(build_trainer(trainer))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_precision_that_is_suitable_for_training_is_accepted(trainer: DictConfig, precision: str) -> None:
    trainer.precision = precision
    check_precision(build_trainer(trainer))


@pytest.mark.parametrize(("given", "used"), [(None, "32-true"), ("bf16-mixed", "bf16-mixed")])
def test_evaluation_is_in_float32_unless_another_precision_is_given(trainer: DictConfig, given, used: str) -> None:
    trainer.precision = given
    assert build_evaluator(trainer, None).precision == used


def test_a_precision_whose_library_is_missing_is_explained(trainer: DictConfig) -> None:
    trainer.precision = "transformer-engine"
    with pytest.raises(UserError, match=r"^trainer cannot be built: .*transformer_engine"):
        build_trainer(trainer)


def test_an_invalid_setting_of_a_callback_of_lightning_is_named() -> None:
    node = {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "save_top_k": -2}
    with pytest.raises(UserError, match=r"^callbacks\.own: Invalid value for save_top_k=-2\. Must be >= -1\.$"):
        build_callbacks(OmegaConf.create({"callbacks": {"own": node}}).callbacks)
