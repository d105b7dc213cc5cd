"""Choices of a configuration group depend on the model."""

import pytest
from hydra.errors import ConfigCompositionException

from celeba_lab.cli.choices import check_choices, check_group_overrides, explain_unknown_choice, list_choices
from celeba_lab.cli.explain import explain
from celeba_lab.errors import UserError


def test_choices_for_a_single_model_are_listed_last() -> None:
    assert list_choices("recipe") == [
        "attributes",
        "default",
        "notebook",
        "scratch",
        "strong",
        "gan/default",
        "gan/notebook",
    ]
    assert "estimator/logistic" not in list_choices("task")


GAN_LOSSES = "gan/hinge, gan/non_saturating, gan/r1, gan/relativistic, gan/wasserstein"
LOSSES = "asymmetric, bce, focal, weighted_bce"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("loss/hinge", f"'hinge' is not a choice for loss. Did you mean 'gan/hinge'? Choose from: {GAN_LOSSES}."),
        ("loss/r1", f"'r1' is not a choice for loss. Did you mean 'gan/r1'? Choose from: {GAN_LOSSES}."),
        (
            "loss/wassertein",
            f"'wassertein' is not a choice for loss. Did you mean 'gan/wasserstein'? Choose from: {GAN_LOSSES}.",
        ),
        (
            "loss/gan/hing",
            f"'gan/hing' is not a choice for loss. Did you mean 'gan/hinge'? Choose from: {GAN_LOSSES}.",
        ),
        ("loss/bcee", f"'bcee' is not a choice for loss. Did you mean 'bce'? Choose from: {LOSSES}."),
        ("loss/zzz", f"'zzz' is not a choice for loss. Choose from: {LOSSES}, {GAN_LOSSES}."),
        (
            "recipe/gan",
            "'gan' is not a choice for recipe. Did you mean 'gan/default'? Choose from: gan/default, gan/notebook.",
        ),
        (
            "recipe/gan_notebook",
            "'gan_notebook' is not a choice for recipe. Did you mean 'gan/notebook'?"
            " Choose from: gan/default, gan/notebook.",
        ),
        (
            "recipe/notebok",
            "'notebok' is not a choice for recipe. Did you mean 'notebook'?"
            " Choose from: attributes, default, notebook, scratch, strong.",
        ),
    ],
)
def test_an_unknown_choice_error_suggests_choices_for_the_same_model(path: str, sentence: str) -> None:
    assert explain_unknown_choice(path, []) == sentence


def test_other_groups_list_the_choices_known_to_hydra() -> None:
    assert explain_unknown_choice("task/scaler/standart", ["none", "standard"]) == (
        "'standart' is not a choice for task/scaler. Did you mean 'standard'? Choose from: none, standard."
    )


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        (
            {"model": "classifier", "loss": "gan/hinge"},
            f"loss=gan/hinge does not work with model=classifier. Choose from: {LOSSES}.",
        ),
        ({"model": "gan", "loss": "focal"}, f"loss=focal does not work with model=gan. Choose from: {GAN_LOSSES}."),
        (
            {"model": "gan", "recipe": "notebook"},
            "recipe=notebook does not work with model=gan. Did you mean 'gan/notebook'?"
            " Choose from: gan/default, gan/notebook.",
        ),
        (
            {"model": "classifier", "recipe": "gan/default"},
            "recipe=gan/default does not work with model=classifier. Did you mean 'default'?"
            " Choose from: attributes, default, notebook, scratch, strong.",
        ),
    ],
)
def test_a_choice_for_the_wrong_model_is_rejected(chosen: dict[str, str | None], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check_choices(chosen)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "chosen",
    [
        {"model": "classifier", "loss": None, "recipe": "strong"},
        {"model": "classifier", "loss": "focal", "recipe": "default"},
        {"model": "gan", "loss": "gan/r1", "recipe": "gan/notebook"},
        {"model": "a_model_without_choices_of_its_own", "loss": "bce", "recipe": "default"},
        {"model": None, "loss": None, "recipe": "gan/default"},
    ],
)
def test_compatible_choices_are_accepted(chosen: dict[str, str | None]) -> None:
    check_choices(chosen)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["experiment=gan", "loss=hinge"], "'hinge' is not a choice for loss. Did you mean 'gan/hinge'?"),
        (["experiment=gan", "recipe=gan"], "'gan' is not a choice for recipe. Did you mean 'gan/default'?"),
        (["experiment=logistic", "task/classifier=logistic"], "task/classifier has been replaced by task/estimator."),
        (["experiment=logistic", "task/estimatr=logistic"], "'task/estimatr'. Did you mean 'task/estimator'?"),
        (["experiment=logistic", "task/scaler=none"], "task/scaler cannot be chosen here"),
        (["task=no_model"], "'no_model' is not a choice for task."),
        (["task=base/no_model"], "'no_model' is not a choice for task/base."),
        (["losss=focal"], "There is no setting 'losss'. Did you mean 'loss'?"),
    ],
)
def test_a_wrong_choice_on_the_command_line_gives_a_one_sentence_error(
    overrides: list[str], sentence: str, compose
) -> None:
    with pytest.raises(ConfigCompositionException) as error:
        compose(*overrides)
    assert sentence in str(explain(error.value))


