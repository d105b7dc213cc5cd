"""Properties of the classifier, mostly tested with Lightning's Trainer."""

import copy
import math
import types
from functools import partial

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from celeba_lab.engine.callbacks import ExponentialMovingAverage
from celeba_lab.errors import UserError
from celeba_lab.models.classifier.module import IMAGENET_MEAN, IMAGENET_STD, AttributeClassifier

SMALL = "shufflenet_v2_x0_5"  # 0.3 million parameters, batch normalisation, no dropout


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("size", [(32, 32), (218, 178), (17, 50)])
def test_raw_faces_of_any_size_give_one_logit_per_attribute(count, size, classifier, faces, settled):
    model = settled(classifier(count))
    images = faces(3, *size)
    with torch.no_grad():
        logits, features = model(images), model.features(images)
    probabilities = model.probabilities(images)
    assert logits.shape == probabilities.shape == (3, count)
    assert features.shape == (3, 1024)
    assert logits.dtype == probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities, logits.sigmoid())
    torch.testing.assert_close(logits, model.head(features))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.int8])
def test_images_that_are_not_uint8_are_rejected(dtype, classifier):
    with pytest.raises(TypeError, match=r"raw uint8 faces \(B, 3, H, W\), but got torch\."):
        classifier()(torch.zeros(1, 3, 32, 32, dtype=dtype))


def test_images_are_normalised_for_the_imagenet_weights(classifier, faces):
    model = classifier().eval()
    seen = []
    model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    images = faces(2, 32, 32)
    with torch.no_grad():
        model(images)
    for channel in range(3):
        expected = (images[:, channel].float() / 255 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        torch.testing.assert_close(seen[0][:, channel], expected)


def test_resizing_is_antialiased(classifier):
    model = classifier()
    board = (torch.arange(160)[:, None] + torch.arange(160)).remainder(2).mul(255).to(torch.uint8)
    reduced = model._to_unit_range(board.expand(1, 3, 160, 160))  # without antialiasing, every pixel would be 0 or 1
    assert reduced.shape == (1, 3, 32, 32)
    torch.testing.assert_close(reduced, torch.full((1, 3, 32, 32), 0.5), atol=0.02, rtol=0)


@pytest.mark.parametrize("backbone", [SMALL, "mobilenet_v2", "squeezenet1_1"])
def test_channels_last_gives_the_same_output(backbone, classifier, faces, settled):
    last = settled(classifier(3, backbone, channels_last=True))
    first = classifier(3, backbone, channels_last=False)
    first.load_state_dict(last.state_dict())
    weight = next(p for p in last.backbone.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        outputs = [model.eval()(faces(4)) for model in (last, first)]
    assert outputs[0].std() > 1e-4
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["freeze", "threshold", "warmup"])
@pytest.mark.parametrize("value", [-0.1, 1.5, 30])
def test_a_fraction_out_of_range_is_rejected(name, value, classifier):
    with pytest.raises(UserError, match=rf"^{name}={value} must be between 0 and 1\.$"):
        classifier(**{name: value})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backbone": "resnet19"}, r"^backbone=resnet19 .*Did you mean 'resnet1"),
        ({"optimizer": "AdamX"}, r"^optimizer=AdamX .*Did you mean 'Adam"),
        ({"schedule": "one_cicle"}, r"^schedule=one_cicle .*Did you mean 'one_cycle'"),
        ({"lr": 0}, r"^lr=0 must be above 0"),
        ({"resolution": 0}, r"^resolution=0 must be between 8 and 4096"),
        ({"resolution": 60_000}, r"^resolution=60000 must be between 8 and 4096"),
        ({"image_size": 5000}, r"^image_size=5000 must be between 8 and 4096"),
        ({"mixup": -1.0}, r"^mixup=-1 must be at least 0"),
        ({"label_smoothing": 1}, r"^label_smoothing=1 must be between 0 and 0\.99"),
        ({"zoom_average": -0.1}, r"^zoom_average=-0\.1 must be between 0 and 1"),
        ({"loss": {"name": "focl"}}, r"^loss\.name=focl must be one of .* Did you mean 'focal'"),
    ],
)
def test_invalid_arguments_are_rejected(options, sentence, classifier):
    with pytest.raises(UserError, match=sentence):
        classifier(**options)


def test_a_schedule_without_an_end_is_rejected(classifier, loader, trainer):
    with pytest.raises(UserError, match=r"^schedule=one_cycle .*Limit the number of epochs"):
        trainer(max_epochs=-1).fit(classifier(), loader())


