"""The validation rules of constructors are applied to the configuration before slow imports."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from omegaconf import DictConfig, ListConfig, OmegaConf

from celeba_lab.cli.choose_data import choose_data
from celeba_lab.cli.rules import check_rules
from celeba_lab.cli.signatures import read_signature
from celeba_lab.config import check_types
from celeba_lab.errors import UserError

SOURCE = '''
from dataclasses import dataclass

import torch

from celeba_lab.errors import SettingError, UserError, check_at_least, check_choice, check_fraction

KINDS = {"a": torch.relu, "b": torch.tanh}
EXTENDED = {"a": 1}
EXTENDED["b"] = 2


def _check_sizes(small: int, large: int) -> None:
    """Check two sizes."""
    check_at_least("small", small, 1)
    if large < small:
        raise SettingError("large", large, f"must be at least small, which is {small}")


@dataclass
class Part:
    share: float

    def __post_init__(self) -> None:
        check_fraction("share", self.share)


class Whole:
    def __init__(self, kind: str, small: int, large: int, share: float, n: int | None, given: int = 0) -> None:
        super().__init__()
        check_choice("kind", kind, KINDS)
        _check_sizes(small, large)
        self.network = torch.nn.Linear(small, large)
        self.part = Part(share=share)
        for name, value in (("n", n),):
            if value is not None:
                check_at_least(name, value, 2)
        if n == 13:
            raise UserError("13 is an unlucky number.")
        check_at_least("given", given, 1)
        check_choice("kind", kind, EXTENDED)
        check_at_least("width", self.network.weight.shape[0], 5)
'''
GOOD = {"kind": "a", "small": 1, "large": 2, "share": 0.5, "n": None}


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A class that cannot be imported."""
    (tmp_path / "rules_of_a_test.py").write_text("raise RuntimeError('imported')\n" + SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("celeba_lab.cli.rules.PACKAGE", "rules_of_a_test")
    return "rules_of_a_test.Whole"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, None),
        ({"kind": "c"}, "group.node.kind=c must be one of a, b."),
        ({"small": 0}, "group.node.small=0 must be at least 1."),
        ({"small": 3}, "group.node.large=2 must be at least small, which is 3."),
        ({"share": 2.0}, "group.node.share=2 must be between 0 and 1."),
        ({"n": 1}, "group.node.n=1 must be at least 2."),
        ({"n": 13}, "13 is an unlucky number."),
    ],
)
def test_rules_are_checked_without_importing_the_class(
    target: str, values: dict[str, Any], sentence: str | None
) -> None:
    cfg = OmegaConf.create({"group": {"node": {"_target_": target, **GOOD, **values}}})
    if sentence is None:  # Arguments passed by the task and rules that need the network are not checked here.
        check_rules(cfg)
    else:
        with pytest.raises(UserError) as error:
            check_rules(cfg)
        assert str(error.value) == sentence


def test_targets_whose_source_cannot_be_read_are_not_checked() -> None:
    check_rules(OmegaConf.create({"node": {"_target_": "no_such_package.Thing", "n": -1}}))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["experiment=smile", "data.limit=0"], "data.limit=0 must be at least 2."),
        (["experiment=smile", "data.batch_size=0"], "data.batch_size=0 must be at least 2."),
        (["experiment=smile", "data.on_bad_image=skp"], "data.on_bad_image=skp must be one of raise, skip."),
        (["experiment=smile", "model.threshold=2"], "model.threshold=2 must be between 0 and 1."),
        (["task=compare", "task.runs=x", "task.split=tst"], "task.split=tst must be one of train, val, test."),
        (["task=generate", "task.n=0"], "task.n=0 must be at least 1."),
        (["task=export", "task.generator_weights=emma"], "task.generator_weights=emma must be one of ema, raw."),
        (["experiment=clusters", "task.report.seeds=-1"], "task.report.seeds=-1 must be at least 0."),
    ],
)
def test_values_of_every_kind_of_target_are_checked(
    overrides: list[str], sentence: str, compose: Callable[..., DictConfig]
) -> None:
    cfg = compose(*overrides)
    cfg.logger = cfg.callbacks = cfg.trainer = None  # These refer to the run folder, which exists only during a run.
    with pytest.raises(UserError) as error:
        check_rules(cfg)
    assert sentence in str(error.value)


@pytest.mark.parametrize("experiment", ["smile", "attributes", "gan", "gan_notebook", "clusters", "logistic"])
def test_every_experiment_satisfies_the_rules(experiment: str, compose: Callable[..., DictConfig]) -> None:
    cfg = compose(f"experiment={experiment}")
    cfg.logger = cfg.callbacks = cfg.trainer = None
    check_rules(cfg)


def _numeric_settings(node: DictConfig, hints: dict[str, Any]) -> Iterator[tuple[DictConfig, str]]:
    """The numeric settings of this package's own targets at and below a node, as (node, key)."""
    for key in map(str, node):
        value = None if OmegaConf.is_missing(node, key) else node[key]
        if isinstance(value, DictConfig):
            target = value.get("_target_", "celeba_lab")
            if target.startswith("celeba_lab"):
                yield from _numeric_settings(value, getattr(read_signature(target), "hints", {}))
        elif not isinstance(value, ListConfig):
            # The keys of a dictionary argument, such as a loss, have no type hints.
            types = {hints[key], *get_args(hints[key])} if key in hints else {type(value)}
            if types & {int, float}:
                yield node, key


@pytest.mark.parametrize(
    ("overrides", "fewest"),
    [
        (["experiment=smile", "recipe=strong", "loss=asymmetric"], 30),
        (["experiment=smile", "loss=focal"], 1),
        (["experiment=smile", "loss=weighted_bce"], 1),
        (["experiment=gan"], 20),
        (["experiment=gan_notebook"], 1),
        (["experiment=clusters"], 5),
        (["experiment=logistic"], 1),
        (["experiment=embeddings"], 5),
        (["task=generate"], 3),
        (["task=predict", "task.images=x"], 1),
        (["task=compare", "task.runs=x"], 1),
        (["task=synthesize"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_number_has_a_rule(overrides: list[str], fewest: int, compose: Callable[..., DictConfig]) -> None:
    """A nonsensical value is rejected by a rule or by the type of the setting, without a slow import."""
    cfg = compose(*overrides)
    choose_data(cfg)
    cfg.logger = cfg.trainer = None  # The logger and the Trainer are not tested here.
    for callback in (cfg.callbacks or {}).values():
        callback.update({key: "folder" for key in ("dirpath", "folder", "path") if key in callback})
    settings = [
        found
        for group in ("data", "model", "callbacks", "task")
        if cfg[group] is not None
        for found in _numeric_settings(cfg[group], getattr(read_signature(cfg[group].get("_target_", "")), "hints", {}))
    ]
    assert len(settings) >= fewest
    accepted = []
    for node, key in settings:
        given = node[key]
        for value in (-(10**9), float("nan"), float("inf")):
            node[key] = value
            try:
                check_rules(cfg)
                check_types(cfg, read_signature)
            except UserError as error:
                sentence = str(error)
            else:
                sentence = "accepted"
            if f"{key}=" not in sentence:
                accepted.append(f"{node._get_full_key(key)}={value}: {sentence}")
        node[key] = given
    assert accepted == []
