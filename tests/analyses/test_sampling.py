"""Sampling and splitting of the rows that an analysis uses."""

import numpy as np
import pandas as pd
import pytest

from celeba_lab.analyses.sampling import split_officially, split_randomly, take_fraction
from celeba_lab.errors import UserError

ROWS = np.arange(100, 1100)


def test_a_random_fraction_equals_that_of_pandas() -> None:
    frame = pd.DataFrame({"row": ROWS})
    assert take_fraction(ROWS, 0.1, seed=42).tolist() == frame.sample(frac=0.1, random_state=42)["row"].tolist()


def test_only_the_same_seed_draws_the_same_rows() -> None:
    first, again, other = (take_fraction(ROWS, 0.3, seed).tolist() for seed in (1, 1, 2))
    assert first == again
    assert set(first) != set(other)
    assert len(set(first)) == 300


def test_a_fraction_of_one_keeps_the_order() -> None:
    assert take_fraction(ROWS, 1.0, seed=3).tolist() == ROWS.tolist()


def test_a_small_fraction_keeps_one_row() -> None:
    assert len(take_fraction(ROWS, 1e-6, seed=0)) == 1


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01, float("nan")])
def test_a_fraction_out_of_range_is_rejected(fraction: float) -> None:
    with pytest.raises(UserError, match=r"^fraction=.* must be above 0 and at most 1"):
        take_fraction(ROWS, fraction, seed=0)


def test_a_random_split_contains_every_row_once() -> None:
    train, test = split_randomly(ROWS, 0.2, seed=42)
    assert len(test) == 200
    assert sorted([*train, *test]) == ROWS.tolist()
    assert split_randomly(ROWS, 0.2, seed=42)[1].tolist() == test.tolist()


@pytest.mark.parametrize("size", [0, 1, 1.5, -0.1])
def test_a_test_size_out_of_range_is_rejected(size: float) -> None:
    with pytest.raises(UserError, match=r"^test_size=.* must be above 0 and below 1"):
        split_randomly(ROWS, size, seed=0)


def test_a_single_row_cannot_be_split() -> None:
    with pytest.raises(
        UserError,
        match=r"^test_size=0\.2 leaves no rows for training or testing, because the total number of rows is only 1",
    ):
        split_randomly(ROWS[:1], 0.2, seed=0)


def test_the_official_split_omits_validation() -> None:
    train, test = split_officially(np.array([0, 2, 3, 5]), np.array([0, 0, 1, 2, 2, 0]))
    assert (train.tolist(), test.tolist()) == ([0, 5], [3])


def test_the_error_for_an_empty_official_split_names_it() -> None:
    with pytest.raises(UserError, match=r"rows of the test split.*includes the test split"):
        split_officially(np.array([0, 1]), np.array([0, 0, 2]))
