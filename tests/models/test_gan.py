"""The GAN through Lightning's Trainer: who learns when, what is counted, what a checkpoint keeps."""

import copy
import math
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from celeba_lab.errors import UserError
from celeba_lab.generation import RandomState
from celeba_lab.models.dcgan import Verdict
from celeba_lab.models.gan import GAN

pytestmark = pytest.mark.filterwarnings("ignore")
SMALL = {"image_size": 16, "latent_size": 8, "width": 4}
EVERY_LOSS = [
    {"loss": {"name": "non_saturating"}},
    {"loss": {"name": "hinge"}, "normalise": "spectral"},
    {"loss": {"name": "relativistic"}, "joint_batch": True},
    {"loss": {"name": "relativistic"}, "r1": 1.0, "normalise": "none"},
    {"loss": {"name": "wasserstein"}, "gradient_penalty": 10.0, "normalise": "none"},
]


class Faces(torch.utils.data.Dataset):
    """Sixteen batches' worth of noise; the order depends on the global generator only through the sampler."""

    def __init__(self, n: int = 32, k: int = 2) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=generator)
        self.labels = torch.randint(0, 2, (n, k), dtype=torch.uint8, generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> dict:
        return {"image": self.images[i], "label": self.labels[i], "index": i}


def build(**settings) -> GAN:
    torch.manual_seed(0)
    return GAN(**SMALL | settings)


def fit(model: GAN, epochs: int = 1, folder: Path | None = None, checkpoint: Path | None = None, **arguments):
    torch.manual_seed(1)
    trainer = L.Trainer(
        **{"accelerator": "cpu", "max_epochs": epochs, "logger": False, "enable_progress_bar": False} | arguments,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[RandomState()],
    )
    # Its own generator, as the data module gives it: a loader would draw from the global one.
    loader = DataLoader(Faces(), batch_size=8, sampler=range(32), generator=torch.Generator())
    trainer.fit(model, loader, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    if folder is not None:
        trainer.save_checkpoint(folder / "last.ckpt")
    return trainer


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def same(first: dict, second: dict) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("settings", EVERY_LOSS)
def test_each_player_learns_and_leaves_the_other_alone(settings: dict, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_the_discriminator_learns_attributes_of_real_faces_and_the_generator_of_its_own(joint_batch: bool) -> None:
    """A weight that outweighs all else: what each player then learns is what its attribute loss asks for."""
    model = build(conditional=True, attributes=["Smiling", "Male"], auxiliary=1000.0, joint_batch=joint_batch, lr=1e-3)
    model.training_labels = Faces().labels.numpy()
    batch = Faces()[:32]
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


def test_the_discriminator_alone_pays_for_attributes_of_real_faces() -> None:
    """Nothing that it says of generated faces enters its loss: they may not yet show what they were asked for."""
    model = build(conditional=True, attributes=["Smiling", "Male"], auxiliary=1.0)
    noted = []
    for seen in (torch.zeros(4, 2), torch.full((4, 2), 9.0)):
        on_real, on_fake = Verdict(torch.zeros(4), torch.zeros(4, 2)), Verdict(torch.zeros(4), seen)
        assert model._attribute_loss("discriminator", on_real, torch.ones(4, 2)).item() == pytest.approx(math.log(2))
        noted.append(model._attribute_loss("generator", on_fake, torch.ones(4, 2)).item())
    assert noted == pytest.approx([math.log(2), math.log1p(math.exp(-9))], rel=1e-3)
    assert build()._attribute_loss("generator", Verdict(torch.zeros(4), None), None) == 0


def test_steps_are_batches() -> None:
    assert fit(build(), epochs=2).global_step == 8
    assert fit(build(n_disc=2), epochs=2).global_step == 8
    assert fit(build(), epochs=5, max_steps=6).global_step == 6


def test_the_generator_draws_once_in_each_step() -> None:
    model = build(loss={"name": "relativistic"})
    calls = []
    model.generator.register_forward_hook(lambda *_: calls.append(1))
    fit(model)
    assert len(calls) == 4


def test_n_disc_steps_of_the_discriminator_for_each_of_the_generator() -> None:
    model = build(n_disc=2)
    fit(model)
    assert model._steps == {"discriminator": 4, "generator": 2}


def test_the_two_learning_rates_and_the_betas_arrive() -> None:
    model = build(lr=1e-3, discriminator_lr=4e-3, betas=[0.0, 0.9])
    trainer = fit(model)
    discriminator, generator = trainer.optimizers
    assert (discriminator.param_groups[0]["lr"], generator.param_groups[0]["lr"]) == (4e-3, 1e-3)
    assert all(group["betas"] == (0.0, 0.9) for group in generator.param_groups)
    parameters = {p for group in discriminator.param_groups for p in group["params"]}
    assert parameters == set(model.discriminator.parameters())


def test_the_average_follows_its_formula() -> None:
    """The decay warms up: min(ema, (1 + n) / (10 + n)) after n steps; the first step copies."""
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


@pytest.mark.parametrize(
    "settings", [{"ema": 0.9}, {"conditional": True, "attributes": ["Smiling", "Male"], "auxiliary": 1.0}]
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, settings: dict) -> None:
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


def test_a_checkpoint_gives_the_same_faces(tmp_path: Path) -> None:
    model = build(conditional=True, attributes=["Smiling", "Male"], ema=0.9)
    model.training_labels = np.array([[0, 1], [1, 1], [1, 0]], dtype=np.uint8)
    fit(model, folder=tmp_path)
    loaded = GAN.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert np.array_equal(loaded.training_labels, model.training_labels)
    for averaged in (True, False):
        (faces, asked), (again, asked_again) = (m.sampler(averaged).sample(5, seed=3) for m in (model, loaded))
        assert torch.equal(faces, again)
        assert torch.equal(asked, asked_again)


@pytest.mark.parametrize("settings", EVERY_LOSS)
def test_mixed_precision_stays_finite_and_judges_in_float32(settings: dict) -> None:
    model = build(**settings)
    fit(model, precision="bf16-mixed")
    means = model.epoch_means()
    assert all(math.isfinite(value) for value in means.values())
    with torch.autocast("cpu", torch.bfloat16):
        on_real, on_fake = model._judge(torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16), None)
    assert on_real.logits.dtype == on_fake.logits.dtype == torch.float32


def test_the_means_of_an_epoch_are_logged() -> None:
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


def test_real_faces_are_brought_to_size_and_range_and_half_of_them_mirrored() -> None:
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
        ({"conditional": True}, "model.conditional=true needs attributes"),
        ({"ema": 1.5}, "model.ema=1.5 must lie between 0 and 1"),
        ({"r1": -1.0}, "model.r1=-1: give a number from 0"),
        ({"auxiliary": -0.5}, "model.auxiliary=-0.5: give a number from 0"),
        ({"latent_size": 0}, "model.latent_size=0 must be at least 1"),
        ({"n_disc": 0}, "model.n_disc=0 must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        GAN(**SMALL | settings)
