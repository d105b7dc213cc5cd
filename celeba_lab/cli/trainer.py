"""Range checks for the settings of Lightning's ``Trainer``, which itself accepts some unusable values.

For example, ``accumulate_grad_batches=0`` would cause a division by zero in the first batch.
"""

import re

from omegaconf import DictConfig

from celeba_lab.errors import SettingError, check_above, check_at_least, check_choice, settings_of

_LEAST = {
    "num_nodes": 1,
    "fast_dev_run": 0,
    "min_epochs": 0,
    "min_steps": 0,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": -1,
    "log_every_n_steps": 0,
    "accumulate_grad_batches": 1,
    "gradient_clip_val": 0,
    "overfit_batches": 0,
    "reload_dataloaders_every_n_epochs": 0,
}
_ABOVE_ZERO = (
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "limit_predict_batches",
    "val_check_interval",
)


_DURATION = re.compile(r"\d+:\d\d:\d\d:\d\d")


def _check_duration(duration: object) -> None:
    if isinstance(duration, str) and not _DURATION.fullmatch(duration):
        raise SettingError("max_time", duration, "must have the form DD:HH:MM:SS, in quotes")


# In lower precision, training loses small updates. In double precision, a run could not be resumed exactly.
_PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed", "32", "bf16", "16")


def check_trainer(cfg: DictConfig) -> None:
    """Check that the numeric settings of the Trainer are in range, and that its limits do not contradict each other.

    Raises:
        SettingError: A number is out of range, or the precision of the recipe is unknown or unsuitable for training.
    """
    with settings_of("recipe", is_absolute=True):
        check_choice("precision", cfg.recipe.precision, _PRECISIONS)
    if cfg.trainer is None:
        return
    numbers = {
        str(key): value
        for key, value in cfg.trainer.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    with settings_of("trainer", is_absolute=True):
        _check_duration(cfg.trainer.get("max_time"))
        for name, least in _LEAST.items():
            check_at_least(name, numbers.get(name), least)
        for name in _ABOVE_ZERO:
            check_above(name, numbers.get(name), 0)
        for name in ("max_epochs", "max_steps", "devices"):
            if name in numbers and not (numbers[name] == -1 or 1 <= numbers[name] < float("inf")):
                meaning = "all devices" if name == "devices" else "no limit"
                raise SettingError(name, numbers[name], f"must be at least 1, or -1 for {meaning}")
        for unit in ("epochs", "steps"):
            shortest, longest = numbers.get(f"min_{unit}", 0), numbers.get(f"max_{unit}", -1)
            if 0 <= longest < shortest:
                raise SettingError(f"min_{unit}", shortest, f"must be at most trainer.max_{unit}={longest}")
