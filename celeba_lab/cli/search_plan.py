"""Check the settings of a search before it starts: its space, its sampler and its pruner."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from math import prod
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from celeba_lab.config import one_line
from celeba_lab.errors import (
    SettingError,
    UserError,
    check_at_least,
    check_between,
    check_choice,
    check_keywords,
    settings_of,
)
from celeba_lab.runs.search import Search, build_pruner, require_optuna

OPTUNA_SWEEPER = "hydra_plugins.celeba_lab_optuna.OptunaSweeper"
"""The sweeper of ``hydra/sweeper=optuna``."""

_MOST_TRIALS = 10_000
_MOST_LISTED = 1000  # A range may have billions of values.
_SAMPLERS = ("tpe", "random", "grid", "cmaes", "gp")
_PRUNERS = ("none", "median", "percentile", "successive_halving", "hyperband")
# Samplers that do not learn from the trials, so that all trials can be chosen together.
_INDEPENDENT = ("random", "grid")


def plan_search(config: DictConfig, parsed: Sequence[Override], at_once: int) -> Search:
    """Return the record of a search that is about to start.

    Args:
        config: Configuration of the sweep, including the settings of Hydra.
        parsed: Parameters of the sweeper and overrides of the task.
        at_once: Number of trials that run at the same time, unless ``hydra.sweeper.n_jobs`` is set.

    Raises:
        UserError: A setting is invalid, or Optuna is not installed.
    """
    require_optuna()
    settings: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
    space, _ = split_overrides(parsed)
    with settings_of("hydra.sweeper", is_absolute=True):
        for name, may_be_null in (("n_trials", False), ("seed", False), ("n_jobs", True)):
            value = settings[name]
            if isinstance(value, bool | float) or (value is None and not may_be_null):
                raise SettingError(name, value, "must be an integer")
        check_between("n_trials", settings["n_trials"], 1, _MOST_TRIALS)
        check_at_least("n_jobs", settings["n_jobs"], 1)
        check_between("seed", settings["seed"], 0, 2**32 - 1)
        storage, study = settings["storage"], settings["study_name"]
        is_name = isinstance(storage, str) and "/" not in storage and storage.isprintable()
        if not is_name or storage.startswith(".") or not storage.endswith(".log"):
            rule = "must be the name of a file that ends in .log, which is created in the sweep's folder"
            raise SettingError("storage", storage, rule)
        sampler = _named("sampler", settings["sampler"], _SAMPLERS)
        pruner = _named("pruner", settings["pruner"], _PRUNERS)
    if not space:
        raise UserError(
            "A search needs at least one setting to search, for example 'model.lr=tag(log,interval(1e-4,1e-2))'. Add it"
            " to the command or to hydra.sweeper.params."
        )
    if config.score is None:
        raise SettingError("score", None, "cannot be optimised", "Choose a metric of the task.", is_absolute=True)
    search = Search(
        storage=storage,
        study=str(study or config.name),
        space={key: override.get_value_string() for key, override in space.items()},
        n_trials=settings["n_trials"],
        at_once=_count_together(settings["n_jobs"], sampler["name"], at_once),
        seed=settings["seed"],
        sampler=sampler,
        pruner=pruner,
        score=config.score,
        direction=config.direction,
    )
    return _check_built(search, list(space.values()))


def _count_together(given: int | None, sampler: str, at_once: int) -> int | None:
    """Return the number of trials that are chosen and launched together, or None for all."""
    if given is not None:
        return given
    return None if sampler in _INDEPENDENT else at_once


def _named(setting: str, value: Any, choices: Iterable[str]) -> dict[str, Any]:
    """Return the settings of a sampler or a pruner, which may be given by its name alone."""
    settings = dict(value) if isinstance(value, dict) else {"name": "none" if value is None else str(value)}
    with settings_of(setting):
        check_choice("name", str(settings.get("name")), choices)
    return settings


def _check_built(search: Search, space: list[Override]) -> Search:
    """Build the sampler and the pruner once, and limit the number of trials to the size of a grid.

    Raises:
        UserError: A setting is not one of the sampler or the pruner, or has an invalid value.
    """
    distributions = {override.get_key_element(): distribution_of(override) for override in space}
    with _explaining("pruner", search.pruner["name"]):
        build_pruner(search.pruner)
    with _explaining("sampler", search.sampler["name"]):
        build_sampler(search, distributions, 0)
    if search.sampler["name"] != "grid":
        return search
    size = prod(len(_grid_values(key, distribution)) for key, distribution in distributions.items())
    return replace(search, n_trials=min(search.n_trials, size))


@contextmanager
def _explaining(section: str, name: str) -> Iterator[None]:
    """Within this block, explain an error with which Optuna refuses the settings of a section."""
    try:
        with settings_of(f"hydra.sweeper.{section}", is_absolute=True):
            yield
    except (TypeError, ValueError, AttributeError) as error:
        rule = f"is refused by Optuna ({one_line(error)})"
        raise SettingError(f"hydra.sweeper.{section}", name, rule, is_absolute=True) from error


def split_overrides(parsed: Iterable[Override]) -> tuple[dict[str, Override], list[str]]:
    """Return the searched settings by key, and the overrides that all trials share. The last value of a key counts.

    Example:
        >>> parse = OverridesParser.create().parse_overrides
        >>> space, fixed = split_overrides(parse(["experiment=smile", "model.lr=interval(1,2)", "seed=1"]))
        >>> list(space), fixed
        (['model.lr'], ['experiment=smile', 'seed=1'])
    """
    last = {override.get_key_element(): override for override in parsed}
    space = {key: override for key, override in last.items() if override.is_sweep_override()}
    shared = [key for key in last if key not in space]
    return space, [f"{key}={last[key].get_value_element_as_str()}" for key in shared]


def parse_overrides(config: DictConfig, loader: ConfigLoader, arguments: Sequence[str]) -> list[Override]:
    """Parse the parameters of the sweeper, followed by the overrides of the task.

    Raises:
        UserError: A parameter is not an override.
    """
    sweeper = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
    assert isinstance(sweeper, dict)
    parameters: Any = sweeper.get("params") or {}
    parser = OverridesParser.create(config_loader=loader)
    for key, value in parameters.items():
        if isinstance(value, dict):  # The command line makes a section of each part of a name.
            hint = f"Give its full name in braces: 'hydra.sweeper.params={{{key}.{next(iter(value), 'NAME')}: ...}}'"
            raise UserError(f"hydra.sweeper.params.{key} is a section, but must be a setting. {hint}")
        try:
            parser.parse_override(f"{key}={value}")
        except HydraException as error:
            raise SettingError(
                "hydra.sweeper.params", f"{key}={value}", "cannot be parsed", is_absolute=True
            ) from error
    return parser.parse_overrides([*(f"{key}={value}" for key, value in parameters.items()), *arguments])


def first_value(override: Override) -> str:
    """Return an override with the first value of a searched setting."""
    value: Any = override.value()
    first = value.start if isinstance(value, IntervalSweep) else next(iter(override.sweep_string_iterator()))
    return f"{override.get_key_element()}={first}"


def listed_values(override: Override) -> list[str]:
    """Return an override with each of the first values of a searched setting, or with the first one of an interval."""
    if isinstance(override.value(), IntervalSweep):
        return [first_value(override)]
    return [f"{override.get_key_element()}={text}" for text in islice(override.sweep_string_iterator(), _MOST_LISTED)]


def distribution_of(override: Override) -> Any:
    """Return the Optuna distribution of a searched setting.

    Intervals include both ends, and ranges do not include their end, as elsewhere in Hydra. Other values are choices.

    Raises:
        SettingError: The interval or the range is empty, or a logarithmic one is not above 0.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    key = override.get_key_element()
    try:
        if isinstance(value, IntervalSweep):
            start, end = value.start, value.end
            is_whole = isinstance(start, int) and isinstance(end, int)
            kind: Any = IntDistribution if is_whole else FloatDistribution
            return kind(start, end, log="log" in value.tags)
        if isinstance(value, RangeSweep) and not value.shuffle and isinstance(values := value.range(), range):
            low, high = sorted((values[0], values[-1]))
            return IntDistribution(low, high, step=abs(values.step))
        return CategoricalDistribution(tuple(override.sweep_string_iterator()))
    except (ValueError, IndexError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it has no values"
        rule = f"cannot be searched ({reason.rstrip('.')})"
        raise SettingError(key, override.get_value_string(), rule, is_absolute=True) from error


def _grid_values(key: str, distribution: Any) -> list[Any]:
    """Return the values of a searched setting in a grid.

    Raises:
        SettingError: The setting has infinitely many values.
    """
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution) and not distribution.log:
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    rule = f"does not work with {key}, which is an interval"
    raise SettingError("hydra/sweeper/sampler", "grid", rule, "Give a list of values.", is_absolute=True)


