"""The moving average that classifiers and GANs share."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim.swa_utils import AveragedModel

from celeba_lab.models.averaging import AveragedWeights, MovingAverage


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9])
def test_the_decay_warms_up(decay: float) -> None:
    """The decay after n updates is min(decay, (1 + n) / (10 + n)), and the first update copies the weights."""
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = AveragedModel(network, multi_avg_fn=MovingAverage(decay), use_buffers=True)
    expected: dict[str, torch.Tensor] = {}
    for n in range(15):
        network(torch.randn(4, 3)).sum().backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_()
        average.update_parameters(network)
        past = min(decay, (1 + n) / (10 + n)) if n else 0.0
        for name, value in copy.deepcopy(network.state_dict()).items():
            blend = past * expected.get(name, value) + (1 - past) * value
            expected[name] = blend if value.is_floating_point() else value
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value, expected[name], msg=name)
    assert average.module[1].num_batches_tracked == 15


def networks_of(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    shared = nn.Linear(3, 3)
    return nn.Sequential(shared, nn.BatchNorm1d(3), shared, spectral_norm(nn.Linear(3, 2)))


def change(network: nn.Module) -> None:
    network(torch.randn(4, 3)).sum().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()


@pytest.mark.parametrize("use_buffers", [True, False])
def test_averaged_weights_equal_those_of_torch(use_buffers: bool) -> None:
    network = networks_of(0)
    ours, expected = (
        kind(network, multi_avg_fn=MovingAverage(0.9), use_buffers=use_buffers)
        for kind in (AveragedWeights, AveragedModel)
    )
    for step in range(6):
        change(network)
        for average in (ours, expected):
            average.update_parameters(network)
        if step == 2:  # The state is restored, or the network is moved, between two steps.
            ours.load_state_dict(copy.deepcopy(expected.state_dict()))
            network.to(torch.float64).to(torch.float32)
            ours.to(torch.float64).to(torch.float32)
        if step == 3:
            ours = copy.deepcopy(ours)
    assert ours.state_dict().keys() == expected.state_dict().keys()
    for name, value in expected.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


def test_an_average_that_restarts_copies_the_weights() -> None:
    network = nn.Linear(2, 2)
    average = AveragedWeights(network, multi_avg_fn=MovingAverage(0.9))
    for _ in range(3):
        nn.init.normal_(network.weight)
        average.update_parameters(network)
    average.restart()
    average.update_parameters(network)
    assert torch.equal(average.module.weight, network.weight)
    assert average.n_averaged == 1


def test_a_moving_average_can_be_pickled() -> None:
    """Strategies that spawn processes pickle the model."""
    assert pickle.loads(pickle.dumps(MovingAverage(0.9))) == MovingAverage(0.9)
