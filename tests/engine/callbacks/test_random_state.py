"""Random generators in several processes, and in runs that are continued."""

import random
import types

import numpy as np
import torch

from celeba_lab.engine.callbacks import RandomState


def start(callback: RandomState, rank: int = 0) -> None:
    callback.on_train_start(types.SimpleNamespace(global_rank=rank), None)


def test_processes_draw_differently() -> None:
    """All of them start from one seed, and each draws the same in every run."""
    draws = []
    for rank in (0, 1, 2, 1):
        torch.manual_seed(7)
        start(RandomState(), rank)
        draws.append(torch.randn(4))
    assert torch.equal(draws[1], draws[3])
    assert not any(torch.equal(draws[a], draws[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_a_continued_run_draws_what_it_would_have_drawn() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), torch.rand(()).item()  # noqa: NPY002

    np.random.random()  # noqa: NPY002  # so that the state is not that of a new generator
    state = RandomState().state_dict()
    expected = draw()
    continued = RandomState()
    continued.load_state_dict(state)
    draw()  # Building the rest of the run draws numbers.
    start(continued)
    assert draw() == expected
