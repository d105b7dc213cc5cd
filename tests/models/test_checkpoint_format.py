"""The content of a checkpoint is checked before it is used."""

from typing import Any

import pytest
import torch

from celeba_lab.models.checkpoint_format import DamagedError, check_content


def content(**changes: Any) -> dict[str, Any]:
    return {"state_dict": {"weight": torch.zeros(2)}, "hyper_parameters": {}, "epoch": 1, "global_step": 3, **changes}


@pytest.mark.parametrize("steps", [0, 3, 2**40])
def test_valid_content_is_accepted(steps: int) -> None:
    check_content(content(global_step=steps))


@pytest.mark.parametrize("name", ["epoch", "global_step"])
@pytest.mark.parametrize("value", [-1, 10**30, 2.0, "3", None, True])
def test_a_number_of_steps_out_of_range_is_rejected(name: str, value: object) -> None:
    with pytest.raises(DamagedError, match=f"{name} is not a number of steps"):
        check_content(content(**{name: value}))
