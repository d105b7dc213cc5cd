"""The restored state of an optimizer is used only if the optimizer itself could have created it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from celeba_lab.engine.optimizer_states import check_optimizers
from celeba_lab.models.optimization import build_optimizer

OPTIMIZERS = {
    name
    for name, value in vars(torch.optim).items()
    if isinstance(value, type) and name not in ("Optimizer", "LBFGS", "Muon", "SparseAdam")
}


def trained(name: str = "AdamW", **options: Any) -> torch.optim.Optimizer:
    """Return an optimizer after two steps of a network with parameters of zero to four dimensions."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
    network = nn.ModuleDict({"convolution": convolution, "linear": nn.Linear(5, 2), "wide": nn.Linear(1, 6)})
    network.register_parameter("scale", nn.Parameter(torch.ones(())))
    optimizer = getattr(torch.optim, name)(network.parameters(), lr=0.1, **options)
    for _ in range(2):
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return optimizer


def restored(optimizer: torch.optim.Optimizer, change: Callable[[dict[str, Any]], Any]) -> torch.optim.Optimizer:
    """Return the optimizer after it has loaded a changed copy of its own state."""
    content = copy.deepcopy(optimizer.state_dict())
    change(content)
    optimizer.load_state_dict(content)
    return optimizer


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_good_state_of_every_optimizer_is_accepted(name: str) -> None:
    optimizer = trained(name)
    before = copy.deepcopy(optimizer.state_dict())
    random = torch.get_rng_state()
    check_optimizers([restored(optimizer, lambda content: None)])
    after = optimizer.state_dict()
    assert torch.equal(torch.get_rng_state(), random)
    assert before["param_groups"] == after["param_groups"]
    for key, state in before["state"].items():
        assert all(torch.equal(torch.as_tensor(state[k]), torch.as_tensor(after["state"][key][k])) for k in state)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("AdamW", {"fused": True}),
        ("AdamW", {"amsgrad": True, "fused": True}),
        ("Adam", {"betas": (0.5, 0.999), "fused": True}),
        ("SGD", {"momentum": 0.9, "fused": True}),
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("RMSprop", {"momentum": 0.9, "centered": True}),
    ],
)
def test_the_options_of_an_optimizer_are_respected(name: str, options: dict[str, Any]) -> None:
    check_optimizers([restored(trained(name, **options), lambda content: None)])


def test_a_state_from_another_device_and_a_schedule_are_accepted() -> None:
    linear = nn.Linear(3, 2)
    optimizer = build_optimizer("AdamW", [linear], lr=0.1, weight_decay=0.1)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=5, cycle_momentum=False)
    check_optimizers([optimizer])  # before the first step
    check_optimizers([restored(optimizer, lambda content: [g.update(fused=None) for g in content["param_groups"]])])


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_the_entries_of_a_state_are_those_of_its_optimizer(name: str) -> None:
    optimizer = trained(name, **({"momentum": 0.9} if name == "SGD" else {}))
    next(iter(optimizer.state.values()))["more"] = 0
    with pytest.raises(ValueError, match=r"contains .*more"):
        check_optimizers([optimizer])


def test_the_state_of_an_optimizer_of_the_user_is_accepted() -> None:
    class Own(torch.optim.SGD):
        def __init__(self, parameters: Any, rate: float) -> None:
            super().__init__(parameters, lr=rate, momentum=0.9)

    parameter = nn.Parameter(torch.ones(2, 3))
    optimizer = Own([parameter], 0.1)
    parameter.grad = torch.ones(2, 3)
    optimizer.step()
    check_optimizers([optimizer])
    optimizer.state[parameter]["momentum_buffer"] = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="momentum_buffer"):
        check_optimizers([optimizer])


