"""Properties of the classifier, most of them through Lightning's own Trainer."""

import copy
import math
import types

import lightning as L
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from celeba_lab.errors import UserError
from celeba_lab.models.classifier.augment import enlarge
from celeba_lab.models.classifier.module import IMAGENET_MEAN, IMAGENET_STD, AttributeClassifier

SMALL = "shufflenet_v2_x0_5"  # 0.3 million parameters, batch normalisation, no dropout


def names(count: int) -> list[str]:
    return [f"attribute_{k}" for k in range(count)]


def classifier(count: int = 1, backbone: str = SMALL, image_size: int = 32, **options) -> AttributeClassifier:
    return AttributeClassifier(names(count), backbone, image_size=image_size, **options)


def faces(n: int, height: int = 40, width: int = 36, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (n, 3, 5, 5), generator=generator).float()
    return F.interpolate(coarse, (height, width), mode="bilinear").round().to(torch.uint8)


def loader(n: int = 8, count: int = 1, batch_size: int = 4, **options) -> DataLoader:
    labels = (torch.arange(n)[:, None] >> torch.arange(count)) % 2
    items = [
        {"image": image, "label": label.to(torch.uint8), "index": index}
        for index, (image, label) in enumerate(zip(faces(n), labels, strict=True))
    ]
    return DataLoader(items, batch_size=batch_size, **options)


def trainer(**options) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(**{"accelerator": "cpu", "max_epochs": 1, **quiet, **options})


@torch.no_grad()
def settled(model: AttributeClassifier) -> AttributeClassifier:
    """Give a random network the statistics of some faces, so that its outputs differ from face to face."""
    model.train()
    for seed in range(20):
        model.features(faces(16, seed=seed))
    return model.eval()


# -- raw faces in, logits out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("size", [(32, 32), (218, 178), (17, 50)])
def test_raw_faces_of_any_size_give_one_logit_per_attribute(count, size):
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
def test_images_that_are_not_raw_are_refused(dtype):
    with pytest.raises(TypeError, match=r"raw uint8 faces \(B, 3, H, W\) in 0\.\.255, not torch\."):
        classifier()(torch.zeros(1, 3, 32, 32, dtype=dtype))


