"""The files in conf/ and the objects that they build."""

import inspect
from dataclasses import fields

import lightning
import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationToMissingValueError

from celeba_lab.cli.choices import list_choices
from celeba_lab.cli.explain import explain
from celeba_lab.config import Config, Recipe, build, check_nodes, check_types, resolve
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.errors import SettingError, UserError, settings_of
from celeba_lab.files import config_directory
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.reports.classifier import ClassifierReport

CONF = config_directory()


CLASSIFIERS, GANS = ("smile", "attributes"), ("gan", "gan_notebook")


def pairs_that_go_together(group: str) -> list[tuple[str, str]]:
    """Return all pairs of a training experiment and a choice in a group that applies to its model."""
    choices = list_choices(group)
    pairs = [(experiment, name) for experiment in CLASSIFIERS for name in choices if "/" not in name]
    return pairs + [(experiment, name) for experiment in GANS for name in choices if name.startswith("gan/")]


@pytest.mark.parametrize(("experiment", "recipe"), pairs_that_go_together("recipe"))
def test_every_experiment_can_be_composed_with_every_recipe_for_its_model(
    experiment: str, recipe: str, compose
) -> None:
    cfg = compose(f"experiment={experiment}", f"recipe={recipe}")
    assert set(cfg) == {field.name for field in fields(Config)}
    assert cfg.name == experiment
    assert cfg.trainer.max_epochs == cfg.recipe.max_epochs
    is_notebook = "notebook" in recipe
    assert (cfg.recipe.precision == "auto") == (not is_notebook)
    assert cfg.trainer.precision is None


@pytest.mark.parametrize("trainer", list_choices("trainer"))
@pytest.mark.parametrize("experiment", ["smile", "gan"])
def test_every_experiment_can_be_composed_with_every_trainer(experiment: str, trainer: str, compose) -> None:
    cfg = compose(f"experiment={experiment}", f"trainer={trainer}")
    assert cfg.trainer.max_epochs == (1 if trainer == "smoke" else cfg.recipe.max_epochs)


@pytest.mark.parametrize("piece", sorted({*list_choices("callbacks")} - {"default", "gan"}))
def test_every_callback_can_be_combined_with_the_others(piece: str, compose) -> None:
    cfg = compose("experiment=smile", f"callbacks=[default,{piece}]", "callbacks.last.dirpath=x")
    assert list(cfg.callbacks)[-2:] == [piece, "ema"]
    check_types(
        OmegaConf.create({"callbacks": {piece: cfg.callbacks[piece]}, "score": "val/f1", "direction": "minimize"})
    )
    assert set(compose("experiment=gan", f"callbacks=[gan,{piece}]").callbacks) >= {piece, "samples"}


def test_early_stopping_monitors_the_score(compose) -> None:
    for experiment, whole, expected in (("smile", "default", "max"), ("gan", "gan", "min")):
        cfg = compose(f"experiment={experiment}", f"callbacks=[{whole},early_stopping]")
        assert (cfg.callbacks.early_stopping.monitor, cfg.callbacks.early_stopping.mode) == (cfg.score, expected)


@pytest.mark.parametrize("experiment", ["smile", "attributes", "gan", "gan_notebook"])
@pytest.mark.parametrize("debug", list_choices("debug"))
def test_every_experiment_can_be_composed_with_every_debug_preset(experiment: str, debug: str, compose) -> None:
    cfg = compose(f"experiment={experiment}", f"debug={debug}")
    assert (cfg.debug, cfg.name) == (debug, experiment)
    assert cfg.trainer.max_epochs == {"one_batch": 1, "overfit": 40, "profile": 1, "limit": 2}.get(
        debug, cfg.recipe.max_epochs
    )


@pytest.mark.parametrize("profiler", list_choices("profiler"))
def test_profilers_write_to_the_run_folder(profiler: str, compose) -> None:
    node = compose(f"profiler={profiler}").trainer.profiler
    assert OmegaConf.to_container(node, resolve=False)["dirpath"] == "${hydra:runtime.output_dir}/profile"
    check_types(OmegaConf.create({"trainer": {"profiler": dict(OmegaConf.to_container(node), dirpath="x")}}))


@pytest.mark.parametrize(("experiment", "loss"), pairs_that_go_together("loss"))
def test_every_experiment_can_be_composed_with_every_loss_for_its_model(experiment: str, loss: str, compose) -> None:
    name = loss.removeprefix("gan/")
    model = compose(f"experiment={experiment}", f"loss={loss}").model
    assert model.loss.name == {"r1": "non_saturating"}.get(name, name)


