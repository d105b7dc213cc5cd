"""Training of a GAN with Lightning's Trainer."""

import contextlib
import copy
import math
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from celeba_lab.errors import UserError
from celeba_lab.models.gan.losses import gradient_penalty, r1_penalty
from celeba_lab.models.gan.module import GAN
from celeba_lab.models.gan.networks import DiscriminatorOutput

SMALL = {"image_size": 16, "latent_size": 8, "width": 4}
EVERY_LOSS = [
    {"loss": {"name": "non_saturating"}},
    {"loss": {"name": "hinge"}, "normalization": "spectral"},
    {"loss": {"name": "relativistic"}, "joint_batch": True},
    {"loss": {"name": "relativistic"}, "r1": 1.0, "normalization": "none"},
    {"loss": {"name": "wasserstein"}, "gradient_penalty": 10.0, "normalization": "none"},
]


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def same(first: dict, second: dict) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("settings", EVERY_LOSS)
def test_each_step_trains_only_its_own_network(settings: dict, monkeypatch: pytest.MonkeyPatch, build, fit) -> None:
    model = build(**settings)
    seen = []
    for player, other in (("discriminator", "generator"), ("generator", "discriminator")):
        step = getattr(model, f"_train_{player}")

        def watched(*arguments, step=step, player=player, other=other):
            before = {name: weights(getattr(model, name)) for name in (player, other)}
            step(*arguments)
            assert same(before[other], weights(getattr(model, other)))
            assert not same(before[player], weights(getattr(model, player)))
            assert all(p.requires_grad for p in model.discriminator.parameters())
            assert all(p.requires_grad for p in model.generator.parameters())
            seen.append(player)

        monkeypatch.setattr(model, f"_train_{player}", watched)
    fit(model)
    assert seen == ["discriminator", "generator"] * 4


@pytest.mark.parametrize("joint_batch", [True, False])
def test_the_attribute_loss_uses_real_faces_for_the_discriminator_and_generated_faces_for_the_generator(
    joint_batch: bool, build, fit, noise
) -> None:
    """The weight is so large that each network learns only from its attribute loss."""
    model = build(conditional=True, attributes=["Smiling", "Male"], auxiliary=1000.0, joint_batch=joint_batch, lr=1e-3)
    model.training_labels = noise().labels.numpy()
    batch = noise()[:32]
    losses = []
    fit_epoch_end = model.on_train_epoch_end

    def watched() -> None:
        losses.append(model.epoch_means())
        fit_epoch_end()

    model.on_train_epoch_end = watched
    fit(model, epochs=30)
    for player in ("discriminator", "generator"):
        assert losses[-1][f"{player}_attribute_loss"] < 0.7 * losses[0][f"{player}_attribute_loss"]
    images = model._real_images(batch["image"])
    right = (model.discriminator(images, batch["label"]).attributes > 0) == batch["label"].bool()
    assert right.float().mean() > 0.8
    faces = model.generator(torch.randn(32, 8), batch["label"])
    obeyed = (model.discriminator(faces, batch["label"]).attributes > 0) == batch["label"].bool()
    assert obeyed.float().mean() > 0.8


