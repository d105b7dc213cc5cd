"""Settings for measuring distances (such as FID) during GAN training, and the features of the real faces."""

from pathlib import Path

import pytest
import torch

from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine import distances
from celeba_lab.engine.distances import DistanceSettings, check_monitors
from celeba_lab.errors import SettingError
from celeba_lab.models.gan.distances import FeatureExtractor


class Corner(torch.nn.Module):
    """Returns the first four pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.one * images[:, 0, 0, :4]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_images": 2}, r"^n_images=2 must be at least 3\.$"),
        ({"every_n_epochs": 0}, r"^every_n_epochs=0 must be at least 1\.$"),
        ({"splits": ["train"]}, r"^splits=\[train\] must not include train, because the generator is trained on it\.$"),
        ({"splits": ["val", "tst"]}, r"^splits=tst must be one of val, test\. Did you mean 'test'\?$"),
        ({"splits": []}, r"^splits=\[\] must name at least one split\.$"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        DistanceSettings(**settings)


def test_reading_the_real_faces_and_computing_their_features_shows_progress(
    tiny_celeba: Path, monkeypatch: pytest.MonkeyPatch, work_shown: dict[str, str]
) -> None:
    monkeypatch.setattr(distances, "build_feature_extractor", lambda *_: FeatureExtractor(Corner(), 4, "corner"))
    data = CelebADataModule(str(tiny_celeba), ["Smiling"], image_size=16, eval_batch_size=4)
    schedule = DistanceSettings(n_images=3).schedule(data, torch.device("cpu"))
    assert schedule is not None
    assert schedule.distances.real.shape == (16, 4)
    assert work_shown["reading faces"] == "4/4 batches"
    assert work_shown["computing features"] == "1/1 batches"
    assert "computing the features of 16 real faces" in work_shown


@pytest.fixture
def callbacks(compose):
    """Callbacks of a GAN that stop training early."""
    return compose("experiment=gan", "callbacks=[gan,early_stopping]").callbacks


@pytest.mark.parametrize(
    ("settings", "name"),
    [(None, "distances"), (DistanceSettings(every_n_epochs=None), "distances.every_n_epochs")],
)
def test_a_callback_can_monitor_only_distances_that_are_measured_during_training(callbacks, settings, name) -> None:
    with pytest.raises(SettingError) as caught:
        check_monitors(callbacks, settings)
    assert str(caught.value) == (
        f"{name}=null must not be null, because callbacks.early_stopping.monitor=heldout/kid needs distances during"
        " training."
    )
    check_monitors(callbacks, DistanceSettings(every_n_epochs=1))
    callbacks.early_stopping.monitor = "train/loss"
    check_monitors(callbacks, settings)
    check_monitors(None, settings)


def test_a_callback_can_monitor_distances_only_with_a_feature_extractor(
    callbacks, tiny_celeba: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(distances, "build_feature_extractor", lambda *_: None)
    data = CelebADataModule(str(tiny_celeba), ["Smiling"], image_size=16)
    with pytest.raises(
        SettingError,
        match=r"^callbacks\.early_stopping\.monitor=heldout/kid is not measured, because neither",
    ):
        DistanceSettings(every_n_epochs=1).schedule(data, torch.device("cpu"), callbacks)
    callbacks.early_stopping = None
    assert DistanceSettings(every_n_epochs=1).schedule(data, torch.device("cpu"), callbacks) is None
    assert "NO DISTANCES: neither the Inception weights" in capsys.readouterr().out
