import pytest

from celeba_lab.data.attributes import ATTRIBUTES, check_attributes
from celeba_lab.errors import UserError


def test_the_forty_names_are_in_the_order_of_the_official_header():
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == 40
    assert list(ATTRIBUTES) == sorted(ATTRIBUTES)
    assert ATTRIBUTES[31] == "Smiling"


def test_the_given_order_is_kept():
    assert check_attributes(("Young", "Male")) == ["Young", "Male"]


def test_all_selects_the_forty_names():
    assert check_attributes("all") == list(ATTRIBUTES)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["Smilling"], ["'Smilling'", "Did you mean 'Smiling'?"]),
        (["smiling"], ["Did you mean 'Smiling'?"]),
        (["zzzz"], ["'zzzz'", "The forty attributes are", "Wavy_Hair"]),
        (["Male", "Young", "Male"], ["'Male' twice", "Remove"]),
        ([], ["at least one", "attributes=[Smiling]"]),
        ("Smiling", ["attributes=Smiling must be a list of names or all", "attributes=[Smiling]"]),
    ],
)
def test_the_error_says_what_is_wrong_with_the_names(names, words):
    with pytest.raises(UserError) as error:
        check_attributes(names)
    for word in words:
        assert word in str(error.value)