def test_normalises_as_the_imagenet_weights_expect():
    model = classifier().eval()
    seen = []
    model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    images = faces(2, 32, 32)
    with torch.no_grad():
        model(images)
    for channel in range(3):
        expected = (images[:, channel].float() / 255 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        torch.testing.assert_close(seen[0][:, channel], expected)


def test_resizes_by_averaging_not_by_dropping_pixels():
    model = classifier()
    board = (torch.arange(160)[:, None] + torch.arange(160)).remainder(2).mul(255).to(torch.uint8)
    reduced = model._to_unit_range(board.expand(1, 3, 160, 160))  # every fifth pixel alone would be 0 or 1
    assert reduced.shape == (1, 3, 32, 32)
    torch.testing.assert_close(reduced, torch.full((1, 3, 32, 32), 0.5), atol=0.02, rtol=0)


@pytest.mark.parametrize("backbone", [SMALL, "mobilenet_v2", "squeezenet1_1"])
def test_channels_last_gives_the_same_output(backbone):
    last = settled(classifier(3, backbone, channels_last=True))
    first = classifier(3, backbone, channels_last=False)
    first.load_state_dict(last.state_dict())
    weight = next(p for p in last.backbone.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        outputs = [model.eval()(faces(4)) for model in (last, first)]
    assert outputs[0].std() > 1e-4
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-4, rtol=1e-4)


def test_flip_average_does_not_see_the_side():
    model = settled(classifier(5, flip_average=True))
    plain = classifier(5, flip_average=False)
    plain.load_state_dict(model.state_dict())
    images = faces(4, 40, 36)
    as_seen, mirrored = model.probabilities(images), model.probabilities(images.flip(-1))
    torch.testing.assert_close(as_seen, mirrored, atol=1e-5, rtol=1e-4)
    difference = (plain.eval().probabilities(images) - plain.probabilities(images.flip(-1))).abs().max()
    assert difference > 1e-3, "without it the side matters"
    with torch.no_grad():
        expected = ((plain(images) + plain(images.flip(-1))) / 2).sigmoid()
    torch.testing.assert_close(as_seen, expected)


def test_zoom_average_is_the_mean_over_sizes_and_sides():
    model = settled(classifier(5, flip_average=True, zoom_average=0.1))
    plain = classifier(5)
    plain.load_state_dict(model.state_dict())
    images = faces(4, 32, 32)  # of the model's own size, so that nothing else is resized
    plain.eval()
    unit = images.float() / 255
    sizes = [unit, enlarge(unit, 1.1), enlarge(unit, 1 / 1.1)]
    with torch.no_grad():
        views = [plain.head(plain.backbone(plain._normalise(view))) for size in sizes for view in (size, size.flip(-1))]
    torch.testing.assert_close(model.probabilities(images), torch.stack(views).mean(dim=0).sigmoid())
    assert (model.probabilities(images) - plain.probabilities(images)).abs().max() > 1e-4


def test_a_face_does_not_depend_on_its_batch():
    model = settled(classifier(3))
    images = faces(6)
    together = model.probabilities(images)
    alone = torch.cat([model.probabilities(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


# -- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["freeze", "label_smoothing", "threshold", "warmup"])
@pytest.mark.parametrize("value", [-0.1, 1.5, 30])
def test_a_fraction_out_of_range_is_a_sentence(name, value):
    with pytest.raises(UserError, match=rf"^{name}={value} must be between 0 and 1\.$"):
        classifier(**{name: value})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backbone": "resnet19"}, r"^backbone=resnet19 .*Did you mean 'resnet1"),
        ({"optimizer": "AdamX"}, r"^optimizer=AdamX .*Did you mean 'Adam"),
        ({"schedule": "one_cicle"}, r"^schedule=one_cicle .*Did you mean 'one_cycle'"),
        ({"lr": 0}, r"^lr=0 must be above 0"),
        ({"resolution": 0}, r"^resolution=0 must be at least 1"),
        ({"mixup": -1.0}, r"^mixup=-1 must be at least 0"),
        ({"zoom_average": -0.1}, r"^zoom_average=-0\.1 must be at least 0"),
        ({"loss": {"name": "focl"}}, r"^loss\.name=focl must be one of .* Did you mean 'focal'"),
    ],
)
def test_other_wrong_arguments_are_sentences(options, sentence):
    with pytest.raises(UserError, match=sentence):
        classifier(**options)


def test_a_schedule_without_an_end_is_a_sentence():
    with pytest.raises(UserError, match=r"^schedule=one_cycle .*set max_epochs"):
        trainer(max_epochs=-1).fit(classifier(), loader())


def test_hyperparameters_are_plain():
    model = classifier(2, augment={"flip": 0.5}, weights="weights.pth", unfreeze_epoch=1)

    def plain(value) -> bool:
        if type(value) is dict:
            return all(type(key) is str and plain(item) for key, item in value.items())
        if type(value) is list:
            return all(plain(item) for item in value)
        return type(value) in (str, int, float, bool, types.NoneType)

    assert all(plain(value) for value in model.hparams.values()), dict(model.hparams)
    assert set(model.hparams) >= {"attributes", "backbone", "image_size", "threshold", "flip_average", "augment"}


# -- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backbone", "epochs"), [("squeezenet1_1", 120), ("resnet18", 30)])
def test_overfits_eight_faces(backbone, epochs):
    model = classifier(3, backbone, lr=1e-3, schedule="constant")
    fit = trainer(max_epochs=epochs)
    fit.fit(model, loader(count=3, batch_size=8))
    [measured] = fit.test(model, loader(count=3, batch_size=3), verbose=False)
    assert measured["test/loss"] < 0.1
    assert measured["test/accuracy"] == 1
    assert measured["test/auroc"] == 1


def test_a_training_step_is_what_it_says():
    """One step of plain SGD, computed again by hand."""
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


def test_training_augments_and_measuring_does_not():
    seen: dict[str, list[torch.Tensor]] = {"train": [], "eval": []}
    model = classifier(augment={"flip": 1.0})
    model.backbone.register_forward_pre_hook(
        lambda module, inputs: seen["train" if module.training else "eval"].append(inputs[0])
    )
    trainer(num_sanity_val_steps=0).fit(model, loader(n=4), loader(n=4))
    assert len(seen["train"]) == len(seen["eval"]) == 1
    torch.testing.assert_close(seen["train"][0].flip(-1), seen["eval"][0])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_label_smoothing_is_for_training_only(smoothing):
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
    # The metrics of training compare with the true labels, smoothed or not.
    accuracy = ((logits >= 0) == label.bool()).float().mean().item()
    assert measured["train/accuracy"].item() == pytest.approx(accuracy)


def test_logged_metrics_are_those_of_the_whole_split():
    model = settled(classifier(3))
    data = loader(n=8, count=3, batch_size=3)
    logits, labels = [], []
    with torch.no_grad():
        for batch in data:
            logits.append(model(batch["image"]))
            labels.append(batch["label"])
    logits, labels = torch.cat(logits), torch.cat(labels)
    validation, test = trainer(), trainer()
    [val] = validation.validate(model, data, verbose=False)
    [tested] = test.test(model, data, verbose=False)
    right = ((logits >= 0) == labels.bool()).float()
    assert val["val/loss"] == pytest.approx(F.binary_cross_entropy_with_logits(logits, labels.float()).item(), rel=1e-5)
    assert val["val/accuracy"] == pytest.approx(right.mean().item())
    for k, name in enumerate(names(3)):
        assert val[f"val/accuracy/{name}"] == pytest.approx(right[:, k].mean().item())
    scores = ("loss", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc", "average_precision")
    assert set(val) == {f"val/{name}" for name in scores} | {f"val/accuracy/{name}" for name in names(3)}
    assert {name.replace("test/", "val/"): value for name, value in tested.items()} == pytest.approx(val, nan_ok=True)


def test_the_threshold_is_used():
    model = settled(classifier())
    data = loader()
    probabilities = torch.cat([model.probabilities(batch["image"]) for batch in data])[:, 0]
    labels = torch.cat([batch["label"] for batch in data])[:, 0]
    threshold = probabilities.sort().values[2:4].mean().item()
    other = classifier(threshold=threshold)
    other.load_state_dict(model.state_dict())
    [measured] = trainer().test(other, data, verbose=False)
    expected = ((probabilities >= threshold) == labels.bool()).float().mean().item()
    assert measured["test/accuracy"] == pytest.approx(expected)
    assert measured["test/recall"] == pytest.approx((probabilities[labels == 1] >= threshold).float().mean().item())


def test_an_undefined_metric_leaves_the_mean_over_attributes():
    model = settled(classifier(2))
    items = [{"image": image, "label": torch.tensor([i % 2, 0]), "index": i} for i, image in enumerate(faces(8))]
    [measured] = trainer().test(model, DataLoader(items, batch_size=8), verbose=False)
    with torch.no_grad():
        said = model(faces(8))[:, 0] >= 0
    truth = torch.arange(8) % 2 == 1
    assert measured["test/recall"] == pytest.approx((said & truth).sum().item() / 4)
    assert not math.isnan(measured["test/auroc"])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_diverged_run_stops_with_the_epoch(bad):
    class Diverging(AttributeClassifier):
        def training_step(self, batch, batch_idx):
            if self.current_epoch == 1:
                with torch.no_grad():
                    self.head.bias.fill_(bad)
            return super().training_step(batch, batch_idx)

    model = Diverging(names(1), SMALL, image_size=32)
    with pytest.raises(UserError, match=r"^Training diverged in epoch 2, step 4: the training loss is .*Lower lr"):
        trainer(max_epochs=4).fit(model, loader())


def test_one_bad_batch_of_many_is_noticed():
    class OneBadBatch(AttributeClassifier):
        def validation_step(self, batch, batch_idx):
            self.val_metrics.update(torch.tensor(math.nan if batch_idx == 1 else 0.5), torch.rand(4, 1), batch["label"])

    with pytest.raises(
        UserError,
        match=r"^The validation loss is NaN or infinite\. Evaluate a checkpoint",
    ):
        trainer().validate(OneBadBatch(names(1), SMALL, image_size=32), loader(n=16))


# -- freezing --------------------------------------------------------------------------------------------------------


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Weights, statistics and step counts."""
    return {key: value.clone() for key, value in module.state_dict().items()}


def changed_layers(model: AttributeClassifier, before: dict[str, torch.Tensor]) -> list[bool]:
    """For each layer of the backbone: did any weight or statistic change?"""
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
def test_frozen_layers_keep_weights_and_statistics(backbone, freeze):
    model = classifier(2, backbone, freeze=freeze, lr=1e-2, schedule="constant", weight_decay=0.1)
    before, head = state_of(model.backbone), state_of(model.head)
    trainer(max_epochs=2).fit(model, loader(count=2), loader(count=2))
    changed = changed_layers(model, before)
    frozen = round(freeze * len(changed))
    assert changed == [False] * frozen + [True] * (len(changed) - frozen)
    assert all(not torch.equal(value, head[key]) for key, value in model.head.state_dict().items())


def test_unfreeze_epoch_releases_the_layers():
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


def test_everything_is_frozen_until_the_epoch_comes():
    model = classifier(freeze=1.0, unfreeze_epoch=1, lr=1e-2, schedule="constant")
    before = state_of(model.backbone)
    trainer(max_epochs=1).fit(model, loader())
    assert not any(changed_layers(model, before))
    assert all(not layer.training for layer in model.backbone.layers())


def test_a_frozen_parent_does_not_freeze_its_children():
    # ConvNeXt's blocks hold a parameter and come before the layers in them.
    model = classifier(backbone="convnext_tiny", freeze=0.1)
    model.setup("fit")
    model.train()
    frozen = model.backbone.layers()[: round(0.1 * len(model.backbone.layers()))]
    assert all(not layer.training for layer in frozen)
    assert all(layer.training for layer in model.backbone.layers()[len(frozen) :])
    assert all(not p.requires_grad for layer in frozen for p in layer.parameters(recurse=False))


# -- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"flip_average": True, "threshold": 0.3, "augment": {"flip": 0.5}, "freeze": 0.5}]
)
def test_a_checkpoint_gives_the_same_outputs(tmp_path, options):
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


def run(folder, stop_at=None, **options) -> tuple[AttributeClassifier, L.Trainer, list[tuple[int, int]]]:
    """Three epochs, each with a checkpoint; ``stop_at=(epoch, batch)`` presses Ctrl-C in that validation batch."""

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


@pytest.mark.parametrize("stop_at", [(0, 2), (1, 0), (1, 1), (2, 2)])
def test_stopped_in_validation_and_continued_equals_uninterrupted(tmp_path, stop_at):
    whole, whole_fit, _ = run(tmp_path / "whole")
    with pytest.raises(SystemExit):  # what Lightning makes of Ctrl-C
        run(tmp_path, stop_at)
    resumed, fit, validated = run(tmp_path, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert fit.global_step == whole_fit.global_step == 6
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    # The interrupted validation is done again from its first batch: else its metrics would be of a part of the split.
    assert validated == [(epoch, batch) for epoch in range(stop_at[0], 3) for batch in range(3)]
    expected = {key: value for key, value in whole_fit.callback_metrics.items() if key.startswith("val/")}
    for key, value in expected.items():
        torch.testing.assert_close(fit.callback_metrics[key], value, equal_nan=True, msg=key)


def test_continued_after_an_epoch_equals_uninterrupted(tmp_path):
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
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


def test_compiling_keeps_the_names_in_the_checkpoint():
    plain, compiled = classifier(), classifier(compile=True)
    compiled.setup("fit")  # marks the backbone; the work would be done at the first batch
    assert compiled.backbone._compiled_call_impl is not None
    assert list(compiled.state_dict()) == list(plain.state_dict())


def test_predictions_carry_their_index():
    model = settled(classifier(2))
    items = [{"image": image, "index": 10 * index} for index, image in enumerate(faces(5))]
    batches = trainer().predict(model, DataLoader(items, batch_size=2))
    assert torch.cat([batch["index"] for batch in batches]).tolist() == [0, 10, 20, 30, 40]
    found = torch.cat([batch["probability"] for batch in batches])
    np.testing.assert_allclose(found, model.probabilities(faces(5)), rtol=1e-4, atol=1e-6)


# -- guards ----------------------------------------------------------------------------------------------------------


def test_guard_torch_compile_changes_the_names():
    # Once this fails, self.backbone = torch.compile(self.backbone) would do.
    network = nn.Linear(2, 2)
    assert set(torch.compile(network).state_dict()).isdisjoint(network.state_dict())


def test_guard_torchmetrics_drops_a_nan():
    # Once this fails, AttributeMetrics needs no nan_strategy.
    from torchmetrics import MeanMetric

    metric = MeanMetric()
    with pytest.warns(UserWarning, match="nan"):
        metric.update(torch.tensor(math.nan))
    metric.update(torch.tensor(1.0))
    assert metric.compute() == 1


def test_mixup_is_for_training_only_and_changes_the_loss() -> None:
    model = settled(classifier(3, mixup=1.0, lr=1e-9, schedule="constant", freeze=1.0))
    batch = {
        "image": torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8),
        "label": torch.tensor([[0, 1, 1]] * 4 + [[1, 0, 1]] * 4, dtype=torch.uint8),
        "index": torch.arange(8),
    }
    model.log = lambda *arguments, **options: None  # no trainer here
    torch.manual_seed(0)
    with torch.no_grad():
        mixed = [model.training_step(batch, 0).item() for _ in range(3)]
    assert len(set(mixed)) == 3, "another share for every batch"
    first, second = (model.validation_step(batch, 0)["probability"] for _ in range(2))
    assert torch.equal(first, second)


def test_another_loss_trains_and_the_cross_entropy_is_reported() -> None:
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


def test_a_classifier_of_small_faces_sees_no_more_in_a_large_one() -> None:
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
