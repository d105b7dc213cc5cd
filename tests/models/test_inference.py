"""Networks prepared for inference compute the same output as the original networks."""

import threading

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from celeba_lab.models.classifier.backbones import Backbone
from celeba_lab.models.inference import _CHUNK, Inference, fold_batch_norm

# Numbers of batch normalisation layers that cannot be folded. In DenseNet, half of them precede the convolutions.
FAMILIES = [
    ("mobilenet_v2", 0),
    ("mobilenet_v3_small", 0),
    ("efficientnet_b0", 0),
    ("resnet18", 0),
    ("shufflenet_v2_x0_5", 0),
    ("densenet121", 62),
    ("squeezenet1_1", 0),
    pytest.param("vgg11_bn", 0, marks=pytest.mark.slow),
    pytest.param("convnext_tiny", 0, marks=pytest.mark.slow),
]


@pytest.fixture
def two_threads(monkeypatch):
    """A network uses two threads, as on a machine with two cores."""
    monkeypatch.setattr("celeba_lab.models.inference._count_threads", lambda: 2)


def randomise(network: nn.Module) -> nn.Module:
    """Give batch normalisation random statistics and weights, and switch to evaluation mode."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


def count_batch_norms(network: nn.Module) -> int:
    return sum(isinstance(module, _BatchNorm) for module in network.modules())


@pytest.mark.parametrize(("name", "remaining"), FAMILIES)
def test_a_folded_backbone_computes_the_same_features(name, remaining):
    backbone = randomise(Backbone(name, image_size=64))
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        expected = backbone(images)
        backbone.prepare_inference()
        found = backbone(images)
    assert count_batch_norms(backbone._inference.network) == remaining
    assert expected.norm() > 1e-3
    assert (found - expected).norm() < 1e-5 * expected.norm()
    after = backbone.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    backbone.end_inference()
    with torch.no_grad():
        assert torch.equal(backbone(images), expected)


class Untraceable(nn.Module):
    """A network with two convolutions and a branch that depends on the images."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.ModuleList([nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)])
        self.unused = None

    def forward(self, images):
        hidden = self.first(images)
        if hidden.sum() > 0:
            for layer in self.second:
                hidden = layer(hidden)
        return hidden.mean(dim=(2, 3))


class Shared(nn.Module):
    """A network that uses the same convolution with and without batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.normalization = nn.BatchNorm2d(3)

    def forward(self, images):
        return self.convolution(self.normalization(self.convolution(images))).mean(dim=(2, 3))


def infer(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    inference = Inference(network, images[:2])
    found = inference.map(inference.network, images)
    inference.close()
    return found


def test_the_parts_of_an_untraceable_network_are_folded():
    network, images = randomise(Untraceable()), torch.randn(5, 3, 16, 16)
    assert count_batch_norms(fold_batch_norm(network)) == 1
    assert count_batch_norms(network) == 2
    assert torch.allclose(infer(network, images), network(images), atol=1e-6)


def test_a_network_is_not_folded_if_this_would_change_its_output():
    network, images = randomise(Shared()), torch.randn(5, 3, 16, 16)
    assert not torch.allclose(fold_batch_norm(network)(images), network(images), atol=1e-3)
    assert torch.equal(infer(network, images), network(images))
    assert Inference(network, images).network is network


def test_hooks_of_a_network_are_still_called():
    calls = []
    network, images = randomise(Untraceable()), torch.randn(2, 3, 16, 16)
    network.first[1].register_forward_hook(lambda *_: calls.append(1))
    inference = Inference(network, images)
    calls.clear()
    inference.map(inference.network, images)
    assert calls == [1]


def test_networks_in_low_precision_are_not_folded():
    network = randomise(Untraceable()).bfloat16()
    assert Inference(network, torch.randn(2, 3, 16, 16).bfloat16()).network is network


def test_preparing_a_network_does_not_change_the_random_state():
    class Noisy(Untraceable):
        def forward(self, images):
            return super().forward(images + torch.rand(()))

    state = torch.get_rng_state()
    Inference(Noisy().eval(), torch.zeros(2, 3, 16, 16))
    Backbone("shufflenet_v2_x0_5", 32)  # Building a network draws random numbers.
    torch.set_rng_state(state)
    backbone = Backbone("shufflenet_v2_x0_5", 32).eval()
    built = torch.get_rng_state()
    backbone.prepare_inference()
    assert torch.equal(torch.get_rng_state(), built)


@pytest.mark.parametrize("n", [1, 5, 32, 33, 100])
def test_threads_process_small_parts_in_order(two_threads, n):
    seen = []

    def function(part):
        seen.append((len(part), threading.current_thread().name, torch.get_num_threads()))
        return 2 * part

    inference = Inference(nn.Identity(), torch.zeros(2, 1))
    images = torch.arange(n, dtype=torch.float32)[:, None]
    assert torch.equal(inference.map(function, images), 2 * images)
    assert max(size for size, *_ in seen) <= _CHUNK
    assert sum(size for size, *_ in seen) == n
    assert n == 1 or len(seen) % 2 == 0, "both threads should get the same number of parts"
    assert all(name.startswith("inference") and threads == 1 for _, name, threads in seen)
    inference.close()
    assert not any(thread.name.startswith("inference") for thread in threading.enumerate())


def test_threads_use_the_mode_of_the_caller(two_threads):
    def modes(part):
        seen.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")))
        return part

    inference, images = Inference(nn.Identity(), torch.zeros(2, 1)), torch.zeros(64, 1)
    seen: list[tuple[bool, bool, bool]] = []
    inference.map(modes, images)
    assert set(seen) == {(False, False, False)}
    seen.clear()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert inference.map(modes, images).is_inference()
    assert set(seen) == {(False, True, True)}
    inference.close()


def test_an_error_in_a_thread_is_raised(two_threads):
    def fail(part):
        raise ValueError("no faces")

    inference = Inference(nn.Identity(), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="no faces"):
        inference.map(fail, torch.zeros(64, 1))
    inference.close()
