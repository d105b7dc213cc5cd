"""Before a sweep starts, its score is checked, and callbacks that replace what it varies are refused."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from celeba_lab.cli.sweep_checks import check_finders, check_score
from celeba_lab.errors import UserError

CLASSIFIER = {"_target_": "celeba_lab.models.classifier.AttributeClassifier", "attributes": ["Smiling"]}


@pytest.mark.parametrize(
    ("task", "score", "pruner", "expected"),
    [
        ("train", "val/accuracy", "median", None),
        ("train", None, "none", None),
        ("train", "val/perplexity", "none", None),
        ("train", "test/accuracy", "none", None),
        ("train", "train/acuracy", "none", r"is not a metric that this task reports\. Did you mean 'train/accuracy'"),
        ("train", "val/acuracy", "median", r"is not a metric that this task reports\. Did you mean 'val/accuracy'"),
        (
            "train",
            "val/perplexity",
            "median",
            r"is not a metric that validation logs, so it.* Use hydra/sweeper/pruner",
        ),
        ("train", "train/accuracy", "median", r"is not a metric that validation logs.* Did you mean 'val/accuracy'"),
        ("train_gan", "heldout/kid", "median", None),
        ("train_gan", "train/loss", "none", None),
        ("train_gan", "train/loss", "median", r"is not measured during training.* Use heldout/kid or heldout/fid\."),
        ("clusters", "silhouette", "median", r"pruner=median needs a task that trains, but the jobs run task=clusters"),
        ("clusters", "silhouette", "none", None),
    ],
)
def test_scores_that_no_job_can_report_are_refused(
    task: str, score: str | None, pruner: str, expected: str | None
) -> None:
    own = {"_target_": f"celeba_lab.tasks.{task}.{task}", "distances": {"every_n_epochs": 2}}
    cfg = OmegaConf.create({"task": own, "model": CLASSIFIER, "score": score})
    with nullcontext() if expected is None else pytest.raises(UserError, match=expected):
        check_score(cfg, pruner)


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_tasks_and_models_of_the_user_may_log_other_metrics(pruner: str) -> None:
    for task, model in (("mine.train", CLASSIFIER), ("celeba_lab.tasks.train.train", {"_target_": "mine.Model"})):
        check_score(OmegaConf.create({"task": {"_target_": task}, "model": model, "score": "val/acuracy"}), pruner)


@pytest.mark.parametrize("library", ["celeba_lab.engine.callbacks", "lightning.pytorch.callbacks"])
@pytest.mark.parametrize(
    ("kind", "setting"), [("LearningRateFinder", "model.lr"), ("BatchSizeFinder", "data.batch_size")]
)
def test_a_sweep_cannot_vary_what_a_callback_searches_for(library: str, kind: str, setting: str) -> None:
    cfg = OmegaConf.create({"callbacks": {"a": None, "b": {"_target_": f"{library}.{kind}"}}})
    with pytest.raises(UserError, match=rf"^{setting} cannot be varied, because callbacks\.b replaces its values"):
        check_finders(cfg, ["seed", setting])
    check_finders(cfg, ["seed", "model.lr", "data.batch_size"][: 1 if setting == "model.lr" else 2])
    check_finders(OmegaConf.create({"callbacks": None}), [setting])


FINDERS = "callbacks=[default,lr_finder,batch_size_finder]"
SEARCH = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2"]
MISTAKES = [
    ([FINDERS, "model.lr=0.1,0.2"], "model.lr cannot be varied, because callbacks.lr_finder"),
    ([*SEARCH, "model.lr=interval(0.1,1)", f"callbacks=default,{FINDERS[10:]}"], "model.lr cannot be varied"),
    ([FINDERS, "data.batch_size=8,16"], "data.batch_size cannot be varied, because callbacks.batch_size_finder"),
    ([f"callbacks=default,{FINDERS[10:]}", "model.lr=0.1,0.2", "seed=1,2,3"], "model.lr cannot be varied"),
    ([*SEARCH, "hydra.sweeper.params={data.batch_size:'int(interval(8,64))'}", FINDERS], "data.batch_size cannot be"),
    ([*SEARCH, "+hydra.sweeper.params.model.lr=1"], "hydra.sweeper.params.model is a section, but must be a setting."),
    ([*SEARCH, "hydra.sweeper.params={seed:'(1'}"], "hydra.sweeper.params=seed=(1 cannot be parsed."),
]


def check_mistake(command: Callable[..., tuple[int, str, str]], folder: Path, arguments: list[str], sentence: str):
    code, _, err = command("-m", "experiment=smile", "hydra.sweep.dir=s", *arguments)
    assert (code, len(err.splitlines()), list(folder.iterdir())) == (1, 1, []), err
    assert err.startswith(f"celeba_lab: error: {sentence}")


def test_a_sweep_over_what_a_callback_finds_leaves_nothing_behind(command, tmp_path: Path) -> None:
    for arguments, sentence in MISTAKES[:2]:
        check_mistake(command, tmp_path, arguments, sentence)


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES[2:], ids=lambda value: str(value)[:40])
def test_other_mistakes_in_sweeps_leave_nothing_behind(command, tmp_path: Path, arguments, sentence) -> None:
    check_mistake(command, tmp_path, arguments, sentence)


@pytest.mark.slow
def test_the_parameters_of_a_file_are_checked_too(command, own_conf: Path) -> None:
    parameters = "hydra: {sweeper: {params: {model.lr: '0.1,0.2'}}}"
    text = f"# @package _global_\ndefaults: [/experiment/smile, _self_]\n{parameters}\n"
    (own_conf / "experiment" / "mine.yaml").write_text(text)
    code, _, err = command("-m", "experiment=mine", FINDERS)
    assert (code, err.startswith("celeba_lab: error: model.lr cannot be varied")) == (1, True), err