@pytest.mark.parametrize(
    "text", ["data=[]", "data=[auto,celeba]", "data={a:1}", "recipe=[1,2]", "data=null", "experiment=[]"]
)
def test_a_choice_must_be_a_name(text: str) -> None:
    with pytest.raises(UserError, match=r"is not a choice\. Choose one of "):
        check_group_overrides([text])


@pytest.mark.parametrize("text", ["data=auto", "experiment=[smile]", "+experiment=smile", "data=auto,celeba"])
def test_names_and_sweeps_over_names_are_choices(text: str) -> None:
    check_group_overrides([text])


@pytest.mark.parametrize(
    ("override", "combined"),
    [
        ("callbacks=early_stopping", "callbacks=[default,early_stopping]"),
        ("callbacks=[early_stopping,swa]", "callbacks=[default,early_stopping,swa]"),
    ],
)
def test_single_callbacks_are_combined_with_the_others(override: str, combined: str) -> None:
    with pytest.raises(UserError) as caught:
        check_group_overrides([override])
    assert "would leave out all other callbacks" in str(caught.value)
    assert combined in str(caught.value)
    check_group_overrides([combined, "callbacks=[gan,early_stopping]", "callbacks=default,gan"])
    with pytest.raises(UserError, match="would leave out"):
        check_choices({"callbacks": "swa"})


def test_a_misspelt_callback_in_a_list_is_explained(compose) -> None:
    with pytest.raises(Exception) as caught:
        compose("callbacks=[default,early_stoping]")
    assert str(explain(caught.value)).startswith(
        "'early_stoping' is not a choice for callbacks. Did you mean 'early_stopping'? Choose from: accumulation,"
    )


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"debug": "one_batch", "task": "compare"}, "debug=one_batch does not work with task=compare, which does not"),
        ({"debug": "overfit", "task": "train_gan", "model": "gan"}, "debug=overfit works only with a classifier"),
    ],
)
def test_debug_presets_are_for_training(chosen: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_choices(chosen)


@pytest.mark.parametrize(
    ("path", "extra"),
    [("hydra/launcher/joblib", "sweep"), ("hydra/launcher/submitit_slurm", "slurm"), ("hydra/launcher/ray", "ray")],
)
def test_a_choice_that_needs_an_extra_is_explained(path: str, extra: str) -> None:
    assert explain_unknown_choice(path, ["basic"]) == (
        f"hydra/launcher={path.rpartition('/')[2]} needs libraries that are not installed. Install them with:"
        f" pip install 'celeba-lab[{extra}]'"
    )