def test_a_fused_optimizer_of_the_user_needs_states_of_the_shape_of_the_parameter() -> None:
    class Own(torch.optim.AdamW):
        def __init__(self, parameters: Any, rate: float) -> None:
            super().__init__(parameters, lr=rate, fused=True)

    parameter = nn.Parameter(torch.ones(2, 3))
    optimizer = Own([parameter], 0.1)
    parameter.grad = torch.ones(2, 3)
    optimizer.step()
    check_optimizers([optimizer])
    optimizer.state[parameter]["exp_avg"] = torch.zeros(1, 1)  # could be broadcast, but a fused kernel would not do so
    with pytest.raises(ValueError, match="exp_avg"):
        check_optimizers([optimizer])


def each_state(key: str, change: Callable[[torch.Tensor], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda content: [state.update({key: change(state[key])}) for state in content["state"].values()]


def each_group(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: [group.update(values) for group in content["param_groups"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (each_state("exp_avg", lambda value: torch.zeros(1)), r"exp_avg .* shape \(1,\)"),
        (each_state("exp_avg", lambda value: torch.zeros(())), r"exp_avg .* shape \(\)"),
        (each_state("exp_avg_sq", lambda value: value.reshape(-1)[:1]), "exp_avg_sq"),
        (each_state("exp_avg", lambda value: torch.zeros(()).expand(value.shape)), "exp_avg .* not a dense tensor"),
        (each_state("exp_avg", lambda value: 0.0), "exp_avg .* not a tensor"),
        (each_state("step", lambda value: torch.ones(3)), "step"),
        (each_state("step", lambda value: value * float("nan")), "step .* not finite"),
        (lambda content: [state.pop("exp_avg") for state in content["state"].values()], "contains exp_avg_sq, step"),
        (lambda content: [state.update(more=0) for state in content["state"].values()], "more"),
        (lambda content: content["state"].update({99: {}}), "does not belong to a parameter"),
        (each_group(lr=float("nan")), "lr"),
        (each_group(eps="small"), "eps .* 'small'"),
        (each_group(weight_decay=None), "weight_decay"),
        (each_group(weight_decay=10**400), "weight_decay"),
        (each_group(betas=(0.9,)), "betas"),
        (each_group(betas=(0.9, "much")), "betas"),
        (each_group(betas=0.9), "betas"),
        (each_group(maximize=True), "maximize"),
        (each_group(differentiable=1), "differentiable"),
        (each_group(amsgrad=None), "amsgrad"),
        (each_group(fused="yes"), "fused"),
        (each_group(initial_lr="x"), "initial_lr"),
        (each_group(max_lr=float("inf")), "max_lr"),
        (lambda content: [group.pop("betas") for group in content["param_groups"]], "lacks betas"),
    ],
)
def test_a_forged_state_is_rejected(change: Callable[[dict[str, Any]], Any], message: str) -> None:
    optimizer = restored(trained(fused=True), change)
    with pytest.raises((ValueError, TypeError), match=message):
        check_optimizers([optimizer])


def test_factors_of_a_variance_must_have_the_shape_of_their_parameter() -> None:
    def shrink(content: dict[str, Any]) -> None:
        for state in content["state"].values():
            if "row_var" in state:
                state["row_var"] = state["row_var"][..., :1, :]

    with pytest.raises(ValueError, match="row_var"):
        check_optimizers([restored(trained("Adafactor"), shrink)])


@pytest.mark.parametrize("value", [torch.zeros(2, 5, dtype=torch.float64), torch.zeros(2, 5).to_sparse()])
def test_tensors_of_another_type_are_rejected(value: torch.Tensor) -> None:
    linear = nn.Linear(5, 2, bias=False)
    optimizer = torch.optim.Adam(linear.parameters())
    linear.weight.grad = torch.ones(2, 5)
    optimizer.step()
    optimizer.state[linear.weight]["exp_avg"] = value
    with pytest.raises(ValueError, match="exp_avg"):
        check_optimizers([optimizer])


def test_a_group_can_have_a_name() -> None:
    check_optimizers([restored(trained(), each_group(name="head"))])
    with pytest.raises(TypeError, match="other of an optimizer is"):
        check_optimizers([restored(trained(), each_group(other="head"))])
