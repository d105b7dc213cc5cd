import math
import pickle
from collections.abc import Callable

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString

from celeba_lab.errors import (
    SettingError,
    UserError,
    check_above,
    check_at_least,
    check_between,
    check_choice,
    check_fraction,
    did_you_mean,
    enumerate_names,
    format_value,
    quote_override,
    settings_of,
)

ODD = [
    "",
    "a b",
    "a,b",
    "a=b",
    "x:y",
    "it's",
    "a\\b",
    "\\'",
    "end\\",
    "null",
    "True",
    "nan",
    "1",
    "1e3",
    "1_0",
    "-1",
    "é",
    "$x",
]


def parse(text: str) -> object:
    """Return the value that Hydra reads, in which quoted texts are texts."""

    def plain(value: object) -> object:
        if isinstance(value, list):
            return list(map(plain, value))
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        return value.text if isinstance(value, QuotedString) else value

    return plain(OverridesParser.create().parse_override(f"key={text}").value())


@pytest.mark.parametrize("value", [ODD, [[1, 2.5, None, True], {"a": "b", "c": ["x", "8"]}], ["/x/y.z", "..", "_1"]])
def test_lists_are_written_in_the_grammar_of_hydra(value: list[object]) -> None:
    assert parse(format_value(value)) == value


def test_quoted_texts_are_read_unchanged_by_hydra() -> None:
    assert [parse(quote_override(text)) for text in ODD] == ODD


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("smlie", " Did you mean 'smile'?"),
        ("SMILE", " Did you mean 'smile'?"),  # Case is ignored.
        ("one-cycle", " Did you mean 'one_cycle'?"),
        ("zebra", ""),
        ("", ""),
    ],
)
def test_the_closest_choice_is_suggested(name, expected):
    assert did_you_mean(name, ["smile", "attributes", "one_cycle"]) == expected


def test_nothing_is_suggested_without_choices():
    assert did_you_mean("smile", []) == ""


def test_choices_may_be_any_iterable():
    assert did_you_mean("smlie", iter({"smile": 1})) == " Did you mean 'smile'?"


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, ""),
        (1, "a0"),
        (5, "a0, a1, a2, a3, a4"),
        (6, "a0, a1, a2, a3, a4 and 1 more"),
        (9, "a0, a1, a2, a3, a4 and 4 more"),
    ],
)
def test_long_lists_show_the_first_names_and_a_count(count, expected):
    assert enumerate_names(f"a{k}" for k in range(count)) == expected


def test_the_number_of_names_shown_can_be_limited():
    assert enumerate_names(["a", "b", "c"], limit=1) == "a and 2 more"


def test_the_sentence_of_a_user_error_is_its_message():
    assert UserError("data.root=x is missing.").sentence == "data.root=x is missing."


def test_the_sentence_of_an_error_from_a_worker_has_no_traceback():
    # DataLoader re-raises an exception from a worker as the same class, with the traceback as the message.
    rebuilt = UserError(
        "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "worker.py", line 1, in loop\n    raise UserError("img.jpg: it is cut off.")\n'
        "celeba_lab.errors.UserError: img.jpg: it is cut off.\n"
    )
    assert rebuilt.sentence == "img.jpg: it is cut off."


# ------------------------------------------------------------------------------------------------------- setting errors


def test_a_setting_error_states_the_value_and_the_rule() -> None:
    error = SettingError("splits", ["train", None], "must not name train", " The generator is trained on that split.")
    expected = "splits=[train,null] must not name train. The generator is trained on that split."
    assert error.sentence == str(error) == expected


def test_each_context_adds_its_part_of_the_path() -> None:
    cause = KeyError("cause")
    with pytest.raises(SettingError) as caught, settings_of("task"), settings_of("distances"):
        raise SettingError("n_images", 2, "must be at least 3", "Take 2,000.") from cause
    assert str(caught.value) == "task.distances.n_images=2 must be at least 3. Take 2,000."
    assert caught.value.__cause__ is cause


def test_nothing_is_added_to_a_full_path() -> None:
    with pytest.raises(SettingError, match=r"^model\.weights=x "), settings_of("task"), settings_of("model", True):
        raise SettingError("weights", "x", "does not exist")


def test_nothing_is_added_to_an_empty_path() -> None:
    assert str(SettingError("seed", -1, "must be at least 0").within("")) == "seed=-1 must be at least 0."


def test_other_errors_pass_through_the_context_unchanged() -> None:
    error = UserError("There is no CelebA.")
    with pytest.raises(UserError) as caught, settings_of("task"):
        raise error
    assert caught.value is error


def test_a_setting_error_can_be_pickled() -> None:
    error = SettingError("limit", 0, "must be at least 1", "Or leave it out.", is_absolute=True)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.is_absolute) == (str(error), True)


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (lambda: check_choice("split", "tst", ["train", "val", "test"]), "split=tst must be one of train, val, test."),
        (lambda: check_choice("split", "tst", iter(["train", "test"])), "Did you mean 'test'?"),
        (lambda: check_at_least("limit", 0, 1), "limit=0 must be at least 1."),
        (lambda: check_at_least("lr", math.nan, 0), "lr=nan must be at least 0."),
        (lambda: check_above("truncation", 0.0, 0), "truncation=0 must be above 0."),
        (lambda: check_above("truncation", math.nan, 0), "truncation=nan must be above 0."),
        (lambda: check_between("nearest", 65, 0, 64), "nearest=65 must be between 0 and 64."),
        (lambda: check_between("nearest", -1, 0, 64), "nearest=-1 must be between 0 and 64."),
        (lambda: check_fraction("flip", 1.5), "flip=1.5 must be between 0 and 1."),
        (lambda: check_fraction("flip", math.nan), "flip=nan must be between 0 and 1."),
    ],
)
def test_a_value_that_violates_a_rule_is_rejected(check: Callable[[], None], sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        check()
    assert sentence in str(caught.value)


def test_a_value_at_the_limit_of_its_range_is_accepted() -> None:
    check_choice("split", "val", ["train", "val"])
    check_at_least("limit", 1, 1)
    check_above("truncation", 1e-9, 0)
    for value in (0, 64):
        check_between("nearest", value, 0, 64)
    for value in (0.0, 1.0):
        check_fraction("flip", value)
