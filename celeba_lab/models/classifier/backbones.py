"""Torchvision classifiers without their classification heads, built by name."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from textwrap import shorten
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call
from typing_extensions import override

from celeba_lab.errors import SettingError, did_you_mean, enumerate_names
from celeba_lab.models.classifier.frozen import FrozenStages, split_frozen
from celeba_lab.models.classifier.frozen_outputs import FrozenOutputs
from celeba_lab.models.inference import Function, Inference

# Number of ImageNet classes. The head of a torchvision model is the layer with this number of outputs.
IMAGENET_CLASSES = 1000


class Backbone(nn.Module):
    """A torchvision classifier without its last layer, used to compute one feature vector per image.

    Args:
        name: Name of the backbone; see :func:`list_backbones`.
        image_size: Side length of the square images in pixels. Vision transformers accept only this size.

    Attributes:
        network: torchvision module without its last layer.
        num_features: Length of the feature vectors, D.
        head_name: Name of the removed layer in torchvision's state dict, for example ``classifier.1``.

    Raises:
        SettingError: The name is unknown, or the network does not support images of this size.

    Example:
        >>> backbone = Backbone("shufflenet_v2_x0_5", image_size=64).eval()
        >>> backbone(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1024])
    """

    def __init__(self, name: str, image_size: int) -> None:
        super().__init__()
        check_backbone_name(name)
        self.name = name
        self.image_size = image_size
        self._split: tuple[FrozenStages, nn.Module] | None = None
        self._frozen_outputs: FrozenOutputs | None = None
        self._inference: Inference | None = None  # Its network is not a submodule, so the state dict does not change.
        try:
            if name in _REGISTERED:
                self.network, self.head_name = _REGISTERED[name](), ""
            else:
                self.network = torchvision.models.get_model(name, weights=None, **_build_options(name, image_size))
                self.head_name = _remove_head(self.network)
            self.num_features = self._measure_features()
        except Exception as error:
            is_known = name not in _REGISTERED and not isinstance(error, NotImplementedError)
            if torch.get_default_device().type == "meta" and not is_known:
                raise NotImplementedError(f"{name} cannot be built without memory") from error
            if not isinstance(error, ValueError | RuntimeError | AssertionError):
                raise
            reason = " ".join(str(error).split()).rstrip(".!")
            rule = f"does not support images of {image_size} x {image_size} pixels: {reason}"
            hint = "Set image_size to the size that the network was designed for, usually 224."
            raise SettingError("backbone", name, rule, hint) from error

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Return the features, float (B, D), for normalised images, float (B, 3, H, W)."""
        features: Tensor
        if self._inference is not None and not self.training:
            features = self._inference.network(images)
        elif self._split is None:
            features = self.network(images)
        else:
            frozen, rest = self._split
            features = rest(frozen(images))
        return features

    def prepare_inference(self) -> None:
        """Compute features faster in evaluation mode, until :meth:`end_inference` is called.

        The network and its state dict do not change. Its weights must not be changed before :meth:`end_inference`.
        """
        self.end_inference()
        if self.training or self._compiled_call_impl is not None:  # A folded network would not be compiled.
            return
        tensor = next(chain(self.network.parameters(), self.network.buffers()), torch.zeros(()))
        generator = torch.Generator().manual_seed(0)  # The random state of the run must not change.
        example = torch.randn(2, 3, self.image_size, self.image_size, generator=generator).to(tensor)
        self._inference = Inference(self.network, example)

    def end_inference(self) -> None:
        """Compute features with the network itself again."""
        if self._inference is not None:
            self._inference.close()
            self._inference = None

    def map(self, function: Function, images: Tensor) -> Tensor:
        """Return the outputs of a function that uses this backbone. It may be called for parts of the batch.

        Args:
            function: Function that computes one row of its output for each image.
            images: Images, (B, ...).
        """
        if self._inference is None or self.training:
            return function(images)
        return self._inference.map(function, images)

    @override
    def __getstate__(self) -> dict[str, Any]:
        # The method of the base class has no type hints. Threads can neither be copied nor stored.
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {**state, "_inference": None}

    def fold_frozen(self) -> None:
        """Run the frozen stages in a faster, equivalent form until :meth:`unfold_frozen` is called."""
        self._split = split_frozen(self.network)

    def store_frozen(self, n_images: int) -> None:
        """Keep the outputs of the folded stages for training images until :meth:`unfold_frozen` is called.

        They are used by :meth:`forward_stored`. If no stages are folded, this method has no effect.

        Args:
            n_images: See :class:`~celeba_lab.models.classifier.frozen_outputs.FrozenOutputs`.
        """
        if self._split is not None:
            self._frozen_outputs = FrozenOutputs(self._split[0], n_images)

    @property
    def stores_frozen(self) -> bool:
        """Whether outputs of frozen stages are kept for training images."""
        return self._frozen_outputs is not None

    def forward_stored(self, read: Callable[[Tensor], Tensor], rows: Tensor, mirrored: Tensor) -> Tensor:
        """Return the features, float (B, D), for training images, with the stored outputs of the frozen stages.

        The arguments are those of :class:`~celeba_lab.models.classifier.frozen_outputs.FrozenOutputs`.
        """
        assert self._split is not None
        assert self._frozen_outputs is not None
        features: Tensor = self._split[1](self._frozen_outputs(read, rows, mirrored))
        return features

    def unfold_frozen(self) -> None:
        """Run all stages in their original form."""
        self._split = self._frozen_outputs = None

    def load_pretrained(self, state_dict: Mapping[str, Tensor], origin: str) -> None:
        """Load pretrained weights, ignoring the weights of the head.

        Args:
            state_dict: State dict of the torchvision model.
            origin: Path or name of the weights, used in error messages.

        Raises:
            SettingError: The weights do not fit the network.
        """
        self.unfold_frozen()
        self.end_inference()
        own = self.network.state_dict()
        weights = {_present_name(key): value for key, value in state_dict.items()}
        weights = {key: value for key, value in weights.items() if key in own}
        if self.name.startswith("vit_") and "encoder.pos_embedding" in weights:
            with _rejecting_unfit(self.name, origin):
                weights = self._interpolate_positions(weights)
        # Files saved before PyTorch 0.4.1 lack num_batches_tracked, which is not needed here.
        missing = [key for key in own if key not in weights and not key.endswith(".num_batches_tracked")]
        misshapen = [key for key, value in weights.items() if value.shape != own[key].shape]
        if missing or misshapen:
            rule = (
                f"does not fit backbone={self.name}: of {len(own)} tensors, {len(missing)} are missing and"
                f" {len(misshapen)} have the wrong shape ({enumerate_names(missing + misshapen, 3)})"
            )
            raise SettingError("weights", origin, rule, _OTHER_WEIGHTS)
        own.update(weights)  # unlike `weights`, `own` has the version metadata that MNASNet requires
        with _rejecting_unfit(self.name, origin):
            self.network.load_state_dict(own)

    def layers(self) -> list[nn.Module]:
        """Return all modules that directly own parameters or buffers, in order of construction.

        For torchvision's classifiers, this is the order from input to output.
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
        training, image = self.network.training, (1, 3, self.image_size, self.image_size)
        self.network.eval()
        try:  # On the device "meta", only shapes are computed, which takes neither time nor memory.
            tensors = chain(self.network.named_parameters(), self.network.named_buffers())
            state = {name: value.to("meta") for name, value in tensors}
            with torch.device("meta"):
                output: Tensor = functional_call(self.network, state, torch.zeros(image))
        except Exception:
            if self.name not in _REGISTERED:
                raise
            output = self.network(torch.zeros(image))  # A registered backbone may require real tensors.
        self.network.train(training)
        if output.ndim != 2:
            raise RuntimeError(f"its features have the shape {tuple(output.shape)}, not (1, D)")
        return output.shape[1]


_REGISTERED: dict[str, Callable[[], nn.Module]] = {}


def register_backbone(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Register a backbone under the name of the function that builds it.

    Args:
        build: Function without arguments that returns a module. The module must map images, float (B, 3, H, W), to
            features, float (B, D).

    Example:
        >>> @register_backbone
        ... def tiny():
        ...     return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> Backbone("tiny", image_size=32).num_features
        8
        >>> _ = _REGISTERED.pop("tiny")
    """
    _REGISTERED[build.__name__] = build
    return build


