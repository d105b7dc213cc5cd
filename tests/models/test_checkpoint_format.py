"""The content of a checkpoint is checked before it is used."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from celeba_lab.models.checkpoint_format import DamagedError, check_content, check_fit, is_state_dict
from celeba_lab.models.classifier.module import AttributeClassifier


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


def quantized() -> Tensor:
    with warnings.catch_warnings():  # torch will remove tensors of this type.
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.zeros(2, 3), 0.1, 0, torch.qint8)


SPECIAL = {
    "a number": 1.0,
    "quantized": quantized(),
    "meta": torch.zeros(2, 3, device="meta"),
    "sparse": torch.zeros(2, 3).to_sparse(),
    "complex": torch.zeros(2, 3, dtype=torch.complex64),
    "expanded": torch.zeros(1).expand(2, 3),
}


@pytest.mark.parametrize("value", SPECIAL.values(), ids=list(SPECIAL))
def test_only_dense_tensors_are_weights(value: object) -> None:
    with pytest.raises(DamagedError, match="state_dict does not map names to tensors"):
        check_content(content(state_dict={"weight": value}))


@pytest.mark.parametrize("value", [None, 3, [torch.zeros(2)], {1: torch.zeros(2)}])
def test_only_a_mapping_from_names_is_a_state_dict(value: object) -> None:
    assert not is_state_dict(value)


@pytest.mark.parametrize(
    "value", [torch.zeros(4, 6)[1:, ::2], torch.zeros(2, 3).T, torch.zeros(0), torch.ones((), dtype=int)]
)
def test_views_and_scalars_are_weights(value: Tensor) -> None:
    assert is_state_dict({"weight": value})


def test_a_network_is_compared_with_weights_without_being_built() -> None:
    devices = []

    def build() -> nn.Module:
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        devices.append(network[0].weight.device.type)
        return network

    weights = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).state_dict()
    random = torch.get_rng_state()
    check_fit(build, weights)
    for wrong in (
        {name: value for name, value in weights.items() if name != "1.running_mean"},
        weights | {"2.weight": torch.zeros(1)},
        weights | {"0.weight": torch.zeros(4, 2)},
    ):
        with pytest.raises(RuntimeError, match=r"running_mean|2\.weight|0\.weight"):
            check_fit(build, wrong)
    assert devices == ["meta"] * 4
    assert torch.equal(torch.get_rng_state(), random)


def test_a_network_that_needs_real_tensors_is_not_compared() -> None:
    check_fit(lambda: nn.Linear(int(torch.ones(1).sort().values.tolist()[0]), 2), {})


@pytest.mark.parametrize(
    "settings",
    [
        {"mixup": 0.2, "augment": {"flip": 0.5, "shift": 0.1, "scale": 0.1, "rotate": 5.0, "light": 0.2}},
        {"loss": {"name": "weighted_bce"}, "prevalence": [0.25]},
        {"loss": {"name": "focal", "gamma": 2.0}},
        {"loss": {"name": "asymmetric"}, "flip_average": True, "zoom_average": 0.1},
    ],
)
def test_classifiers_with_all_kinds_of_settings_are_checked(settings: dict) -> None:
    def build() -> AttributeClassifier:
        return AttributeClassifier(["Smiling"], "shufflenet_v2_x0_5", image_size=32, **settings)

    weights = build().state_dict()
    check_fit(build, weights)
    with pytest.raises(RuntimeError, match="size mismatch"):
        check_fit(build, weights | {"head.bias": torch.zeros(2)})


def test_only_parts_that_read_their_tensors_are_not_compared() -> None:
    check_fit(lambda: nn.Linear(2, int(torch.ones(1).item())), {})
    with pytest.raises(RuntimeError, match="negative dimension"):
        check_fit(lambda: nn.Linear(2, -1), {})
