"""Choices of a configuration group depend on the model."""

import pytest
from hydra.errors import ConfigCompositionException

from celeba_lab.cli.choices import check_choices, check_group_overrides, explain_unknown_choice, list_choices
from celeba_lab.cli.explain import explain
from celeba_lab.errors import UserError


def test_choices_for_a_single_model_are_listed_last() -> None:
    assert list_choices("recipe") == ["attributes", "default", "notebook", "strong", "gan/default", "gan/notebook"]
    assert "estimator/logistic" not in list_choices("task")


GAN_LOSSES = "gan/hinge, gan/non_saturating, gan/r1, gan/relativistic, gan/wasserstein"
LOSSES = "asymmetric, bce, focal, weighted_bce"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("loss/hinge", f"There is no loss 'hinge'. Did you mean 'gan/hinge'? Choose from: {GAN_LOSSES}."),
        ("loss/r1", f"There is no loss 'r1'. Did you mean 'gan/r1'? Choose from: {GAN_LOSSES}."),
        (
            "loss/wassertein",
            f"There is no loss 'wassertein'. Did you mean 'gan/wasserstein'? Choose from: {GAN_LOSSES}.",
        ),
        ("loss/gan/hing", f"There is no loss 'gan/hing'. Did you mean 'gan/hinge'? Choose from: {GAN_LOSSES}."),
        ("loss/bcee", f"There is no loss 'bcee'. Did you mean 'bce'? Choose from: {LOSSES}."),
        ("loss/zzz", f"There is no loss 'zzz'. Choose from: {LOSSES}, {GAN_LOSSES}."),
        (
            "recipe/gan",
            "There is no recipe 'gan'. Did you mean 'gan/default'? Choose from: gan/default, gan/notebook.",
        ),
        (
            "recipe/gan_notebook",
            "There is no recipe 'gan_notebook'. Did you mean 'gan/notebook'? Choose from: gan/default, gan/notebook.",
        ),
        (
            "recipe/notebok",
            "There is no recipe 'notebok'. Did you mean 'notebook'?"
            " Choose from: attributes, default, notebook, strong.",
        ),
    ],
)
def test_an_unknown_choice_error_suggests_choices_for_the_same_model(path: str, sentence: str) -> None:
    assert explain_unknown_choice(path, []) == sentence


def test_other_groups_list_the_choices_known_to_hydra() -> None:
    assert explain_unknown_choice("task/scaler/standart", ["none", "standard"]) == (
        "There is no task/scaler 'standart'. Did you mean 'standard'? Choose from: none, standard."
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
            " Choose from: attributes, default, notebook, strong.",
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
        (["experiment=gan", "loss=hinge"], "There is no loss 'hinge'. Did you mean 'gan/hinge'?"),
        (["experiment=gan", "recipe=gan"], "There is no recipe 'gan'. Did you mean 'gan/default'?"),
        (["experiment=logistic", "task/classifier=logistic"], "task/classifier has been replaced by task/estimator."),
        (["experiment=logistic", "task/estimatr=logistic"], "'task/estimatr'. Did you mean 'task/estimator'?"),
        (["experiment=logistic", "task/scaler=none"], "task/scaler cannot be chosen here"),
        (["task=no_model"], "There is no task 'no_model'."),
        (["task=base/no_model"], "There is no task/base 'no_model'."),
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