def test_attributes_of_generated_faces_do_not_affect_the_discriminator_loss(
    monkeypatch: pytest.MonkeyPatch, build
) -> None:
    """Generated faces may not show the requested attributes yet. The generator's loss corrects this."""
    model = build(conditional=True, attributes=["Smiling", "Male"], auxiliary=1.0)
    torch.manual_seed(0)
    attributes = torch.randint(0, 2, (4, 2), dtype=torch.uint8)
    seen = [torch.randn(4, 2), torch.randn(4, 2)]  # for real and for generated faces
    outputs = (DiscriminatorOutput(torch.zeros(4), seen[0]), DiscriminatorOutput(torch.zeros(4), seen[1]))
    monkeypatch.setattr(model, "_judge", lambda *_: outputs)
    monkeypatch.setattr(model, "_judge_one", lambda *_: outputs[1])
    losses = []
    monkeypatch.setattr(model, "manual_backward", lambda total: losses.append(total.item()) or stop_here())
    for player in ("discriminator", "generator"):
        optimizer = torch.optim.SGD(getattr(model, player).parameters(), lr=0.1)
        monkeypatch.setattr(model, "toggled_optimizer", lambda _: contextlib.nullcontext())
        real, fake = torch.zeros(2, 4, 3, 16, 16)
        with pytest.raises(StopHereError):
            getattr(model, f"_train_{player}")(optimizer, real, fake, attributes)
    by_hand = [torch.nn.functional.binary_cross_entropy_with_logits(each, attributes.float()).item() for each in seen]
    adversarial = [2 * math.log(2), math.log(2)]
    assert losses == pytest.approx([a + b for a, b in zip(adversarial, by_hand, strict=True)])


class StopHereError(Exception):
    pass


def stop_here() -> None:
    raise StopHereError


@pytest.mark.parametrize("loss", ["non_saturating", "relativistic"])
def test_both_networks_are_trained_with_joint_batches(loss: str, build, fit) -> None:
    model = build(loss={"name": loss}, joint_batch=True)
    batches = []
    model.discriminator.register_forward_hook(lambda module, given, output: batches.append(len(given[0])))
    fit(model)
    assert batches == [16] * 8  # 8 real and 8 generated faces, twice per step in four steps
    real, fake = torch.randn(2, 8, 3, 16, 16)
    (on_real, on_fake), (with_others, _) = model._judge(real, fake, None), model._judge(real, fake + 1, None)
    assert not torch.allclose(on_real.logits, with_others.logits)
    alone = model._judge_one(fake, None)
    assert not torch.allclose(on_fake.logits, alone.logits)


@pytest.mark.parametrize("joint_batch", [True, False])
def test_every_image_that_the_discriminator_sees_is_augmented(joint_batch: bool, build, fit) -> None:
    model = build(joint_batch=joint_batch, loss={"name": "relativistic"}, gradient_penalty=1.0, normalization="none")
    model.diff_augment = torch.nn.Identity()
    calls = []
    model.diff_augment.register_forward_hook(lambda module, given, output: calls.append(len(output)))
    judged = []
    model.discriminator.register_forward_hook(lambda module, given, output: judged.append(len(given[0])))
    fit(model)
    assert calls == judged
    assert sum(judged) == 4 * (16 + 8 + 16)  # real and generated images, mixtures, and again real and generated images


