"""The features that distances are measured in, by name and by path."""

from pathlib import Path

import lightning as L
import pytest
import torch

from celeba_lab.engine.checkpoints import load_classifier
from celeba_lab.engine.features import build_features
from celeba_lab.errors import UserError
from celeba_lab.models.classifier.module import AttributeClassifier


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("classifier") / "best.ckpt"
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(AttributeClassifier(["Smiling"], "shufflenet_v2_x0_5", image_size=32))
    trainer.save_checkpoint(path)
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UserError("There is no network.")

    monkeypatch.setattr("celeba_lab.engine.features.inception_features", refuse)
    monkeypatch.setattr("celeba_lab.engine.features.imagenet_features", refuse)


def test_a_state_dict_is_a_mobilenet_at_128_pixels(tmp_path: Path) -> None:
    classifier = AttributeClassifier(["Smiling"], "mobilenet_v2", image_size=32)
    path = tmp_path / "weights.pth"
    torch.save(classifier.backbone.network.state_dict(), path)
    features = build_features(str(path))
    assert features.num_features == 1280
    assert features.name == f"1,280 features of mobilenet_v2 ({path}), bilinear to 128 x 128, ImageNet normalisation"


def test_a_checkpoint_is_the_classifier_at_its_own_size(checkpoint: Path) -> None:
    features = build_features(str(checkpoint))
    assert features.name == (
        f"1,024 features of shufflenet_v2_x0_5 ({checkpoint}), bilinear to 32 x 32, ImageNet normalisation"
    )
    faces = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(features(faces), load_classifier(str(checkpoint), "x").features(faces), atol=1e-5)


def test_building_them_draws_nothing_of_the_run(tmp_path: Path, checkpoint: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(AttributeClassifier(["Smiling"], image_size=32).backbone.network.state_dict(), path)
    for given in (path, checkpoint):
        torch.manual_seed(0)
        build_features(str(given))
        drawn = torch.rand(3)
        torch.manual_seed(0)
        assert torch.equal(drawn, torch.rand(3))


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ("inceptoin", "task.distances.features=inceptoin: there is no such file.*Did you mean 'inception'"),
        ("nowhere.pth", "task.distances.features=nowhere.pth: there is no such file, and it is none of auto"),
    ],
)
def test_what_is_not_there_is_said_by_the_name_of_the_setting(features: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_features(features)


def test_a_file_that_holds_no_weights_is_said_by_the_name_of_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "notes.pth"
    path.write_text("nothing")
    with pytest.raises(UserError, match=r"task.distances.features=.*notes.pth is not a state dict"):
        build_features(str(path))


@pytest.mark.usefixtures("offline")
def test_auto_does_without_where_nothing_can_be_had() -> None:
    assert build_features("auto") is None
    with pytest.raises(UserError, match="There is no network"):
        build_features("imagenet")
    with pytest.raises(UserError, match=r"features=inception: There is no network. Or name weights that you have"):
        build_features("inception")