def list_backbones() -> list[str]:
    """Return the names of torchvision's image classifiers and the registered backbones."""
    return sorted([*torchvision.models.list_models(module=torchvision.models), *_REGISTERED])


def list_weights(name: str) -> Mapping[str, Any]:
    """Return torchvision's pretrained weights for a backbone, keyed by name; empty for registered backbones."""
    return {} if name in _REGISTERED else torchvision.models.get_model_weights(name).__members__


def check_backbone_name(name: str) -> None:
    """Check that a backbone with the given name exists.

    Raises:
        SettingError: No backbone has this name.
    """
    choices = list_backbones()
    if name not in choices:
        function = "celeba_lab.models.classifier.backbones.list_backbones()"
        hint = f"{did_you_mean(name, choices)} {function} lists all backbones."
        raise SettingError("backbone", name, "is neither a torchvision classifier nor a registered backbone", hint)


_OTHER_WEIGHTS = "Use weights for the same architecture, or set weights=null."


@contextmanager
def _rejecting_unfit(name: str, origin: str) -> Iterator[None]:
    """Explain an error of torch or torchvision in this block, for example because of tensors without a dense layout."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        rule = f"does not fit backbone={name} ({shorten(str(error), 200).rstrip('.')})"
        raise SettingError("weights", origin, rule, _OTHER_WEIGHTS) from error


def _present_name(key: str) -> str:
    """Convert the name of a tensor to its current form. Some of torchvision's weight files still use older names."""
    key = re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key)
    return re.sub(r"\.mlp\.linear_([12])\.", lambda match: f".mlp.{3 * (int(match[1]) - 1)}.", key)


def _build_options(name: str, image_size: int) -> dict[str, Any]:
    if name in ("googlenet", "inception_v3"):
        # With an auxiliary head, the output would be a tuple during training. The pretrained weights expect images in
        # [-1, 1].
        return {"aux_logits": False, "init_weights": True, "transform_input": True}
    if name.startswith("vit_"):
        return {"image_size": image_size}
    if name.startswith("maxvit_"):
        return {"input_size": (image_size, image_size)}
    return {}


def _remove_head(network: nn.Module) -> str:
    """Remove the layer that computes the ImageNet logits, and return the layer's name."""
    name: str
    name, layer = [
        (name, module)
        for name, module in network.named_modules()
        if IMAGENET_CLASSES in (getattr(module, "out_features", None), getattr(module, "out_channels", None))
    ][-1]
    if isinstance(layer, nn.Conv2d):  # the ReLU after the head of SqueezeNet is also removed
        network.classifier = nn.Sequential(network.get_submodule("classifier.0"), nn.AdaptiveAvgPool2d(1))
        return name
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return name
