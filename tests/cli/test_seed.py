"""Seeding without Lightning gives the same random numbers as ``lightning.seed_everything``."""

import os
import random
from collections.abc import Iterator

import lightning
import numpy as np
import pytest
import torch

from celeba_lab.cli.seed import LARGEST_SEED, check_seed, seed_everything
from celeba_lab.errors import SettingError
from celeba_lab.runs import summary


@pytest.fixture(autouse=True)
def _restore(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "before")
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])


def draws() -> tuple[float, float, float, str, str]:
    variables = os.environ["PL_GLOBAL_SEED"], os.environ["PL_SEED_WORKERS"]
    return (random.random(), float(np.random.rand()), float(torch.rand(())), *variables)  # noqa: NPY002


@pytest.mark.parametrize("seed", [0, 42, LARGEST_SEED])
def test_all_generators_are_seeded_as_by_lightning(seed: int) -> None:
    lightning.seed_everything(seed, workers=True, verbose=False)
    expected = draws()
    seed_everything(seed)
    assert draws() == expected


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1])
def test_a_seed_out_of_the_range_of_numpy_is_rejected(seed: int) -> None:
    with pytest.raises(SettingError, match=rf"^seed={seed} must be between 0 and 4294967295\.$"):
        check_seed(seed)


def test_summaries_accept_the_same_seeds() -> None:
    assert summary.LARGEST_SEED == LARGEST_SEED
