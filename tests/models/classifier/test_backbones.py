"""Backbones of many families, with weights that are loaded without downloading anything."""

import re
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn

from celeba_lab.engine.pretrained import fetch_weights
from celeba_lab.errors import UserError
from celeba_lab.models.classifier import backbones
from celeba_lab.models.classifier.backbones import Backbone
from celeba_lab.models.classifier.module import AttributeClassifier

# For each backbone, D and the name of the torchvision layer that computes the ImageNet logits.
FAMILIES = {
    "alexnet": (4096, "classifier.6"),
    "convnext_tiny": (768, "classifier.2"),
    "densenet121": (1024, "classifier"),
    "efficientnet_b0": (1280, "classifier.1"),
    "googlenet": (1024, "fc"),
    "mnasnet0_5": (1280, "classifier.1"),
    "mobilenet_v2": (1280, "classifier.1"),
    "mobilenet_v3_small": (1024, "classifier.3"),
    "regnet_x_400mf": (400, "fc"),
    "resnet18": (512, "fc"),
    "shufflenet_v2_x0_5": (1024, "fc"),
    "squeezenet1_1": (512, "classifier.1"),
    "swin_t": (768, "head"),
    "vgg11": (4096, "classifier.6"),
    "vit_b_16": (768, "heads.head"),
}
HEAVY = {"alexnet", "vgg11"}  # 60 and 130 million parameters
# These cover batch normalisation, a convolutional head, an auxiliary head and versioned state dicts.
LOADED = ["densenet121", "googlenet", "mnasnet0_5", "resnet18", "squeezenet1_1"]


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    """Prevent downloads and the use of previously downloaded weights."""

    def refuse(*args, **kwargs):
        raise URLError("the tests are offline")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.setattr("torch.hub.urlopen", refuse)


def torchvision_model(name: str) -> nn.Module:
    """Return a torchvision model with a thousand classes and random weights."""
    options = {"init_weights": True} if name == "googlenet" else {}
    return torchvision.models.get_model(name, weights=None, **options)


