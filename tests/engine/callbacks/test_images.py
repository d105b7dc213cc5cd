"""Grids of images in TensorBoard and in the run folder."""

import io
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from celeba_lab.engine.callbacks import SampleGrid, TrainingImageGrid
from celeba_lab.engine.loggers import TensorBoardLogger
from celeba_lab.errors import SettingError, UserError
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN


@pytest.fixture
def fit_with_grid(trainer, faces_loader, state_of) -> Callable[..., dict[str, torch.Tensor]]:
    """``fit_with_grid(folder, *callbacks)``: the state of a classifier after two epochs."""

    def fit(folder: Path | None, *callbacks) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        augment = {"flip": 0.5, "shift": 0.1, "light": 0.2}
        model = AttributeClassifier(["a"], "shufflenet_v2_x0_5", image_size=32, lr=1e-2, augment=augment)
        logger = folder and TensorBoardLogger(str(folder))
        trainer(*callbacks, logger=logger or False, max_epochs=2, log_every_n_steps=1).fit(model, faces_loader())
        return state_of(model)

    return fit


def test_the_grid_does_not_change_training(tmp_path, fit_with_grid):
    without, with_grid = fit_with_grid(None), fit_with_grid(tmp_path, TrainingImageGrid())
    for key, value in without.items():
        assert torch.equal(with_grid[key], value), key


def test_the_grid_shows_the_first_batch_as_loaded(tmp_path, face_batch, fit_with_grid):
    fit_with_grid(tmp_path, TrainingImageGrid(max_images=2))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    [image] = events.Images("~~faces_loaded_then_augmented")
    assert image.step == 0
    grid = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB")).astype(int)
    first = face_batch(8)["image"][0].permute(1, 2, 0).numpy()
    assert abs(grid[2 : 2 + 36, 2 : 2 + 32] - first).max() <= 1
    assert grid.shape[:2] == (2 + 2 * (36 + 2), 2 + 2 * (32 + 2)), (
        "two loaded faces should be above two augmented faces"
    )


def test_each_epoch_saves_a_grid_of_the_same_latents(tmp_path):
    model = GAN(image_size=16, latent_size=8, width=4)
    grid = SampleGrid(str(tmp_path), n=16, every_n_epochs=2)
    for epoch in range(5):
        trainer = types.SimpleNamespace(
            current_epoch=epoch, is_global_zero=True, max_epochs=10, global_step=0, loggers=[]
        )
        grid.on_train_epoch_end(trainer, model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch_0002.png", "epoch_0004.png"]
    first, second = (np.asarray(Image.open(path)) for path in sorted(tmp_path.iterdir()))
    assert np.array_equal(first, second)
    assert first.shape[1] > 400


@pytest.mark.parametrize(
    ("build", "settings", "sentence"),
    [
        (SampleGrid, {"folder": "x", "n": 65}, "^n=65 must be between 1 and 64"),
        (SampleGrid, {"folder": "x", "every_n_epochs": 0}, "^every_n_epochs=0 must be at least 1"),
        (TrainingImageGrid, {"max_images": 0}, "^max_images=0 must be at least 1"),
    ],
)
def test_invalid_settings_are_rejected(build, settings, sentence):
    with pytest.raises(SettingError, match=sentence):
        build(**settings)


def test_the_folder_of_the_samples_is_created_or_refused_before_training(tmp_path, toy, numbers, trainer):
    trainer(SampleGrid(str(tmp_path / "a" / "b"))).fit(toy(), numbers(2))
    assert (tmp_path / "a" / "b").is_dir()
    model = toy()
    with pytest.raises(UserError, match=r"No files can be written to the folder /proc/x \("):
        trainer(SampleGrid("/proc/x")).fit(model, numbers(2))
    assert model.after_step == []
