"""The score of a sweep is checked before it starts, as far as the metrics of its jobs are known."""

from contextlib import nullcontext

import pytest
from omegaconf import OmegaConf

from celeba_lab.cli.sweep_checks import check_score
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
            r"is not a metric of the validation during training.* Use hydra/sweeper/pruner",
        ),
        ("train", "train/accuracy", "median", r"is not a metric of the validation.* Did you mean 'val/accuracy'"),
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
