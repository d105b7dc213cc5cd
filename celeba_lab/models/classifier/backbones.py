"""Backbones by torchvision name, with the classification head taken off."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from celeba_lab.errors import UserError, did_you_mean, enumerate_names
from celeba_lab.models.classifier.frozen import FrozenStages, split_frozen

# The class count of ImageNet: what marks a torchvision model's head.
IMAGENET_CLASSES = 1000


class Backbone(nn.Module):
    """A torchvision classifier without its last layer: images in, one feature vector per image out.

    Args:
        name: one of :func:`list_backbones`.
        image_size: side of the square input in pixels; vision transformers are built for one size.

    Attributes:
        network: the torchvision module, its last layer replaced.
        num_features: D, the length of a feature vector.
        head_name: the name of the replaced layer in torchvision's state dict, for example ``classifier.1``.

    Raises:
        UserError: the name is unknown, or the network cannot take images of that size.
    """

    def __init__(self, name: str, image_size: int) -> None:
        super().__init__()
        check_backbone_name(name)
        self.name = name
        self.image_size = image_size
        self._split: tuple[FrozenStages, nn.Module] | None = None
        try:
            if name in _REGISTERED:
                self.network, self.head_name = _REGISTERED[name](), ""
            else:
                self.network = torchvision.models.get_model(name, weights=None, **_build_options(name, image_size))
                self.head_name = _remove_head(self.network)
            self.num_features = self._measure_features()
        except (ValueError, RuntimeError, AssertionError) as error:
            raise UserError(
                f"model.backbone={name} cannot take images of {image_size}x{image_size} pixels:"
                f" {' '.join(str(error).split()).rstrip('.!')}."
                " Set model.image_size to what the network was made for (224 as a rule)."
            ) from error

    def forward(self, images: Tensor) -> Tensor:
        """Return the features, float (B, D), of normalised images, float (B, 3, H, W)."""
        if self._split is None:
            return self.network(images)
        frozen, rest = self._split
        return rest(frozen(images))

    def fold_frozen(self) -> None:
        """Run leading frozen stages in a faster form, with the weights they have now, until :meth:`unfold_frozen`."""
        self._split = split_frozen(self.network)

    def unfold_frozen(self) -> None:
        """Run every stage as it is again."""
        self._split = None

    def load_pretrained(self, state_dict: Mapping[str, Tensor], source: str) -> None:
        """Load torchvision's ImageNet weights, or a checkpoint of ours, into everything but the head.

        Args:
            state_dict: name to tensor, as torchvision saves it.
            source: where it came from, for the error.

        Raises:
            UserError: the weights are another network's.
        """
        self.unfold_frozen()
        own = self.network.state_dict()
        weights = {_present_name(key): value for key, value in state_dict.items()}
        weights = {key: value for key, value in weights.items() if key in own}
        if self.name.startswith("vit_") and "encoder.pos_embedding" in weights:
            weights = self._interpolate_positions(weights)
        # Files from before PyTorch 0.4.1 do not count batches, and nothing here depends on the count.
        missing = [key for key in own if key not in weights and not key.endswith(".num_batches_tracked")]
        misshapen = [key for key, value in weights.items() if value.shape != own[key].shape]
        if missing or misshapen:
            raise UserError(
                f"model.weights: {source} does not fit model.backbone={self.name}: of {len(own)} tensors {len(missing)}"
                f" are missing and {len(misshapen)} have another shape ({enumerate_names(missing + misshapen, 3)})."
                " Give the weights of the same architecture, or model.weights=null."
            )
        own.update(weights)  # not a new dict: this one carries the versions of its modules, which MNASNet checks
        self.network.load_state_dict(own)

    def layers(self) -> list[nn.Module]:
        """Return every module that holds parameters or statistics of its own, in the order of construction.

        For torchvision's classifiers that is the order from input to output.
        """
        return [
            module
            for module in self.network.modules()
            if any(True for _ in module.parameters(recurse=False)) or any(True for _ in module.buffers(recurse=False))
        ]

    def _interpolate_positions(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        patch = self.network.patch_size
        return dict(torchvision.models.vision_transformer.interpolate_embeddings(self.image_size, patch, dict(weights)))

    @torch.no_grad()
    def _measure_features(self) -> int:
        training = self.network.training
        output = self.network.eval()(torch.zeros(1, 3, self.image_size, self.image_size))
        self.network.train(training)
        if output.ndim != 2:
            raise RuntimeError(f"its features have the shape {tuple(output.shape)}, not (1, D)")
        return output.shape[1]


_REGISTERED: dict[str, Callable[[], nn.Module]] = {}


def register_backbone(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Offer a backbone of your own as ``model.backbone=<name of the function>``.

    Args:
        build: takes nothing and returns a module from images, float (B, 3, H, W), to features, float (B, D).
    """
    _REGISTERED[build.__name__] = build
    return build


def list_backbones() -> list[str]:
    """Return the names of torchvision's image classifiers and of those given to :func:`register_backbone`."""
    return sorted([*torchvision.models.list_models(module=torchvision.models), *_REGISTERED])


def list_weights(name: str) -> Mapping[str, Any]:
    """Return torchvision's weights for a backbone by their names; none for a backbone of the user's own."""
    return {} if name in _REGISTERED else torchvision.models.get_model_weights(name).__members__


def check_backbone_name(name: str) -> None:
    """Raise UserError unless ``name`` is one of :func:`list_backbones`."""
    choices = list_backbones()
    if name not in choices:
        raise UserError(
            f"model.backbone={name} is no torchvision classifier.{did_you_mean(name, choices)}"
            " celeba_lab.models.classifier.backbones.list_backbones() lists them."
        )


def _present_name(key: str) -> str:
    """Return today's name of a tensor in torchvision's files, some of which are older than the names in its code."""
    key = re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key)
    return re.sub(r"\.mlp\.linear_([12])\.", lambda match: f".mlp.{3 * (int(match[1]) - 1)}.", key)


def _build_options(name: str, image_size: int) -> dict[str, Any]:
    if name in ("googlenet", "inception_v3"):
        # An auxiliary head would make the output a tuple in training; the pretrained weights expect images in [-1, 1].
        return {"aux_logits": False, "init_weights": True, "transform_input": True}
    if name.startswith("vit_"):
        return {"image_size": image_size}
    if name.startswith("maxvit_"):
        return {"input_size": (image_size, image_size)}
    return {}


def _remove_head(network: nn.Module) -> str:
    """Take the layer that gives the ImageNet logits out of the network; return its name."""
    name, layer = [
        (name, module)
        for name, module in network.named_modules()
        if IMAGENET_CLASSES in (getattr(module, "out_features", None), getattr(module, "out_channels", None))
    ][-1]
    if isinstance(layer, nn.Conv2d):  # SqueezeNet: a 1x1 convolution, then a ReLU that no logit may pass
        network.classifier = nn.Sequential(network.get_submodule("classifier.0"), nn.AdaptiveAvgPool2d(1))
        return name
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return name