def test_hyperparameters_have_plain_types(classifier):
    model = classifier(2, augment={"flip": 0.5}, weights="weights.pth", unfreeze_epoch=1)

    def plain(value) -> bool:
        if type(value) is dict:
            return all(type(key) is str and plain(item) for key, item in value.items())
        if type(value) is list:
            return all(plain(item) for item in value)
        return type(value) in (str, int, float, bool, types.NoneType)

    assert all(plain(value) for value in model.hparams.values()), dict(model.hparams)
    assert set(model.hparams) >= {"attributes", "backbone", "image_size", "threshold", "flip_average", "augment"}


@pytest.mark.parametrize(
    ("backbone", "epochs"), [("squeezenet1_1", 80), pytest.param("resnet18", 20, marks=pytest.mark.slow)]
)
def test_a_classifier_overfits_eight_faces(backbone, epochs, classifier, loader, trainer):
    model = classifier(3, backbone, lr=1e-3, schedule="constant")
    fit = trainer(max_epochs=epochs)
    fit.fit(model, loader(count=3, batch_size=8))
    [measured] = fit.test(model, loader(count=3, batch_size=3), verbose=False)
    assert measured["test/loss"] < 0.1
    assert measured["test/accuracy"] == 1
    assert measured["test/auroc"] == 1


def test_a_training_step_equals_one_computed_by_hand(classifier, loader, trainer):
    """The step uses SGD without momentum."""
    model = classifier(2, optimizer="SGD", lr=0.1, weight_decay=0.0, schedule="constant")
    twin = copy.deepcopy(model).train()
    data = loader(n=4, count=2)
    trainer().fit(model, data)
    batch = next(iter(data))
    loss = F.binary_cross_entropy_with_logits(twin(batch["image"]), batch["label"].float())
    loss.backward()
    expected = {name: p - 0.1 * p.grad for name, p in twin.named_parameters()}
    for name, p in model.named_parameters():
        torch.testing.assert_close(p, expected[name], atol=1e-5, rtol=1e-4, msg=name)


def test_images_are_augmented_only_in_training(classifier, loader, trainer):
    seen: dict[str, list[torch.Tensor]] = {"train": [], "eval": []}
    model = classifier(augment={"flip": 1.0})
    model.backbone.register_forward_pre_hook(
        lambda module, inputs: seen["train" if module.training else "eval"].append(inputs[0])
    )
    trainer(num_sanity_val_steps=0).fit(model, loader(n=4), loader(n=4))
    assert len(seen["train"]) == len(seen["eval"]) == 1
    torch.testing.assert_close(seen["train"][0].flip(-1), seen["eval"][0])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_label_smoothing_applies_only_in_training(smoothing, classifier, loader, trainer, settled):
    model = settled(classifier(3, label_smoothing=smoothing, lr=1e-9, schedule="constant", freeze=1.0))
    data = loader(count=3, batch_size=8)
    batch = next(iter(data))
    label = batch["label"].float()
    smoothed = label * (1 - smoothing) + smoothing / 2
    assert {round(value, 6) for value in smoothed.unique().tolist()} == {smoothing / 2, 1 - smoothing / 2}
    with torch.no_grad():
        logits = model(batch["image"])
    fit = trainer()
    fit.fit(model, data, data)
    measured = fit.callback_metrics
    plain = F.binary_cross_entropy_with_logits(logits, label).item()
    assert measured["val/loss"].item() == pytest.approx(plain, rel=1e-4)
    expected = F.binary_cross_entropy_with_logits(logits, smoothed).item()
    assert measured["train/loss"].item() == pytest.approx(expected, rel=1e-4)
    # The training metrics use the original labels instead of smoothed labels.
    accuracy = ((logits >= 0) == label.bool()).float().mean().item()
    assert measured["train/accuracy"].item() == pytest.approx(accuracy)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_diverged_run_stops_at_the_end_of_the_epoch(bad, names, loader, trainer):
    class Diverging(AttributeClassifier):
        def training_step(self, batch, batch_idx):
            if self.current_epoch == 1:
                with torch.no_grad():
                    self.head.bias.fill_(bad)
            return super().training_step(batch, batch_idx)

    model = Diverging(names(1), SMALL, image_size=32)
    with pytest.raises(UserError, match=r"^Training diverged in epoch 2, step 4: the training loss is .*Lower lr"):
        trainer(max_epochs=4).fit(model, loader())


