"""Layer freezing, and faster inference through frozen layers."""

import lightning as L
import pytest
import torch
import torchvision
from torch.utils.data import DataLoader

from celeba_lab.models.classifier.frozen import FreezePlan, split_frozen
from celeba_lab.models.classifier.module import AttributeClassifier

SMALL = "shufflenet_v2_x0_5"


def freeze(network: torch.nn.Module, stages: int) -> None:
    """Freeze the first stages of ``network.features`` and give batch normalisation random statistics."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
    network.features[:stages].requires_grad_(False).eval()


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "vgg11_bn", "densenet121"])
def test_frozen_stages_and_the_rest_compute_the_output_of_the_network(name):
    network = torchvision.models.get_model(name, weights=None).eval()
    freeze(network, stages=3)
    network.requires_grad_(False)
    network.features[3:].requires_grad_()
    frozen, rest = split_frozen(network)
    images = torch.randn(6, 3, 64, 64)  # not a multiple of the chunk size
    with torch.no_grad():
        count = len(network.features) - len(rest.features)
        assert count >= 1
        stages = network.features[:count](images)
        assert (frozen(images) - stages).norm() < 0.01 * (stages[0] - stages[1]).norm()
        assert torch.equal(rest(stages), network(images))
    assert frozen(images).grad_fn is None


def test_stages_that_are_random_in_training_are_not_folded():
    network = torchvision.models.efficientnet_v2_s(weights=None).train()
    for stage in network.features:
        stage.requires_grad_(False)
        for module in stage.modules():
            module.training = not any(True for _ in module.buffers(recurse=False))
    frozen, _ = split_frozen(network)
    images = torch.randn(4, 3, 64, 64)
    first = frozen(images)
    assert torch.equal(first, frozen(images))
    assert torch.allclose(first, network.features[:1](images), atol=1e-4)  # the second stage has stochastic depth


def test_networks_without_leading_frozen_stages_are_not_split():
    network = torchvision.models.mobilenet_v2(weights=None)
    assert split_frozen(network) is None  # the first stage is trained
    network.features[0].requires_grad_(False)
    assert split_frozen(network) is None  # the running statistics of the first stage are updated
    network.features[0].eval()
    assert split_frozen(network) is not None
    own = torch.nn.Module()
    own.features = network.features
    assert split_frozen(own) is None  # its forward may apply other layers before features
    resnet = torchvision.models.resnet18(weights=None).eval().requires_grad_(False)
    assert split_frozen(resnet) is None  # it has no Sequential named features


class Spy(AttributeClassifier):
    """A classifier that records after each batch whether its frozen layers were folded."""

    folded: list[bool]

    def on_train_batch_end(self, *_) -> None:
        self.folded = [*getattr(self, "folded", []), self.backbone._split is not None]


def fit(freeze: float, lr: float = 1e-2, **options) -> Spy:
    """Train for two epochs of one step each on eight faces."""
    L.seed_everything(0, verbose=False)
    faces = [
        {"image": torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8), "label": torch.tensor([k % 2]), "index": k}
        for k in range(8)
    ]
    model = Spy(["a"], "mobilenet_v2", image_size=64, freeze=freeze, lr=lr, schedule="constant", **options)
    trainer = L.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, barebones=True)
    trainer.fit(model, DataLoader(faces, batch_size=8))
    return model


def test_frozen_layers_are_folded_only_during_training():
    model = fit(0.5)
    assert model.folded == [True, True]
    assert model.backbone._split is None
    assert fit(0.0).folded == [False, False]


def test_unfrozen_layers_are_no_longer_folded():
    assert fit(0.5, unfreeze_epoch=1).folded == [True, False]


def test_training_is_the_same_without_folding(monkeypatch):
    def parameters(model):
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    options = {"optimizer": "SGD", "lr": 1e-3}  # Adam would amplify rounding errors to full steps
    folded = parameters(fit(0.5, **options))
    monkeypatch.setattr("celeba_lab.models.classifier.backbones.split_frozen", lambda network: None)
    plain = parameters(fit(0.5, **options))
    start = parameters(fit(1.0, **options | {"lr": 1e-12}))
    assert (folded - plain).norm() < 0.1 * (plain - start).norm()


# -- which layers are frozen -----------------------------------------------------------------------------------------


def changed_layers(model: AttributeClassifier, before: dict[str, torch.Tensor]) -> list[bool]:
    """Return, for each backbone layer, whether its weights or running statistics changed."""
    prefixes = {module: name for name, module in model.backbone.named_modules()}
    after = model.backbone.state_dict()
    changed = []
    for layer in model.backbone.layers():
        own = [key for key in after if key.rpartition(".")[0] == prefixes[layer]]
        assert own
        changed.append(any(not torch.equal(before[key], after[key]) for key in own))
    return changed


@pytest.mark.parametrize("backbone", [SMALL, "mobilenet_v2"])
@pytest.mark.parametrize("freeze", [0.0, 0.4, 1.0])
def test_frozen_layers_keep_weights_and_statistics(backbone, freeze, classifier, loader, trainer, state_of):
    model = classifier(2, backbone, freeze=freeze, lr=1e-2, schedule="constant", weight_decay=0.1)
    before, head = state_of(model.backbone), state_of(model.head)
    trainer(max_epochs=2).fit(model, loader(count=2), loader(count=2))
    changed = changed_layers(model, before)
    frozen = round(freeze * len(changed))
    assert changed == [False] * frozen + [True] * (len(changed) - frozen)
    assert all(not torch.equal(value, head[key]) for key, value in model.head.state_dict().items())


def test_layers_are_unfrozen_at_unfreeze_epoch(names, loader, trainer, state_of):
    class Watched(AttributeClassifier):
        def on_train_epoch_end(self):
            super().on_train_epoch_end()
            history.append(changed_layers(self, before))

    history: list[list[bool]] = []
    model = Watched(names(1), SMALL, image_size=32, freeze=0.5, unfreeze_epoch=2, lr=1e-2, schedule="constant")
    before = state_of(model.backbone)
    trainer(max_epochs=3).fit(model, loader(), loader())
    layers = len(model.backbone.layers())
    half = round(0.5 * layers)
    assert history[0] == history[1] == [False] * half + [True] * (layers - half)
    assert history[2] == [True] * layers


class Counter(AttributeClassifier):
    """A classifier that counts its frozen layers after each epoch."""

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.counts = [*getattr(self, "counts", []), len(self._frozen)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.25, 0.5, 0.5]),
        ({"freeze_later": None}, [0.25, 0.25, 0.25]),
        ({"freeze_later": 0.1}, [0.25, 0.25, 0.25]),
        ({"freeze_last": 0.75}, [0.25, 0.5, 0.5, 0.75]),
        ({"freeze_later": None, "freeze_last": 0.75}, [0.25, 0.25, 0.25, 0.75]),
        ({"freeze_last": 0.75}, [0.25, 0.5, 0.5]),  # The last quarter of three epochs is less than one.
        ({"freeze": 0.0}, [0.0, 0.0, 0.0]),
        ({"unfreeze_epoch": 1, "freeze_last": 0.75}, [0.25, 0.0, 0.0]),
    ],
    ids=str,
)
def test_more_layers_are_frozen_later(options, expected, names, loader, trainer):
    settings = {"freeze": 0.25, "freeze_later": 0.5, "lr": 1e-2, "schedule": "constant"} | options
    model = Counter(names(1), SMALL, image_size=32, **settings)
    trainer(max_epochs=len(expected)).fit(model, loader())
    layers = len(model.backbone.layers())
    assert model.counts == [round(fraction * layers) for fraction in expected]


def test_layers_that_are_frozen_later_keep_their_trained_weights(names, loader, trainer, state_of):
    states = []

    class Watched(AttributeClassifier):
        def on_train_epoch_end(self):
            super().on_train_epoch_end()
            states.append(state_of(self.backbone))

    settings = {"freeze": 0.25, "freeze_later": 0.5, "lr": 1e-2, "schedule": "constant", "weight_decay": 0.1}
    model = Watched(names(1), SMALL, image_size=32, **settings)
    start = state_of(model.backbone)
    trainer(max_epochs=3).fit(model, loader())
    layers = len(model.backbone.layers())
    quarter, half = round(0.25 * layers), round(0.5 * layers)
    model.backbone.load_state_dict(states[0])
    assert changed_layers(model, start) == [False] * quarter + [True] * (layers - quarter)
    model.backbone.load_state_dict(states[2])
    assert changed_layers(model, states[0]) == [False] * half + [True] * (layers - half)


@pytest.mark.parametrize(
    ("epochs", "processes", "expected"),
    [
        (4, 1, [0.25, 0.5, 0.5, 0.75]),
        (8, 1, [0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.75, 0.75]),
        (1, 1, [0.25]),
        (4, 2, [0.25] * 4),
        (None, 1, [0.25, 0.5, 0.5, 0.5]),
        (-1, 1, [0.25, 0.5, 0.5, 0.5]),
    ],
)
def test_the_last_epochs_depend_on_their_number(epochs, processes, expected):
    plan = FreezePlan(freeze=0.25, freeze_later=0.5, freeze_last=0.75)
    assert [plan.fraction(epoch, epochs, processes) for epoch in range(len(expected))] == expected


def test_a_resumed_run_freezes_the_same_layers(names, loader, trainer, tmp_path):
    settings = {"freeze": 0.25, "freeze_later": 0.5, "lr": 1e-2, "schedule": "constant"}
    first = trainer(max_epochs=2)
    first.fit(Counter(names(1), SMALL, image_size=32, **settings), loader())
    first.save_checkpoint(tmp_path / "last.ckpt")
    resumed = Counter(names(1), SMALL, image_size=32, **settings)
    trainer(max_epochs=3).fit(resumed, loader(), ckpt_path=tmp_path / "last.ckpt")
    assert resumed.counts == [round(0.5 * len(resumed.backbone.layers()))]


def test_the_backbone_stays_frozen_before_unfreeze_epoch(classifier, loader, trainer, state_of):
    model = classifier(freeze=1.0, unfreeze_epoch=1, lr=1e-2, schedule="constant")
    before = state_of(model.backbone)
    trainer(max_epochs=1).fit(model, loader())
    assert not any(changed_layers(model, before))
    assert all(not layer.training for layer in model.backbone.layers())


def test_freezing_a_module_does_not_freeze_its_children(classifier):
    # Each ConvNeXt block has a parameter of its own, and precedes the layers inside it in layers().
    model = classifier(backbone="convnext_tiny", freeze=0.1)
    model.setup("fit")
    model.train()
    frozen = model.backbone.layers()[: round(0.1 * len(model.backbone.layers()))]
    assert all(not layer.training for layer in frozen)
    assert all(layer.training for layer in model.backbone.layers()[len(frozen) :])
    assert all(not p.requires_grad for layer in frozen for p in layer.parameters(recurse=False))
