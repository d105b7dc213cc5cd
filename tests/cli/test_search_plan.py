"""The search space is that of Hydra's own syntax, and the sampler depends only on the seed and the trial."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from celeba_lab.cli.search_plan import build_sampler, distribution_of, first_value, listed_values, plan_search
from celeba_lab.errors import SettingError
from celeba_lab.runs.search import Search

optuna = pytest.importorskip("optuna", reason="install celeba_lab[sweep]")
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402


def parse(text: str) -> Override:
    [override] = OverridesParser.create().parse_overrides([text])
    return override


@pytest.mark.parametrize(
    ("text", "expected", "first"),
    [
        ("model.lr=interval(0.1,1)", FloatDistribution(0.1, 1), "0.1"),
        ("model.lr=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True), "0.0001"),
        ("data.batch_size=int(interval(8,64))", IntDistribution(8, 64), "8"),
        ("data.batch_size=int(tag(log,interval(8,64)))", IntDistribution(8, 64, log=True), "8"),
        ("seed=range(1,4)", IntDistribution(1, 3), "1"),
        ("seed=range(10,1,-4)", IntDistribution(2, 10, step=4), "10"),
        ("model.mixup=range(0.0,0.3,0.1)", CategoricalDistribution(("0.0", "0.1", "0.2")), "0.0"),
        ("loss=choice(bce,focal)", CategoricalDistribution(("bce", "focal")), "bce"),
        ("loss=bce,focal", CategoricalDistribution(("bce", "focal")), "bce"),
        ("model.betas=[0.0,0.9],[0.5,0.9]", CategoricalDistribution(("[0.0,0.9]", "[0.5,0.9]")), "[0.0,0.9]"),
        ("data.limit=null,5", CategoricalDistribution(("null", "5")), "null"),
        ("+x='a b','c'", CategoricalDistribution(("'a b'", "'c'")), "'a b'"),
    ],
)
def test_the_space_is_written_in_the_syntax_of_hydra(text: str, expected: object, first: str) -> None:
    assert distribution_of(parse(text)) == expected
    assert first_value(parse(text)).partition("=")[2] == first


@pytest.mark.parametrize("text", ["x=interval(2,1)", "x=tag(log,interval(0,1))", "x=range(1,1)"])
def test_empty_spaces_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"cannot be searched"):
        distribution_of(parse(text))


@pytest.mark.parametrize(
    ("sampler", "n_jobs", "expected"), [("tpe", None, 3), ("tpe", 5, 5), ("random", None, None), ("grid", 2, 2)]
)
def test_the_number_of_trials_that_start_together_can_be_set(sampler: str, n_jobs: int | None, expected) -> None:
    settings = {"n_trials": 9, "n_jobs": n_jobs, "seed": 1, "storage": "x.log", "study_name": None}
    settings |= {"sampler": sampler, "pruner": "none"}
    config = {"name": "x", "score": "val/accuracy", "direction": "maximize", "hydra": {"sweeper": settings}}
    search = plan_search(OmegaConf.create(config), [parse("seed=1,2")], at_once=3)
    assert search.at_once == expected
    for name, value in (("n_trials", None), ("n_jobs", 1.5), ("seed", True)):
        config["hydra"] = {"sweeper": settings | {name: value}}
        with pytest.raises(SettingError, match=rf"hydra\.sweeper\.{name}=\S+ must be an integer"):
            plan_search(OmegaConf.create(config), [parse("seed=1,2")], at_once=3)


@pytest.mark.parametrize("name", ["tpe", "random", "gp"])
def test_a_trial_does_not_depend_on_the_process_that_chooses_it(name: str) -> None:
    search = Search(
        storage="x", study="x", space={}, n_trials=1, at_once=1, seed=7, sampler={"name": name},
        pruner={"name": "none"}, score="x", direction="maximize",
    )  # fmt: skip
    space = {"x": FloatDistribution(0, 1)}

    def choose(number: int) -> float:
        return optuna.create_study(sampler=build_sampler(search, space, number)).ask(space).params["x"]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert choose(1) == choose(1)
    assert len({choose(number) for number in range(5)}) == 5


def test_the_first_values_of_a_setting_are_listed() -> None:
    texts = ["trainer.devices=range(1,3)", "seed=range(1,1000000000)", "model.lr=interval(0.1,1)", "trainer=cpu,gpu"]
    listed = [listed_values(override) for override in OverridesParser.create().parse_overrides(texts)]
    assert [len(values) for values in listed] == [2, 1000, 1, 2]
    assert [listed[0], listed[2]] == [["trainer.devices=1", "trainer.devices=2"], ["model.lr=0.1"]]
