import pytest

from celeba_lab.errors import UserError, did_you_mean, enumerate_names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("smlie", " Did you mean 'smile'?"),
        ("SMILE", " Did you mean 'smile'?"),  # case is no difference to a person
        ("one-cycle", " Did you mean 'one_cycle'?"),
        ("zebra", ""),
        ("", ""),
    ],
)
def test_the_nearest_choice(name, expected):
    assert did_you_mean(name, ["smile", "attributes", "one_cycle"]) == expected


def test_the_nearest_of_no_choices():
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
def test_the_first_names_and_a_count(count, expected):
    assert enumerate_names(f"a{k}" for k in range(count)) == expected


def test_the_first_names_up_to_a_limit():
    assert enumerate_names(["a", "b", "c"], limit=1) == "a and 2 more"


def test_the_sentence_is_the_message():
    assert UserError("data.root=x is missing.").sentence == "data.root=x is missing."


def test_the_sentence_of_an_error_from_a_worker():
    # What torch's DataLoader makes of an exception in a worker: the traceback as message, of the same class.
    rebuilt = UserError(
        "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "worker.py", line 1, in loop\n    raise UserError("img.jpg: it is cut off.")\n'
        "celeba_lab.errors.UserError: img.jpg: it is cut off.\n"
    )
    assert rebuilt.sentence == "img.jpg: it is cut off."