def build_sampler(search: Search, space: dict[str, Any], trial: int) -> Any:
    """Return the sampler that chooses the settings of a trial.

    The random numbers depend only on the seed and the number of the trial, so a resumed search chooses what it would
    have chosen without the interruption.

    Args:
        search: The search.
        space: Distributions of the searched settings.
        trial: Number of the trial.

    Raises:
        UserError: A setting is not one of the sampler, or its library is not installed.
    """
    import numpy as np
    from optuna import samplers

    name = search.sampler["name"]
    settings = {key: value for key, value in search.sampler.items() if key != "name"}
    kinds = {
        "tpe": samplers.TPESampler,
        "random": samplers.RandomSampler,
        "grid": samplers.GridSampler,
        "cmaes": samplers.CmaEsSampler,
        "gp": samplers.GPSampler,
    }
    check_keywords(settings, kinds[name])
    if name == "grid":  # The order of the grid is shuffled with this seed, and must stay the same.
        values = {key: _grid_values(key, distribution) for key, distribution in space.items()}
        return samplers.GridSampler(values, seed=search.seed, **settings)
    if name == "cmaes" and find_spec("cmaes") is None:  # Optuna imports it only when it chooses the second trial.
        rule, hint = "needs a library that is not installed", "Install it with: pip install cmaes"
        raise SettingError("hydra/sweeper/sampler", name, rule, hint, is_absolute=True)
    seed = int(np.random.SeedSequence([search.seed, trial]).generate_state(1)[0])
    return kinds[name](seed=seed, **settings)