def test_mixup_applies_only_in_training_and_changes_the_loss(classifier, settled) -> None:
    model = settled(classifier(3, mixup=1.0, lr=1e-9, schedule="constant", freeze=1.0))
    batch = {
        "image": torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8),
        "label": torch.tensor([[0, 1, 1]] * 4 + [[1, 0, 1]] * 4, dtype=torch.uint8),
        "index": torch.arange(8),
    }
    model.log = lambda *arguments, **options: None  # no trainer is attached
    torch.manual_seed(0)
    with torch.no_grad():
        mixed = [model.training_step(batch, 0).item() for _ in range(3)]
    assert len(set(mixed)) == 3, "every batch should get a new mixing ratio"
    first, second = (model.validation_step(batch, 0)["probability"] for _ in range(2))
    assert torch.equal(first, second)


def test_another_training_loss_is_used_while_cross_entropy_is_reported(classifier, settled) -> None:
    plain, focal = (settled(classifier(3, loss=loss)) for loss in (None, {"name": "focal"}))
    focal.load_state_dict(plain.state_dict())
    logits, labels = torch.randn(8, 3), torch.ones(8, 3)
    assert focal.training_loss(logits, labels) < plain.training_loss(logits, labels)
    batch = {
        "image": torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8),
        "label": torch.ones(8, 3, dtype=torch.uint8),
        "index": torch.arange(8),
    }
    for model in (plain, focal):
        model.eval().validation_step(batch, 0)
    assert focal.val_metrics.compute()["loss"] == pytest.approx(plain.val_metrics.compute()["loss"].item(), rel=1e-5)


def test_a_classifier_with_a_resolution_shrinks_large_faces() -> None:
    torch.manual_seed(0)
    model = AttributeClassifier(["Smiling"], "shufflenet_v2_x0_5", image_size=64, resolution=16).eval()
    assert model.input_size == 16
    large = torch.randint(0, 256, (3, 3, 109, 89), dtype=torch.uint8)
    small = torch.nn.functional.interpolate(large.float(), size=(16, 16), mode="bilinear", antialias=True)
    seen, seen_small = model._to_unit_range(large), model._to_unit_range(small.round().to(torch.uint8))
    assert seen.shape == (3, 3, 64, 64)
    assert torch.allclose(seen, seen_small, atol=1 / 255)
    plain = AttributeClassifier(["Smiling"], "shufflenet_v2_x0_5", image_size=64)
    assert not torch.allclose(seen, plain._to_unit_range(large), atol=0.1)
    assert plain.input_size == 64


# -- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(names, loader, trainer):
    """``run(folder, stop_at, **options)`` trains for three epochs and saves a checkpoint after each.

    ``stop_at=(epoch, batch)`` simulates Ctrl-C in that validation batch. Returns the model, the trainer, and the epoch
    and index of every validation batch.
    """

    def fit_three_epochs(folder, stop_at=None, **options):

        class Stopping(AttributeClassifier):
            def validation_step(self, batch, batch_idx):
                validated.append((self.current_epoch, batch_idx))
                if (self.current_epoch, batch_idx) == stop_at:
                    raise KeyboardInterrupt
                return super().validation_step(batch, batch_idx)

        validated: list[tuple[int, int]] = []
        torch.manual_seed(0)
        model = Stopping(names(2), SMALL, image_size=32, freeze=0.3, unfreeze_epoch=1, lr=1e-2)
        saving = ModelCheckpoint(folder, filename="last", save_on_exception=True, enable_version_counter=False)
        fit = trainer(enable_checkpointing=True, max_epochs=3, callbacks=[saving], num_sanity_val_steps=0)
        fit.fit(model, loader(count=2), loader(n=12, count=2), **options)
        return model, fit, validated

    return fit_three_epochs


@pytest.mark.parametrize(
    "options", [{}, {"flip_average": True, "threshold": 0.3, "augment": {"flip": 0.5}, "freeze": 0.5}]
)
def test_a_loaded_checkpoint_gives_the_same_outputs(tmp_path, options, names, classifier, faces, loader, trainer):
    model = classifier(3, **options)
    fit = trainer(max_epochs=2, enable_checkpointing=True, default_root_dir=tmp_path)
    fit.fit(model, loader(count=3))
    path = tmp_path / "model.ckpt"
    fit.save_checkpoint(path)
    loaded = AttributeClassifier.load_from_checkpoint(path, weights_only=True).eval()
    assert dict(loaded.hparams) == dict(model.hparams)
    assert loaded.attributes == names(3)
    images = faces(5, 109, 89)
    assert torch.equal(loaded.probabilities(images), model.eval().probabilities(images))


