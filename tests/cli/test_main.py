"""User errors are reported in one sentence, and bugs with a traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf.errors import ConfigAttributeError

Command = Callable[..., tuple[int, str, str]]

TINY = ["experiment=smile", "trainer=smoke", "model.weights=null", "model.image_size=32", "data.batch_size=8"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["experiment=smlie"], "'smlie' is not a choice for experiment. Did you mean 'smile'?"),
        (["task=trian"], "'trian' is not a choice for task. Did you mean 'train'?"),
        (["data=celebA"], "'celebA' is not a choice for data. Did you mean 'celeba'?"),
        (["trainer=gpuu"], "'gpuu' is not a choice for trainer. Did you mean 'gpu'?"),
        (["datta=celeba"], "There is no setting 'datta'. Did you mean 'data'?"),
        (["experiment=smile", "model.lrr=1"], "There is no setting 'model.lrr'. Did you mean 'lr'?"),
        (["experiment=smile", "callbacks.best.monitr=x"], "'callbacks.best.monitr'. Did you mean 'monitor'?"),
        (["experiment=smile", "+model.lrr=1"], "model.lrr is not a setting of"),
        (["seed=abc"], "seed: Value 'abc' of type 'str' could not be converted to Integer"),
        (["model.lr=abc"], "model.lr='abc' has the wrong type: it must be a number."),
        (["data.batch_size=1.5"], "data.batch_size=1.5 has the wrong type"),
        (["trainer.max_epochs=many"], "trainer.max_epochs='many' has the wrong type"),
        (["trainer.precision=7"], "trainer.precision=7 has the wrong type"),
        (["task=predict"], "task.images has no value. Set it with task.images=..."),
        (["foo"], "'foo' on the command line cannot be parsed. Use key=value"),
        (["model.attributes=[Smiling"], "'model.attributes=[Smiling' on the command line cannot be parsed"),
        (["-m", "seed=1,2", "trainer.devices=2"], "trainer.devices=2 cannot be used in a sweep, because every process"),
        (["-m", "seed=1,2", "trainer=cpu,ddp"], "trainer.devices=auto cannot be used in a sweep"),
        (["search=smile", "trainer.devices=1,2"], "trainer.devices=2 cannot be used in a sweep"),
        (["model._target_=celeba_lab.models.Nothing"], "model._target_=celeba_lab.models.Nothing cannot be imported"),
        (["task=evaluate"], "To evaluate, specify a checkpoint: checkpoint=outputs/"),
        (["task=evaluate", "task.split=tests", "checkpoint=x"], "task.split=tests must be one of train, val, test."),
        (["seed=-1"], "seed=-1 must be between 0 and 4294967295."),
        (
            ["experiment=smile", "data=celeba", "data.root=nowhere"],
            "The data folder nowhere does not exist. It must contain list_attr_celeba",
        ),
        (["task=evaluate", "checkpoint=no.ckpt"], "checkpoint=no.ckpt does not exist."),
    ],
)
def test_a_mistake_gives_a_one_sentence_error(
    command: Command, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    code, _, err = command(*arguments)
    assert code == 1
    assert sentence in err
    assert err.startswith("celeba_lab: error: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "model.attributes=[Smling]",
            "model.attributes=[Smling] contains 'Smling', which is not an attribute of CelebA.",
        ),
        (
            "model.backbone=resnet_18",
            "is not a backbone. Did you mean 'resnet18'?",
        ),
        (
            "model.weights=IMAGENET1K_V9",
            "model.weights=IMAGENET1K_V9 is neither a file nor the name of torchvision weights for mobilenet",
        ),
        ("model.weights=no.pth", "model.weights=no.pth does not exist"),
        ("model.optimizer=Adamw", "model.optimizer=Adamw is not an optimizer in torch.optim. Did you mean 'AdamW'?"),
        (
            "model.schedule=onecycle",
            "model.schedule=onecycle must be one of constant, one_cycle, cosine. Did you mean 'one_cycle'?",
        ),
        ("model.threshold=2", "model.threshold=2 must be between 0 and 1"),
        ("model.augment.flipp=1", "'model.augment.flipp'. Did you mean 'flip'?"),
        ("data.on_bad_image=skp", "data.on_bad_image=skp must be one of raise, skip. Did you mean 'skip'?"),
        ("trainer.accelerator=tpuu", "trainer: You selected an invalid accelerator name: `accelerator='tpuu'`"),
        ("callbacks.best.monitor=val/acuracy", "val/acuracy"),
        ("trainer.max_epochs=-1", "model.schedule=one_cycle requires a fixed number of steps"),
    ],
)
def test_a_wrong_setting_stops_the_run_at_the_latest_in_the_first_epoch(
    command: Command, tiny_celeba: Path, override: str, sentence: str
) -> None:
    code, _, err = command(*TINY, f"data.root={tiny_celeba}", override)
    assert code == 1
    assert sentence in err
    assert "Traceback" not in err


def test_the_error_for_invalid_yaml_names_the_file_and_line(own_conf: Path, command: Command) -> None:
    (own_conf / "experiment" / "broken.yaml").write_text("# @package _global_\nname: [broken\n")
    code, _, err = command("experiment=broken")
    assert code == 1
    assert "Invalid YAML" in err
    assert "broken.yaml" in err
    assert "line" in err
    assert "Traceback" not in err


def test_a_bug_in_celeba_lab_shows_the_traceback(
    command: Command, monkeypatch: pytest.MonkeyPatch, tiny_celeba: Path
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("celeba_lab.tasks.train.Run.open", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        command(*TINY, f"data.root={tiny_celeba}")


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_a_sweep_warns_if_the_score_is_missing(command: Command, tiny_celeba: Path) -> None:
    code, out, _ = command("-m", *TINY, f"data.root={tiny_celeba}", "score=test/acuracy")
    assert code == 0
    assert "score=test/acuracy is not a metric of these runs" in out
    assert "Did you mean 'test/accuracy'?" in " ".join(out.split())


def test_a_missing_key_in_the_code_of_a_task_is_not_reported_as_a_mistake(
    command: Command, monkeypatch: pytest.MonkeyPatch, tiny_celeba: Path
) -> None:
    monkeypatch.setattr("celeba_lab.tasks.train.Run.open", lambda cfg: cfg.modle)
    with pytest.raises(ConfigAttributeError, match="modle"):
        command(*TINY, f"data.root={tiny_celeba}")