@pytest.mark.parametrize("name", ["r1", "gradient_penalty"])
def test_weighted_penalties_are_added_to_the_discriminator_loss(name: str, build) -> None:
    """The penalised gradient equals the original gradient plus the gradient of the weighted penalty."""
    weight = 3.0
    real, fake = torch.rand(2, 8, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    gradients = []
    for weighed in (0.0, weight):
        model = build(normalization="none", **{name: weighed})
        model._train_discriminator = _keep_gradients(model, gradients)
        torch.manual_seed(5)
        model._train_discriminator(real.clone(), fake.clone())
    model = build(normalization="none")
    torch.manual_seed(5)
    if name == "r1":
        images = real.clone().requires_grad_()
        penalty = r1_penalty(model.discriminator(images).logits, images)
    else:
        penalty = gradient_penalty(lambda images: model.discriminator(images).logits, real, fake)
    added = torch.autograd.grad(penalty, list(model.discriminator.parameters()), allow_unused=True)
    for without, with_it, extra in zip(*gradients, added, strict=True):
        expected = without if extra is None else without + weight * extra
        assert torch.allclose(with_it, expected, atol=1e-5)
    assert any(extra is not None and extra.abs().max() > 1e-6 for extra in added)


def _keep_gradients(model: GAN, kept: list):
    """Return a discriminator step that stores its gradients and does not change the weights."""
    step = model._train_discriminator
    model.toggled_optimizer = lambda _: contextlib.nullcontext()
    model.manual_backward = lambda total: total.backward()
    model._gradient_norm = lambda network: torch.zeros(())

    def train(real: torch.Tensor, fake: torch.Tensor) -> None:
        step(torch.optim.SGD(model.discriminator.parameters(), lr=0.0), real, fake, None)
        kept.append([p.grad.clone() for p in model.discriminator.parameters()])

    return train


def test_global_step_counts_batches(build, fit) -> None:
    assert fit(build(), epochs=2).global_step == 8
    assert fit(build(n_disc=2), epochs=2).global_step == 8
    assert fit(build(), epochs=5, max_steps=6).global_step == 6


def test_the_generator_runs_once_per_step(build, fit) -> None:
    model = build(loss={"name": "relativistic"})
    calls = []
    model.generator.register_forward_hook(lambda *_: calls.append(1))
    fit(model)
    assert len(calls) == 4


@pytest.mark.parametrize(("n_disc", "steps"), [(2, 6), (3, 4), (5, 2)])
def test_n_disc_is_the_number_of_discriminator_steps_per_generator_step(
    n_disc: int, steps: int, tmp_path: Path, build, fit
) -> None:
    """Steps are counted across epochs of four batches, and across an interruption."""
    updates = []

    def watched() -> GAN:
        model = build(n_disc=n_disc, ema=0.5)
        step = model._train_generator
        model._train_generator = lambda *arguments: (updates.append(1), step(*arguments))
        return model

    fit(watched(), epochs=1, folder=tmp_path)
    fit(watched(), epochs=3, checkpoint=tmp_path / "last.ckpt")
    assert len(updates) == steps


def test_the_optimizers_use_the_configured_learning_rates_and_betas(build, fit) -> None:
    model = build(lr=1e-3, discriminator_lr=4e-3, betas=[0.0, 0.9])
    trainer = fit(model)
    discriminator, generator = trainer.optimizers
    assert (discriminator.param_groups[0]["lr"], generator.param_groups[0]["lr"]) == (4e-3, 1e-3)
    assert all(group["betas"] == (0.0, 0.9) for group in generator.param_groups)
    parameters = {p for group in discriminator.param_groups for p in group["params"]}
    assert parameters == set(model.discriminator.parameters())


def test_the_generator_average_follows_its_formula(build, fit) -> None:
    """The decay after n steps is min(ema, (1 + n) / (10 + n)), and the first step copies the weights."""
    model = build(ema=0.9)
    path = []
    update = model.average.update_parameters

    def watched(generator: torch.nn.Module) -> None:
        path.append(copy.deepcopy(generator.state_dict()))
        update(generator)

    model.average.update_parameters = watched
    fit(model, epochs=3)
    expected = path[0]
    for n, current in enumerate(path[1:], start=1):
        decay = min(0.9, (1 + n) / (10 + n))
        for name, value in current.items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
            else:
                expected[name] = value
    averaged = model.average.module.state_dict()
    assert all(torch.allclose(averaged[name].float(), expected[name].float(), atol=1e-6) for name in averaged)
    assert not same(weights(model.average.module), weights(model.generator))
    assert model.sampler(averaged=False).network is model.generator
    assert model.sampler().network is model.average.module


@pytest.mark.parametrize("settings", EVERY_LOSS)
def test_mixed_precision_stays_finite_and_computes_logits_in_float32(settings: dict, build, fit) -> None:
    model = build(**settings)
    fit(model, precision="bf16-mixed")
    means = model.epoch_means()
    assert all(math.isfinite(value) for value in means.values())
    with torch.autocast("cpu", torch.bfloat16):
        on_real, on_fake = model._judge(torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16), None)
    assert on_real.logits.dtype == on_fake.logits.dtype == torch.float32