@pytest.mark.parametrize(
    "stop_at",
    [(0, 2), (1, 1), pytest.param((1, 0), marks=pytest.mark.slow), pytest.param((2, 2), marks=pytest.mark.slow)],
)
def test_a_run_resumed_in_validation_equals_an_uninterrupted_run(run, tmp_path, stop_at):
    whole, whole_fit, _ = run(tmp_path / "whole")
    with pytest.raises(SystemExit):  # Lightning turns Ctrl-C into SystemExit.
        run(tmp_path, stop_at)
    resumed, fit, validated = run(tmp_path, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert fit.global_step == whole_fit.global_step == 6
    weights = resumed.state_dict()
    for key, value in whole.state_dict().items():
        assert torch.equal(weights[key], value), key
    # An interrupted validation must start over. Otherwise, its metrics would cover only part of the split.
    assert validated == [(epoch, batch) for epoch in range(stop_at[0], 3) for batch in range(3)]
    expected = {key: value for key, value in whole_fit.callback_metrics.items() if key.startswith("val/")}
    for key, value in expected.items():
        torch.testing.assert_close(fit.callback_metrics[key], value, equal_nan=True, msg=key)


def test_a_run_resumed_after_an_epoch_equals_an_uninterrupted_run(run, tmp_path, classifier, loader, trainer):
    class Stop(L.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 2:
                trainer.should_stop = True
                raise KeyboardInterrupt

    whole, *_ = run(tmp_path / "whole")
    torch.manual_seed(0)
    model = classifier(2, freeze=0.3, unfreeze_epoch=1, lr=1e-2)
    fit = trainer(enable_checkpointing=True, max_epochs=3, callbacks=[Stop(), ModelCheckpoint(tmp_path, "last")])
    with pytest.raises(SystemExit):
        fit.fit(model, loader(count=2), loader(n=12, count=2))
    resumed, *_ = run(tmp_path, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    weights = resumed.state_dict()
    for key, value in whole.state_dict().items():
        assert torch.equal(weights[key], value), key


def test_compiling_does_not_change_names_in_the_checkpoint(classifier):
    plain, compiled = classifier(), classifier(compile=True)
    compiled.setup("fit")  # compilation itself would happen at the first batch
    assert compiled.backbone._compiled_call_impl is not None
    assert list(compiled.state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize(("device", "options"), [("cpu", {}), ("cuda", {"mode": "reduce-overhead", "dynamic": False})])
def test_compiled_backbones_use_cuda_graphs_on_a_gpu(classifier, monkeypatch, device, options):
    model = classifier(compile=True)
    model._trainer = types.SimpleNamespace(strategy=types.SimpleNamespace(root_device=torch.device(device)))
    given = []
    monkeypatch.setattr(model.backbone, "compile", lambda **options: given.append(options))
    model.setup("fit")
    assert given == [options]


@pytest.mark.slow
def test_a_compiled_classifier_trains_like_the_plain_one_and_saves_the_same_names(
    classifier, trainer, loader, tmp_path, monkeypatch
):
    """The backend runs the captured operations without a compiler, which takes a minute."""
    states = []
    for is_compiled in (False, True):
        torch.manual_seed(0)
        model = classifier(2, "squeezenet1_1", compile=is_compiled, lr=1e-2)
        monkeypatch.setattr(model.backbone, "compile", partial(model.backbone.compile, backend="eager"))
        fit = trainer(
            enable_checkpointing=True,
            max_epochs=2,
            callbacks=[ModelCheckpoint(tmp_path, f"{is_compiled}"), ExponentialMovingAverage()],
        )
        fit.fit(model, loader(count=2), loader(n=12, count=2))
        states.append(torch.load(tmp_path / f"{is_compiled}.ckpt", weights_only=True)["state_dict"])
    plain, compiled = states
    assert list(compiled) == list(plain)
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, msg=name)


def test_guard_torch_compile_changes_names_in_the_state_dict():
    # Once this fails, self.backbone = torch.compile(self.backbone) is sufficient.
    network = nn.Linear(2, 2)
    assert set(torch.compile(network).state_dict()).isdisjoint(network.state_dict())
