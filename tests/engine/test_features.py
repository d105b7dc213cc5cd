"""Feature extractors specified by name or by path."""

from pathlib import Path

import lightning as L
import pytest
import torch

from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.checkpoints import load_classifier
from celeba_lab.engine.features import build_feature_extractor, classifier_extractor, inception_extractor
from celeba_lab.errors import UserError
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.distances import Distances


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

    monkeypatch.setattr("celeba_lab.engine.features.inception_extractor", refuse)
    monkeypatch.setattr("celeba_lab.engine.features.imagenet_extractor", refuse)


def test_a_state_dict_is_loaded_as_a_mobilenet_at_128_pixels(tmp_path: Path) -> None:
    classifier = AttributeClassifier(["Smiling"], "mobilenet_v2", image_size=32)
    path = tmp_path / "weights.pth"
    torch.save(classifier.backbone.network.state_dict(), path)
    features = build_feature_extractor(str(path))
    assert features.num_features == 1280
    assert (
        features.name
        == f"1,280 features of mobilenet_v2 ({path}), resized bilinearly to 128 x 128, ImageNet normalisation"
    )


def test_a_checkpoint_is_loaded_as_its_classifier_at_its_image_size(checkpoint: Path) -> None:
    features = build_feature_extractor(str(checkpoint))
    assert features.name == (
        f"1,024 features of shufflenet_v2_x0_5 ({checkpoint}), resized bilinearly to 32 x 32, ImageNet normalisation"
    )
    faces = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(features(faces), load_classifier(str(checkpoint), "x").features(faces), atol=1e-5)


def test_building_a_feature_extractor_does_not_change_random_states(tmp_path: Path, checkpoint: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(AttributeClassifier(["Smiling"], image_size=32).backbone.network.state_dict(), path)
    for given in (path, checkpoint):
        torch.manual_seed(0)
        build_feature_extractor(str(given))
        drawn = torch.rand(3)
        torch.manual_seed(0)
        assert torch.equal(drawn, torch.rand(3))


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (
            "inceptoin",
            "^feature_extractor=inceptoin must be one of auto, .* Did you mean 'inception'",
        ),
        (
            "nowhere.pth",
            "^feature_extractor=nowhere.pth must be one of auto, .*, or the path to a file",
        ),
    ],
)
def test_missing_weights_are_reported_with_their_setting(features: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_feature_extractor(features)


def test_a_file_without_weights_is_reported_with_its_setting(tmp_path: Path) -> None:
    path = tmp_path / "notes.pth"
    path.write_text("nothing")
    with pytest.raises(UserError, match=r"^feature_extractor=.*notes.pth is not a state dict"):
        build_feature_extractor(str(path))


@pytest.mark.usefixtures("offline")
def test_auto_returns_none_if_nothing_can_be_loaded() -> None:
    assert build_feature_extractor("auto") is None
    with pytest.raises(UserError, match="There is no network"):
        build_feature_extractor("imagenet")
    with pytest.raises(
        UserError, match=r"=inception could not be loaded. There is no network. Alternatively, specify a weights file"
    ):
        build_feature_extractor("inception")


def test_the_features_equal_the_features_of_the_classifier() -> None:
    classifier = AttributeClassifier(["Smiling"], "shufflenet_v2_x0_5", image_size=32).eval()
    features = classifier_extractor(classifier, "mine")
    images = torch.randint(0, 128, (230, 3, 4, 4), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.allclose(features(images), classifier.features(images), atol=1e-4)
    assert (
        features.name
        == "1,024 features of shufflenet_v2_x0_5 (mine), resized bilinearly to 32 x 32, ImageNet normalisation"
    )
    assert not any(parameter.requires_grad for parameter in features.parameters())


def test_inception_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchmetrics.image.fid._TORCH_FIDELITY_AVAILABLE", False)
    with pytest.raises(UserError, match=r"pip install 'celeba-lab\[inception\]'"):
        inception_extractor()


@pytest.mark.slow
def test_real_faces_have_a_small_distance_from_other_real_faces(shared: Path) -> None:
    """Noise has a large distance. The distances in the documentation use the same features."""
    faces = CelebADataModule(str(shared / "celeba-8k"), ["Smiling"], image_size=32)
    real, other = (
        torch.cat([batch["image"] for batch in faces.rows_dataloader(faces.split_indices(split))])
        for split in ("val", "test")
    )
    distances = Distances(build_feature_extractor(str(shared / "weights" / "mobilenet_v2_imagenet.pth")), real, "val")
    assert abs(distances.measure(other).kid) < 5
    assert distances.measure(torch.randint(0, 256, real.shape, dtype=torch.uint8)).kid > 1000
