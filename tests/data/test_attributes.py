import re

import pytest

from celeba_lab.data.attributes import ATTRIBUTES, check_attributes
from celeba_lab.errors import SettingError


def test_the_forty_names_are_in_the_order_of_the_official_header():
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == 40
    assert list(ATTRIBUTES) == sorted(ATTRIBUTES)
    assert ATTRIBUTES[31] == "Smiling"


def test_the_given_order_is_kept():
    assert check_attributes(("Young", "Male")) == ["Young", "Male"]


def test_all_selects_the_forty_names():
    assert check_attributes("all") == list(ATTRIBUTES)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["Smilling"],
            "attributes=[Smilling] contains 'Smilling', which is not an attribute of CelebA. Did you mean 'Smiling'?",
        ),
        (["smiling"], "Did you mean 'Smiling'?"),
        (["zzzz"], "The forty attributes are 5_o_Clock_Shadow, "),
        (["Male", "Young", "Male"], "attributes=[Male,Young,Male] contains 'Male' twice. Remove one of the two."),
        ([], "attributes=[] must name at least one attribute, such as [Smiling]."),
        ("Smiling", "attributes=Smiling must be all or a list of names, such as [Smiling]."),
    ],
)
def test_the_error_says_what_is_wrong_with_the_names(names, message):
    with pytest.raises(SettingError, match=re.escape(message)):
        check_attributes(names)
