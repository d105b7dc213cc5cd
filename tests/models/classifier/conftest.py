"""Small classifiers, faces for them, and a Trainer that prints nothing."""

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from celeba_lab.models.classifier.module import AttributeClassifier

SMALL = "shufflenet_v2_x0_5"  # 0.3 million parameters, batch normalisation, no dropout


@pytest.fixture(scope="session")
def names() -> Callable[[int], list[str]]:
    """``names(count)`` returns ``count`` attribute names."""
    return lambda count: [f"attribute_{k}" for k in range(count)]


@pytest.fixture(scope="session")
def classifier(names) -> Callable[..., AttributeClassifier]:
    """``classifier(count, backbone, image_size, **options)``: a small classifier with random weights."""

    def build(count: int = 1, backbone: str = SMALL, image_size: int = 32, **options: Any) -> AttributeClassifier:
        return AttributeClassifier(names(count), backbone, image_size=image_size, **options)

    return build


@pytest.fixture(scope="session")
def faces() -> Callable[..., torch.Tensor]:
    """``faces(n, height, width, seed)``: raw images of smooth random blobs, uint8 (n, 3, H, W)."""

    def draw(n: int, height: int = 40, width: int = 36, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.randint(0, 256, (n, 3, 5, 5), generator=generator).float()
        return F.interpolate(coarse, (height, width), mode="bilinear").round().to(torch.uint8)

    return draw


@pytest.fixture(scope="session")
def loader(faces) -> Callable[..., DataLoader]:
    """``loader(n, count, batch_size)``: a loader of faces, each labelled with the bits of its index."""

    def build(n: int = 8, count: int = 1, batch_size: int = 4, **options: Any) -> DataLoader:
        labels = (torch.arange(n)[:, None] >> torch.arange(count)) % 2
        items = [
            {"image": image, "label": label.to(torch.uint8), "index": index}
            for index, (image, label) in enumerate(zip(faces(n), labels, strict=True))
        ]
        return DataLoader(items, batch_size=batch_size, **options)

    return build


@pytest.fixture(scope="session")
def trainer() -> Callable[..., L.Trainer]:
    """``trainer(**options)``: a Trainer of one epoch that prints and saves nothing."""

    def build(**options: Any) -> L.Trainer:
        quiet = {
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        return L.Trainer(**{"accelerator": "cpu", "max_epochs": 1, **quiet, **options})

    return build


@pytest.fixture(scope="session")
def settled(faces) -> Callable[[AttributeClassifier], AttributeClassifier]:
    """``settled(model)`` sets the running statistics of a random network from some faces, so its outputs differ."""

    @torch.no_grad()
    def settle(model: AttributeClassifier) -> AttributeClassifier:
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        momentums = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = None  # None gives a cumulative average, for which a few batches are sufficient.
        model.train()
        for seed in range(4):
            model.features(faces(16, seed=seed))
        for norm, momentum in zip(norms, momentums, strict=True):
            norm.momentum = momentum
        return model.eval()

    return settle


@pytest.fixture(scope="session")
def state_of() -> Callable[[nn.Module], dict[str, torch.Tensor]]:
    """``state_of(module)``: a copy of the weights, statistics and step counts of a module."""
    return lambda module: {key: value.clone() for key, value in module.state_dict().items()}