def test_training_works_in_double_precision(build, fit, noise) -> None:
    model = build(conditional=True, attributes=["Smiling", "Male"])
    model.training_labels = noise().labels.numpy()
    fit(model, precision="64-true")
    assert model.generator.spread.weight.dtype == torch.float64
    assert model.sampler().sample(3, seed=0)[0].shape == (3, 3, 16, 16)


def test_gradient_norms_in_float16_are_unscaled(monkeypatch: pytest.MonkeyPatch, build) -> None:
    """The gradient scaler multiplies float16 gradients. If they overflow, the step is skipped and the norm is 0."""
    model = build()
    gradient = torch.full((3,), 2.0)
    network = torch.nn.Linear(3, 1, bias=False)
    scaler = types.SimpleNamespace(scale=lambda one: one * 1024.0)
    plugin = types.SimpleNamespace(scaler=None)
    model._trainer = types.SimpleNamespace(precision_plugin=plugin)
    norms = []
    for plugin.scaler, factor in ((None, 1.0), (scaler, 1024.0), (scaler, float("inf"))):
        network.weight.grad = (gradient * factor)[None]
        norms.append(model._gradient_norm(network).item())
    assert norms == pytest.approx([math.sqrt(12), math.sqrt(12), 0.0])


def test_epoch_means_are_logged(build, fit) -> None:
    trainer = fit(build())
    names = {name.removeprefix("train/") for name in trainer.callback_metrics}
    assert names == {
        "discriminator_loss",
        "generator_loss",
        "D(x)",
        "D(G(z))",
        "discriminator_gradient_norm",
        "generator_gradient_norm",
    }
    assert 0 < trainer.callback_metrics["train/D(x)"] < 1


