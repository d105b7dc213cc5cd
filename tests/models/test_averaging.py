"""The moving average that classifiers and GANs share."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from celeba_lab.models.averaging import MovingAverage


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


def test_a_moving_average_can_be_pickled() -> None:
    """Strategies that spawn processes pickle the model."""
    assert pickle.loads(pickle.dumps(MovingAverage(0.9))) == MovingAverage(0.9)