@pytest.mark.parametrize("task", ["clusters", "compare", "cooccurrence", "export", "logistic", "synthesize"])
def test_a_task_without_a_model_has_no_training_settings(task: str, compose) -> None:
    cfg = compose(f"task={task}")
    assert [cfg.model, cfg.trainer, cfg.callbacks] == [None, None, None]
    assert cfg.recipe == Recipe()
    assert (cfg.data is None) == (task in ("compare", "export"))


def test_the_notebook_recipe_has_the_settings_of_the_notebook(compose) -> None:
    cfg = compose("experiment=smile", "recipe=notebook")
    assert (cfg.model.optimizer, cfg.model.lr, cfg.model.schedule, cfg.model.weight_decay) == (
        "Adam",
        1e-3,
        "constant",
        0,
    )
    assert (cfg.trainer.max_epochs, cfg.recipe.precision, cfg.data.batch_size, cfg.model.image_size) == (
        3,
        "32-true",
        32,
        128,
    )
    assert not any(cfg.model.augment.values())
    assert (cfg.model.freeze, cfg.model.flip_average, "ema" in cfg.callbacks) == (0, False, False)


def test_the_trainer_settings_are_the_arguments_of_the_lightning_trainer(compose) -> None:
    known = set(inspect.signature(lightning.Trainer).parameters) - {"logger", "callbacks"}
    assert set(compose().trainer) - {"_target_"} == known


@pytest.mark.parametrize(
    ("group", "target", "given_by_the_task"),
    [("data", CelebADataModule, {"attributes", "image_size"}), ("model", AttributeClassifier, {"prevalence"})],
)
def test_yaml_keys_equal_constructor_arguments(group: str, target: type, given_by_the_task: set[str], compose) -> None:
    assert (
        set(compose("data=celeba")[group]) - {"_target_"}
        == set(inspect.signature(target).parameters) - given_by_the_task
    )


def test_every_file_is_described_by_its_first_comment() -> None:
    for path in CONF.rglob("*.yaml"):
        comments = [line for line in path.read_text().splitlines() if line.startswith("# ") and "@package" not in line]
        assert comments, path


def test_build_raises_the_original_error() -> None:
    with pytest.raises(ZeroDivisionError):
        build(OmegaConf.create({"_target_": "fractions.Fraction", "numerator": 1, "denominator": 0}))


def test_build_returns_none_for_none() -> None:
    assert build(None) is None


def test_types_are_checked_in_nested_settings(compose) -> None:
    cfg = compose("experiment=smile")
    cfg.callbacks.ema.decay = "slow"
    cfg = OmegaConf.create({"callbacks": {"ema": cfg.callbacks.ema}})
    with pytest.raises(UserError, match=r"callbacks\.ema\.decay='slow' has the wrong type"):
        check_types(cfg)


def test_the_default_data_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, compose) -> None:
    monkeypatch.delenv("CELEBA_ROOT", raising=False)
    assert compose().data.root == "data/celeba"
    monkeypatch.setenv("CELEBA_ROOT", "/faces")
    assert compose().data.root == "/faces"


def test_the_settings_of_a_nested_object_are_checked() -> None:
    good = {"_target_": "lightning.Trainer", "profiler": {"_target_": "lightning.pytorch.profilers.SimpleProfiler"}}
    check_types(OmegaConf.create({"trainer": good}))
    bad = {
        "_target_": "lightning.Trainer",
        "profiler": {"_target_": "lightning.pytorch.profilers.SimpleProfiler", "x": 1},
    }
    with pytest.raises(UserError, match=r"trainer\.profiler\.x is not a setting of"):
        check_types(OmegaConf.create({"trainer": bad}))


def test_the_error_for_a_renamed_setting_gives_the_new_name(compose) -> None:
    cfg = compose("data=celeba", "+data.in_memory=true")
    with pytest.raises(SettingError, match=r"^data\.in_memory=true has been replaced by data\.store=memory"):
        check_types(cfg)
    with pytest.raises(ConfigCompositionException) as error:
        compose("data.in_memory=true")
    assert str(explain(error.value)).startswith("data.in_memory has been replaced by data.store=memory")
    with pytest.raises(ConfigCompositionException) as error:
        compose("task=export", "task.weights=raw")
    assert explain(error.value) == "task.weights has been replaced by task.generator_weights."


