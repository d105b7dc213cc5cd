"""Check the settings of a job before its sweep starts: the score, and callbacks that replace what the sweep varies."""

from collections.abc import Container, Iterable

from omegaconf import DictConfig, OmegaConf

from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.metric_names import DISTANCE_METRICS, metric_names
from celeba_lab.errors import SettingError, UserError, did_you_mean

_OWN_TASKS = "celeba_lab.tasks."
_CLASSIFIER = "celeba_lab.models.classifier.AttributeClassifier"
_NO_PRUNER = "Use hydra/sweeper/pruner=none."
# Settings for which a callback searches, by the class of the callback in celeba_lab or Lightning.
_FINDERS = {"LearningRateFinder": "model.lr", "BatchSizeFinder": "data.batch_size"}


def check_score(cfg: DictConfig, pruner: str = "none") -> None:
    """Check the score of a sweep, as far as the metrics of its jobs are known before they run.

    The code of a user may log other metrics. Without a pruner, only a name that is similar to that of a metric is
    therefore rejected. A pruner needs a metric that is measured during training.

    Args:
        cfg: Configuration of a job.
        pruner: Name of the pruner of a search.

    Raises:
        UserError: The score is misspelt, or cannot be used to prune.
    """
    target = str(OmegaConf.select(cfg, "task._target_", default=""))
    if cfg.score is None or not target.startswith(_OWN_TASKS):
        return
    task, prunes = target.rpartition(".")[2], pruner != "none"
    if task == "train":
        _check_classifier_score(cfg, prunes)
    elif prunes and task == "train_gan":
        if cfg.score not in DISTANCE_METRICS:
            rule = "is not measured during training, so it cannot be used to prune"
            raise SettingError("score", cfg.score, rule, f"Use {' or '.join(DISTANCE_METRICS)}.", is_absolute=True)
        if OmegaConf.select(cfg, "task.distances.every_n_epochs") is None:
            needed = "needs distances during training. Set task.distances.every_n_epochs."
            raise UserError(f"hydra/sweeper/pruner={pruner} {needed}")
    elif prunes:
        needed = f"needs a task that trains, but the jobs run task={task}."
        raise UserError(f"hydra/sweeper/pruner={pruner} {needed} {_NO_PRUNER}")


def _check_classifier_score(cfg: DictConfig, prunes: bool) -> None:
    if OmegaConf.select(cfg, "model._target_") != _CLASSIFIER:
        return
    chosen = OmegaConf.select(cfg, "model.attributes", default=None)
    attributes = list(chosen) if OmegaConf.is_list(chosen) else list(ATTRIBUTES)
    validation = [f"val/{name}" for name in metric_names(attributes)]
    known = [*(f"train/{name}" for name in metric_names(attributes, ranking=False)), *validation]
    score = str(cfg.score)
    is_logged = score.startswith(("train/", "val/"))
    if is_logged and score not in known and (suggestion := did_you_mean(score, known)):
        raise SettingError("score", score, "is not a metric that this task reports", suggestion, is_absolute=True)
    if prunes and score not in validation:
        rule = "is not a metric that validation logs, so it cannot be used to prune"
        hint = did_you_mean(score, validation) or _NO_PRUNER
        raise SettingError("score", score, rule, hint, is_absolute=True)


def has_finder(settings: Iterable[str]) -> bool:
    """Return whether there is a callback that searches for one of the settings."""
    return any(setting in _FINDERS.values() for setting in settings)


def check_finders(cfg: DictConfig, varied: Container[str]) -> None:
    """Check that no callback of a job searches for a setting that its sweep varies, because only its value would count.

    Args:
        cfg: Configuration of a job.
        varied: Names of the settings that the sweep varies.

    Raises:
        UserError: A callback would replace the values.
    """
    for name, node in (cfg.get("callbacks") or {}).items():
        target = str((node or {}).get("_target_"))
        setting = _FINDERS.get(target.rpartition(".")[2])
        if setting is not None and setting in varied:
            raise UserError(
                f"{setting} cannot be varied, because callbacks.{name} replaces its values by the one that it finds."
                f" Remove the callback (callbacks.{name}=null), or do not vary {setting}."
            )