@torch.no_grad()
def settled(network: nn.Module) -> nn.Module:
    """Set the running statistics from some images, so that the outputs of a deep random network differ."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # None gives a cumulative average
    network.train()(torch.randn(8, 3, 64, 64))
    return network.eval()


# -- families --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in HEAVY else ()) for n in FAMILIES])
def test_features_are_computed_without_the_head(name):
    features, head_name = FAMILIES[name]
    backbone = Backbone(name, 64).eval()
    with torch.no_grad():
        output = backbone(torch.randn(2, 3, 64, 64))
    assert output.shape == (2, features)
    assert output.isfinite().all()
    assert (backbone.num_features, backbone.head_name) == (features, head_name)
    assert not any(1000 in value.shape[:1] for value in backbone.state_dict().values()), (
        "the ImageNet head was not removed"
    )
    assert not any(key.startswith(f"network.{head_name}.") for key in backbone.state_dict())


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small"])
def test_features_support_logits_of_both_signs(name):
    # SqueezeNet ends with a ReLU, which would make all logits non-negative.
    torch.manual_seed(0)
    model = AttributeClassifier([f"a{k}" for k in range(16)], name, image_size=64).eval()
    with torch.no_grad():
        logits = model(torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8))
    assert (logits < 0).any()
    assert (logits > 0).any()


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in HEAVY])
def test_layers_contain_every_parameter_once(name):
    backbone = Backbone(name, 64)
    held = [id(p) for layer in backbone.layers() for p in layer.parameters(recurse=False)]
    assert sorted(held) == sorted(id(p) for p in backbone.parameters())


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "squeezenet1_1", "regnet_x_400mf", "efficientnet_b0"])
def test_layers_are_ordered_from_input_to_output(name):
    # Layers are frozen in this order, so it must be the order of execution. Residual shortcuts are excluded, because
    # they are executed last.
    backbone = Backbone(name, 64).eval()
    passed: list[nn.Module] = []
    for layer in backbone.layers():
        layer.register_forward_hook(lambda module, *_: passed.append(module))
    with torch.no_grad():
        backbone(torch.zeros(1, 3, 64, 64))
    names = {module: key for key, module in backbone.named_modules()}
    shortcuts = ("downsample", "proj")
    built = [names[layer] for layer in backbone.layers() if not any(part in names[layer] for part in shortcuts)]
    ran = [names[layer] for layer in passed if not any(part in names[layer] for part in shortcuts)]
    assert built == ran


def test_an_unknown_backbone_error_suggests_the_closest_name():
    with pytest.raises(UserError, match=r"^backbone=mobilenet_v22 .*Did you mean 'mobilenet_v2'\?"):
        Backbone("mobilenet_v22", 64)


@pytest.mark.parametrize("name", ["fcn_resnet50", "raft_small", "r3d_18", "fasterrcnn_resnet50_fpn"])
def test_torchvision_models_for_other_tasks_are_rejected(name):
    with pytest.raises(UserError, match="is neither a torchvision classifier nor a registered backbone"):
        Backbone(name, 64)


@pytest.mark.parametrize(("name", "size"), [("alexnet", 32), ("vit_b_16", 100), ("maxvit_t", 64), ("densenet121", 8)])
def test_an_unsupported_image_size_gives_a_one_line_error(name, size):
    with pytest.raises(UserError, match=rf"^backbone={name} .* {size} x {size} .*Set image_size") as caught:
        Backbone(name, size)
    assert "\n" not in str(caught.value)
    assert not re.search(r"[.!]\.", str(caught.value)), "the message should not contain two full stops"


def test_a_registered_backbone_can_be_used_by_name(monkeypatch):
    def tiny_net() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    monkeypatch.setattr(backbones, "_REGISTERED", {})
    assert backbones.register_backbone(tiny_net) is tiny_net
    assert "tiny_net" in backbones.list_backbones()
    backbone = Backbone("tiny_net", 32).eval()
    assert backbone.num_features == 6
    assert len(backbone.layers()) == 2
    assert fetch_weights("auto", "tiny_net") == (None, "RANDOM weights: torchvision has no weights for tiny_net")
    with pytest.raises(
        UserError, match=r"is neither a file nor the name of .* for tiny_net\. Available weights: none\."
    ):
        fetch_weights("IMAGENET1K_V1", "tiny_net")
    with pytest.raises(UserError, match=r"^backbone=tinynet .*Did you mean 'tiny_net'\?"):
        Backbone("tinynet", 32)
    other = Backbone("tiny_net", 32).eval()
    other.load_pretrained(backbone.network.state_dict(), "memory")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(other(images), backbone(images))


def test_features_are_measured_without_computing_them(monkeypatch):
    devices = []

    class Recording(nn.Flatten):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            devices.append(images.device.type)
            return super().forward(images)

    monkeypatch.setattr(backbones, "_REGISTERED", {"recording": Recording})
    assert Backbone("recording", 4096).num_features == 3 * 4096**2
    assert devices == ["meta"]


def test_a_registered_backbone_may_need_real_tensors(monkeypatch):
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, int(torch.tensor(6).item()), 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features = self.layer(images).mean(dim=(2, 3))
            return features[:, : 2 + int(features.sum().isfinite().item())]

    monkeypatch.setattr(backbones, "_REGISTERED", {"counting": Counting})
    backbone = Backbone("counting", 32)
    assert backbone.num_features == 3
    assert not any(parameter.is_meta for parameter in backbone.parameters())
    with torch.device("meta"), pytest.raises(NotImplementedError, match="counting cannot be built without memory"):
        Backbone("counting", 32)


# -- pretrained weights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOADED)
def test_torchvision_weights_reproduce_torchvision_features(name, tmp_path):
    """Given weights with the usual thousand classes, the features are the inputs of torchvision's head."""
    torch.manual_seed(0)
    original = torchvision_model(name)
    if name == "googlenet":
        original.transform_input = True  # torchvision sets this for pretrained weights
    settled(original)
    path = tmp_path / f"{name}.pth"
    torch.save(original.state_dict(), path)

    backbone = Backbone(name, 64).eval()
    state_dict, source = fetch_weights(str(path), name)
    backbone.load_pretrained(state_dict, source)
    assert source == str(path)

    entered = []
    head = original.get_submodule(backbone.head_name)
    head.register_forward_pre_hook(lambda module, inputs: entered.append(inputs[0]))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        original(images)
        features = backbone(images)
    expected = entered[0].mean(dim=(2, 3)) if entered[0].ndim == 4 else entered[0]
    torch.testing.assert_close(features, expected)
    assert (features[0] - features[1]).norm() > 0.05 * features[0].norm(), (
        "the features of the two images should differ"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_b_16", "vgg11", "swin_t", "convnext_tiny"])
def test_torchvision_weights_fit_large_backbones(name):
    original = torchvision_model(name)
    backbone = Backbone(name, 64)
    backbone.load_pretrained(original.state_dict(), "memory")
    own = backbone.network.state_dict()
    for key, value in original.state_dict().items():
        if key in own and key != "encoder.pos_embedding":
            assert torch.equal(own[key], value), key


@pytest.mark.slow
def test_position_embeddings_are_interpolated_to_another_image_size():
    state_dict = torchvision.models.vit_b_32(weights=None).state_dict()
    same, smaller = Backbone("vit_b_32", 224), Backbone("vit_b_32", 96)
    for backbone in (same, smaller):
        backbone.load_pretrained(state_dict, "memory")
    positions = state_dict["encoder.pos_embedding"]
    assert torch.equal(same.network.encoder.pos_embedding, positions)
    assert smaller.network.encoder.pos_embedding.shape == (1, 1 + 3 * 3, 768)
    assert torch.equal(smaller.network.encoder.pos_embedding[:, 0], positions[:, 0])


def test_older_densenet_weights_are_renamed():
    """DenseNet's weights file uses norm.1 where the code uses norm1, and older files lack num_batches_tracked."""
    original = settled(torchvision_model("densenet121"))
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value
        for key, value in original.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    backbone = Backbone("densenet121", 64)
    backbone.load_pretrained(old, "old.pth")
    own = backbone.network.state_dict()
    for key, value in original.state_dict().items():
        if key in own and not key.endswith("num_batches_tracked"):
            assert torch.equal(own[key], value), key


@pytest.mark.slow
def test_older_vision_transformer_weights_are_renamed():
    state_dict = torchvision.models.vit_b_32(weights=None).state_dict()
    old = {
        key.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2."): v
        for key, v in state_dict.items()
    }
    backbone = Backbone("vit_b_32", 224)
    backbone.load_pretrained(old, "old.pth")
    own = backbone.network.state_dict()
    assert all(torch.equal(own[key], value) for key, value in state_dict.items() if key in own)


def test_the_error_about_weights_of_another_network_counts_tensors():
    backbone = Backbone("resnet18", 64)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with pytest.raises(UserError) as caught:
        backbone.load_pretrained(torchvision_model("squeezenet1_1").state_dict(), "squeezenet.pth")
    counted = [key for key in backbone.network.state_dict() if not key.endswith("num_batches_tracked")]
    sentence = str(caught.value)
    assert "weights=squeezenet.pth does not fit backbone=resnet18" in sentence
    assert f"{len(counted)} are missing and 0 have the wrong shape (conv1.weight," in sentence
    assert "set weights=null" in sentence
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_the_error_about_weights_of_another_width_counts_tensors():
    with pytest.raises(UserError, match=r"0 are missing and \d\d+ have the wrong shape"):
        Backbone("shufflenet_v2_x1_0", 64).load_pretrained(torchvision_model("shufflenet_v2_x0_5").state_dict(), "x")


def test_the_error_about_a_missing_tensor_names_it():
    state_dict = torchvision_model("squeezenet1_1").state_dict()
    del state_dict["features.3.squeeze.bias"]
    with pytest.raises(UserError, match=r"1 are missing and 0 have the wrong shape \(features\.3\.squeeze\.bias\)"):
        Backbone("squeezenet1_1", 64).load_pretrained(state_dict, "x")


def test_downloaded_weights_reproduce_torchvision_features(shared: Path):
    path = shared / "weights/mobilenet_v2_imagenet.pth"
    original = torchvision.models.mobilenet_v2(weights=None).eval()
    original.load_state_dict(torch.load(path, weights_only=True))
    backbone = Backbone("mobilenet_v2", 96).eval()
    backbone.load_pretrained(*fetch_weights(str(path), "mobilenet_v2"))
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        expected = original.features(images).mean(dim=(2, 3))
        assert expected.shape == (2, 1280)
        torch.testing.assert_close(backbone(images), expected)


def test_every_torchvision_classifier_has_default_weights():
    for name in torchvision.models.list_models(module=torchvision.models):
        assert "DEFAULT" in torchvision.models.get_model_weights(name).__members__, name


# -- guards ----------------------------------------------------------------------------------------------------------


def test_guard_torchvision_rejects_pretrained_weights_with_another_class_count():
    # Once this no longer raises, replacing the head manually is unnecessary. It raises before anything is downloaded.
    with pytest.raises(ValueError, match="num_classes"):
        torchvision.models.get_model("resnet18", weights="DEFAULT", num_classes=2)


def test_weights_that_torch_cannot_copy_are_rejected():
    backbone = Backbone("squeezenet1_1", 64)
    sparse = {key: value.to_sparse() for key, value in backbone.network.state_dict().items()}
    with pytest.raises(UserError, match=r"weights=sparse\.pth does not fit backbone=squeezenet1_1 \("):
        backbone.load_pretrained(sparse, "sparse.pth")


def test_positions_that_cannot_be_interpolated_are_rejected():
    backbone = Backbone("vit_b_32", 64)
    weights = backbone.network.state_dict() | {"encoder.pos_embedding": torch.zeros(5, 768)}
    with pytest.raises(UserError, match=r"weights=vit\.pth does not fit backbone=vit_b_32 \("):
        backbone.load_pretrained(weights, "vit.pth")