@pytest.mark.parametrize(
    ("overrides", "node", "sentence"),
    [
        (["data.limit=0"], "data", "data.limit=0 must be at least 2."),
        (["task.report.bins=0"], "task", "task.report.bins=0 must be at least 1."),
        (["experiment=gan", "task.distances.n_images=2"], "task", "task.distances.n_images=2 must be at least 3."),
        (
            ["experiment=gan", "callbacks.samples.folder=faces", "callbacks.samples.n=65"],
            "callbacks.samples",
            "callbacks.samples.n=65 must be between 1 and 64.",
        ),
    ],
)
def test_build_adds_the_full_path_of_a_setting(compose, overrides: list[str], node: str, sentence: str) -> None:
    given = {"attributes": ["Smiling"], "image_size": 32} if node == "data" else {}
    with pytest.raises(SettingError) as caught, settings_of("task"):
        build(OmegaConf.select(compose("data=celeba", *overrides), node), **given)
    assert str(caught.value).startswith(sentence)


def test_an_object_built_in_python_names_only_its_argument() -> None:
    with pytest.raises(SettingError, match=r"^bins=0 must be at least 1"):
        ClassifierReport(bins=0)


def test_resolve_names_the_setting_without_a_value() -> None:
    cfg = OmegaConf.create({"data": {"root": "${task.images}"}, "task": {"images": "???"}})
    with pytest.raises(InterpolationToMissingValueError) as caught:
        resolve(cfg)
    assert str(explain(caught.value)).startswith("task.images has no value")
    cfg.task.images = "photos"
    resolve(cfg)
    assert OmegaConf.to_container(cfg) == {"data": {"root": "photos"}, "task": {"images": "photos"}}


def test_an_escaped_interpolation_is_rejected() -> None:
    """OmegaConf would resolve it later, when it could have another value."""
    for value in (r"\${seed}", [r"\${seed}"], {"x": [{"y": r"a\${seed}"}]}):
        with pytest.raises(SettingError, match=r"^data\.root.*must not contain an escaped interpolation\.$"):
            resolve(OmegaConf.create({"seed": 1, "data": {"root": value}}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": "x"}, "data=x must be null or settings in braces, with a _target_."),
        ({"trainer": 5}, "trainer=5 must be null or settings"),
        ({"callbacks": ["x"]}, "callbacks=[x] must be null or settings"),
        ({"callbacks": {"x": [1]}}, "callbacks.x=[1] must be null or settings"),
        ({"callbacks": {"x": 5}}, "callbacks.x=5 must be null or settings"),
        ({"callbacks": {"x": {"y": 5}}}, "callbacks.x has no _target_"),
        ({"task": None}, "task=None has no _target_. Choose a task"),
        ({"task": {"x": 1}}, "task={'x': 1} has no _target_. Choose a task"),
        ({"task": {"_target_": "a.b", "_args_": [1]}}, "task._args_=[1] is not supported."),
        ({"task": {"_target_": "a.b", "_partial_": "yes"}}, "task._partial_=yes is not supported."),
        ({"model": {"_recursive_": "x"}}, "model._recursive_=x is not supported."),
        (
            {"model": {"_target_": "a.b", "loss": [{"_partial_": True}]}},
            "model.loss.0._partial_=True is not supported.",
        ),
        ({"data": {"_x": {"_target_": "a.b"}}}, "data._x={'_target_': 'a.b'} is not supported."),
    ],
)
def test_groups_must_be_nodes_without_reserved_keys(changes: dict, sentence: str) -> None:
    good = {"task": {"_target_": "a.b", "_partial_": True}, "model": None, "callbacks": {"x": None, "y": {}}}
    check_nodes(OmegaConf.create(good))
    with pytest.raises(UserError) as caught:
        check_nodes(OmegaConf.create(good | changes))
    assert caught.value.sentence.startswith(sentence)


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "github_token", "DB_PASSWORD"])
def test_secrets_in_the_environment_are_not_stored_as_settings(name: str, command, monkeypatch) -> None:
    monkeypatch.setenv(name, "12345")
    code, out, err = command("experiment=smile", f"score=${{oc.env:{name},none}}")
    assert code == 1
    assert f"The environment variable {name} cannot be a setting, because settings are stored as plain text" in err
    assert "12345" not in out + err


def test_other_environment_variables_can_be_settings(compose, monkeypatch) -> None:
    monkeypatch.setenv("MY_FACES", "/faces")
    cfg = compose("data.root=${oc.env:MY_FACES}", "score=${oc.env:NOTHING,val/f1}")
    assert (cfg.data.root, cfg.score) == ("/faces", "val/f1")
