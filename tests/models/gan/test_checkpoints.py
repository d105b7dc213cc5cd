"""Checkpoints of a GAN, and runs that continue from them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from celeba_lab.models.gan.module import GAN


def test_a_continued_run_uses_its_own_learning_rates(tmp_path: Path, build, fit) -> None:
    fit(build(lr=1e-3, betas=[0.5, 0.999]), epochs=1, folder=tmp_path)
    model = build(lr=1e-5, discriminator_lr=1e-6, betas=[0.0, 0.9])
    trainer = fit(model, epochs=2, checkpoint=tmp_path / "last.ckpt")
    rates = [{(group["lr"], group["betas"]) for group in each.param_groups} for each in trainer.optimizers]
    assert rates == [{(1e-6, (0.0, 0.9))}, {(1e-5, (0.0, 0.9))}]
    assert trainer.optimizers[0].state  # The moments were restored.


@pytest.mark.parametrize(
    "settings", [{"ema": 0.9}, {"conditional": True, "attributes": ["Smiling", "Male"], "auxiliary": 1.0}]
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, settings: dict, build, fit) -> None:
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


def test_a_run_stopped_within_an_epoch_continues_with_the_same_random_numbers(tmp_path: Path, build, fit) -> None:
    """Lightning does not start an epoch in this case."""
    states = []

    def watched() -> GAN:
        model = build()
        model.on_train_batch_start = lambda batch, batch_idx: states.append(torch.get_rng_state())
        return model

    fit(watched(), epochs=2)
    whole = list(states)
    states.clear()
    kept = ModelCheckpoint(tmp_path, "{step}", auto_insert_metric_name=False, every_n_train_steps=6, save_top_k=-1)
    fit(watched(), epochs=2, callbacks=[kept])  # An epoch has four steps.
    states.clear()
    torch.rand(100)
    trainer = fit(watched(), epochs=2, checkpoint=tmp_path / "6.ckpt")
    assert trainer.global_step == 8
    assert torch.equal(states[0], whole[6])


def test_a_checkpoint_gives_the_same_faces(tmp_path: Path, build, fit) -> None:
    model = build(conditional=True, attributes=["Smiling", "Male"], ema=0.9)
    model.training_labels = np.array([[0, 1], [1, 1], [1, 0]], dtype=np.uint8)
    fit(model, folder=tmp_path)
    loaded = GAN.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert np.array_equal(loaded.training_labels, model.training_labels)
    for averaged in (True, False):
        (faces, asked), (again, asked_again) = (m.sampler(averaged).sample(5, seed=3) for m in (model, loaded))
        assert torch.equal(faces, again)
        assert torch.equal(asked, asked_again)