def test_real_faces_are_resized_scaled_and_mirrored(build) -> None:
    model = build(flip=0.5)
    raw = torch.randint(0, 256, (400, 3, 16, 16), dtype=torch.uint8)
    torch.manual_seed(0)
    real = model._real_images(raw)
    assert real.min() >= -1
    assert real.max() <= 1
    as_loaded = (real == raw.float() / 127.5 - 1).flatten(1).all(dim=1)
    mirrored = (real == (raw.float() / 127.5 - 1).flip(-1)).flatten(1).all(dim=1)
    assert (as_loaded ^ mirrored).all()
    assert 0.4 < mirrored.float().mean() < 0.6
    assert model._real_images(torch.zeros(2, 3, 109, 89, dtype=torch.uint8)).shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"optimizer": "Adamm"}, "^optimizer=Adamm is not an optimizer in torch.optim. Did you mean 'Adam'"),
        ({"loss": {"name": "hingge"}}, "^loss.name=hingge must be one of .* Did you mean 'hinge'"),
        ({"loss": {"name": "hinge", "margin": 1.0}}, "^loss.margin=1 is not a setting of the loss hinge"),
        ({"augment": {"cutout": 2.0}}, "^augment.cutout=2 must be between 0 and 1"),
        ({"conditional": True}, "^attributes=null must name at least one attribute if conditional=true"),
        ({"ema": 1.5}, "^ema=1.5 must be between 0 and 1"),
        ({"r1": -1.0}, "^r1=-1 must be at least 0"),
        ({"auxiliary": -0.5}, "^auxiliary=-0.5 must be at least 0"),
        ({"latent_size": 0}, "^latent_size=0 must be at least 1"),
        ({"n_disc": 0}, "^n_disc=0 must be at least 1"),
        ({"discriminator_lr": 0.0}, "^discriminator_lr=0 must be above 0"),
        ({"betas": [0.5]}, r"^betas=\[0.5\] must be two numbers that are at least 0 and below 1"),
        ({"r1": 1.0}, "^r1=1 cannot be combined with normalization=batch"),
        ({"gradient_penalty": 10.0}, "^gradient_penalty=10 cannot be combined with normalization=batch"),
        (
            {"loss": {"name": "wasserstein"}, "normalization": "none"},
            "^loss.name=wasserstein is unbounded",
        ),
    ],
)
def test_invalid_settings_are_rejected(settings: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        GAN(**SMALL | settings)


# -- checkpoints -----------------------------------------------------------------------------------------------------


def test_a_resumed_run_uses_its_own_learning_rates(tmp_path: Path, build, fit) -> None:
    fit(build(lr=1e-3, betas=[0.5, 0.999]), epochs=1, folder=tmp_path)
    model = build(lr=1e-5, discriminator_lr=1e-6, betas=[0.0, 0.9])
    trainer = fit(model, epochs=2, checkpoint=tmp_path / "last.ckpt")
    rates = [{(group["lr"], group["betas"]) for group in each.param_groups} for each in trainer.optimizers]
    assert rates == [{(1e-6, (0.0, 0.9))}, {(1e-5, (0.0, 0.9))}]
    assert trainer.optimizers[0].state  # the moments were restored


@pytest.mark.parametrize(
    "settings", [{"ema": 0.9}, {"conditional": True, "attributes": ["Smiling", "Male"], "auxiliary": 1.0}]
)
def test_a_resumed_run_equals_an_uninterrupted_run(tmp_path: Path, settings: dict, build, fit) -> None:
    settings = settings | {"augment": {"color": 1.0, "translation": 0.2}, "flip": 0.5}

    def prepared() -> GAN:
        model = build(**settings)
        model.training_labels = np.array([[0, 1], [1, 1]], dtype=np.uint8)[:, : len(model.attributes)]
        return model

    whole = prepared()
    fit(whole, epochs=4)
    fit(prepared(), epochs=2, folder=tmp_path)
    continued = prepared()
    torch.rand(100)
    trainer = fit(continued, epochs=4, checkpoint=tmp_path / "last.ckpt")
    assert trainer.global_step == 16
    wanted, found = whole.state_dict(), continued.state_dict()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_a_run_resumed_within_an_epoch_draws_the_same_random_numbers(tmp_path: Path, build, fit) -> None:
    """Lightning does not call on_train_epoch_start in this case."""
    states = []

    def watched() -> GAN:
        model = build()
        model.on_train_batch_start = lambda batch, batch_idx: states.append(torch.get_rng_state())
        return model

    fit(watched(), epochs=2)
    whole = list(states)
    states.clear()
    kept = ModelCheckpoint(tmp_path, "{step}", auto_insert_metric_name=False, every_n_train_steps=6, save_top_k=-1)
    fit(watched(), epochs=2, callbacks=[kept])  # four steps per epoch
    states.clear()
    torch.rand(100)
    trainer = fit(watched(), epochs=2, checkpoint=tmp_path / "6.ckpt")
    assert trainer.global_step == 8
    assert torch.equal(states[0], whole[6])


def test_a_loaded_checkpoint_generates_the_same_faces(tmp_path: Path, build, fit) -> None:
    model = build(conditional=True, attributes=["Smiling", "Male"], ema=0.9)
    model.training_labels = np.array([[0, 1], [1, 1], [1, 0]], dtype=np.uint8)
    fit(model, folder=tmp_path)
    loaded = GAN.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert np.array_equal(loaded.training_labels, model.training_labels)
    for averaged in (True, False):
        (faces, requested), (again, requested_again) = (m.sampler(averaged).sample(5, seed=3) for m in (model, loaded))
        assert torch.equal(faces, again)
        assert torch.equal(requested, requested_again)


@pytest.mark.parametrize(
    "sums",
    [
        {"sums": {"generator_loss": "x"}, "steps": {"generator": 1, "discriminator": 1}},
        {"sums": {"generator_loss": torch.zeros(2)}, "steps": {"generator": 1, "discriminator": 1}},
        {"sums": {}, "steps": {"generator": "x", "discriminator": 1}},
        {"sums": {}, "steps": {"generator": 1}},
    ],
)
def test_invalid_sums_in_a_checkpoint_are_rejected(sums: dict, build) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError, KeyError)):
        build().on_load_checkpoint({"trained_on": None, "epoch_sums": sums})
