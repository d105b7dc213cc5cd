"""Reading checkpoints, and errors for unreadable checkpoints."""

import pathlib
import pydoc
import re

import lightning as L
import numpy as np
import pytest
import torch

from celeba_lab.engine.checkpoints import load_classifier, load_generator, read_checkpoint
from celeba_lab.errors import SettingError, UserError, settings_of
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN

NAMES = ["Smiling", "Male"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A checkpoint, written by Lightning, of a classifier for two attributes."""
    path = tmp_path_factory.mktemp("checkpoints") / "best.ckpt"
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(AttributeClassifier(NAMES, "shufflenet_v2_x0_5", image_size=32, threshold=0.3))
    trainer.save_checkpoint(path)
    return path


def test_a_checkpoint_is_loaded_as_its_model(checkpoint):
    model = load_classifier(str(checkpoint), "evaluate")
    assert model.attributes == NAMES
    assert model.hparams["threshold"] == 0.3
    assert not model.training
    stored = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, stored[key]) for key, value in model.state_dict().items())


def test_the_whole_checkpoint_is_read(checkpoint):
    content = read_checkpoint(str(checkpoint), "continue training")
    assert content["hyper_parameters"]["attributes"] == NAMES
    assert {"state_dict", "epoch", "global_step", "loops"} <= set(content)


def test_a_missing_checkpoint_setting_is_rejected():
    with pytest.raises(UserError, match=r"^To evaluate, specify a checkpoint: checkpoint=outputs/"):
        load_classifier(None, "evaluate")


def test_a_missing_file_is_rejected(tmp_path):
    path = tmp_path / "best.ckpt"
    with pytest.raises(UserError, match=rf"^checkpoint={re.escape(str(path))} does not exist\."):
        load_classifier(str(path), "evaluate")


def test_a_folder_instead_of_a_file_is_rejected(tmp_path):
    with pytest.raises(UserError, match=r"is a folder\. Specify a file inside it: .*checkpoints/best\.ckpt$"):
        load_classifier(str(tmp_path), "evaluate")


def cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda _: b"<!DOCTYPE html><html>", cut, lambda _: b"PK\x03\x04", lambda _: bytes(1000)]
)
def test_a_damaged_file_is_rejected(tmp_path, checkpoint, damage):
    path = tmp_path / "best.ckpt"
    path.write_bytes(damage(checkpoint.read_bytes()))
    size = f"{path.stat().st_size:,} bytes"
    with pytest.raises(
        UserError,
        match=rf"best\.ckpt could not be read \({size}(; \w+)?\), because the file is damaged",
    ):
        load_classifier(str(path), "evaluate")


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    class Attack:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "attacked",))

    path = tmp_path / "best.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": {"attributes": Attack()}}, path)
    with pytest.raises(UserError, match="could not be read"):
        load_classifier(str(path), "evaluate")
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("content", [{"conv.weight": torch.zeros(2)}, torch.zeros(3), [1, 2], {"state_dict": {}}])
def test_a_file_that_is_not_a_checkpoint_is_rejected(tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(UserError, match=r"is not a Lightning checkpoint with hyperparameters\. .*set model\.weights"):
        load_classifier(str(path), "evaluate")


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"generator.0.weight": torch.zeros(2)}, "hyper_parameters": {"latent": 100}},
        {"state_dict": {"generator.0.weight": torch.zeros(2)}, "hyper_parameters": {"attributes": ["Smiling"]}},
    ],
)
def test_a_checkpoint_of_another_kind_is_rejected(tmp_path, content):
    path = tmp_path / "gan.ckpt"
    torch.save(content, path)
    with pytest.raises(
        UserError,
        match=r"gan\.ckpt does not contain an attribute classifier\. To predict, specify a .*=attributes\.",
    ):
        load_classifier(str(path), "predict")


def save(model: L.LightningModule, path: pathlib.Path) -> dict:
    """Save a checkpoint of a model and return its content."""
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path)
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("threshold", None), ("threshold", "x"), ("attributes", [1]), ("augment", 3), ("flip_average", 2)],
)
def test_a_hyperparameter_of_another_type_is_rejected(tmp_path, checkpoint, name, value):
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"][name] = value
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(UserError, match=rf"best\.ckpt contains .* do not fit its own settings \({name}=.*wrong type"):
        load_classifier(str(tmp_path / "best.ckpt"), "evaluate")


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Default devices on which generators and backbones have been built."""
    found: list[str] = []
    for path in ("classifier.module.Backbone", "gan.sampler.Generator"):
        build = pydoc.locate(f"celeba_lab.models.{path}")

        def record(*args, build=build, **kwargs):
            found.append(torch.get_default_device().type)
            return build(*args, **kwargs)

        monkeypatch.setattr(f"celeba_lab.models.{path}", record)
    return found


@pytest.mark.parametrize(
    "changes",
    [{"backbone": "vit_l_16", "image_size": 224}, {"attributes": [str(k) for k in range(10**4)]}, {"image_size": 5000}],
)
def test_a_classifier_of_another_size_is_rejected_before_it_is_built(tmp_path, checkpoint, devices, changes):
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"] |= changes
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(UserError, match=r"best\.ckpt contains weights that do not fit its own settings"):
        load_classifier(str(tmp_path / "best.ckpt"), "evaluate")
    assert set(devices) <= {"meta"}


@pytest.mark.parametrize("changes", [{"width": 2500}, {"latent_size": 10**9}, {"width": 10**7, "image_size": 256}])
def test_a_generator_of_another_size_is_rejected_before_it_is_built(tmp_path, devices, changes):
    content = save(small_gan(), tmp_path / "last.ckpt")
    content["hyper_parameters"] |= changes
    torch.save(content, tmp_path / "last.ckpt")
    devices.clear()
    with pytest.raises(UserError, match=r"last\.ckpt contains weights that do not fit its own settings"):
        load_generator(str(tmp_path / "last.ckpt"), "generate faces")
    assert devices == ["meta"]


def test_a_loaded_classifier_is_not_compiled(tmp_path, checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"]["compile"] = True
    torch.save(content, tmp_path / "best.ckpt")
    model = load_classifier(str(tmp_path / "best.ckpt"), "evaluate")
    model.setup("test")
    assert model.backbone._compiled_call_impl is None


def small_gan(**settings) -> GAN:
    return GAN(image_size=16, latent_size=8, width=4, **settings)


def test_a_checkpoint_contains_its_kind_and_format(tmp_path, checkpoint):
    mark = torch.load(checkpoint, weights_only=True)["celeba_lab"]
    assert mark == {"kind": "classifier", "format": 1, "initial_weights": "random"}
    content = save(small_gan(), tmp_path / "gan.ckpt")
    assert content["celeba_lab"] == {"kind": "gan", "format": 1}
    content["hyper_parameters"]["attributes"] = NAMES
    content["state_dict"]["head.weight"] = torch.zeros(2)  # format 0 was recognised by this name
    torch.save(content, tmp_path / "gan.ckpt")
    with pytest.raises(UserError, match="does not contain an attribute classifier"):
        load_classifier(str(tmp_path / "gan.ckpt"), "predict")


def test_a_checkpoint_with_a_newer_format_is_rejected(tmp_path, checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    content["celeba_lab"]["format"] = 9
    torch.save(content, tmp_path / "best.ckpt")
    with pytest.raises(UserError, match=r"has checkpoint format 9, but .* supports formats up to 1\. Update"):
        load_classifier(str(tmp_path / "best.ckpt"), "predict")


@pytest.mark.parametrize("normalization", ["batch", "spectral", "none"])
def test_a_checkpoint_without_a_format_still_loads(tmp_path, checkpoint, normalization):
    """Such a checkpoint does not record its kind, and has ``normalise`` instead of ``normalization``."""
    model = small_gan(normalization=normalization)
    content = save(model, tmp_path / "last.ckpt")
    del content["celeba_lab"]
    content["hyper_parameters"]["normalise"] = content["hyper_parameters"].pop("normalization")
    torch.save(content, tmp_path / "last.ckpt")
    loaded = load_generator(str(tmp_path / "last.ckpt"), "generate faces").network.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.generator.state_dict().items())
    content = read_checkpoint(str(tmp_path / "last.ckpt"), "continue training")
    assert content["hyper_parameters"]["normalization"] == normalization
    content = torch.load(checkpoint, weights_only=True)
    del content["celeba_lab"]
    torch.save(content, tmp_path / "best.ckpt")
    assert load_classifier(str(tmp_path / "best.ckpt"), "predict").attributes == NAMES
    with pytest.raises(UserError, match="does not contain a GAN"):
        load_generator(str(tmp_path / "best.ckpt"), "generate faces")


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(("ema", "weights", "used"), [(0.9, "ema", "ema"), (0.9, "raw", "raw"), (0.0, "ema", "raw")])
def test_a_generator_loaded_alone_equals_the_generator_of_its_gan(tmp_path, conditional, ema, weights, used):
    model = small_gan(ema=ema, conditional=conditional, attributes=NAMES)
    model.trained_on = "celeba"
    if conditional:
        model.training_labels = np.array([[0, 1], [1, 1]], dtype=np.uint8)
    if ema:
        torch.nn.init.normal_(next(model.average.parameters()))  # so that it differs from the generator
    save(model, tmp_path / "last.ckpt")
    state = torch.get_rng_state()
    loaded = load_generator(str(tmp_path / "last.ckpt"), "generate faces", weights)
    assert torch.equal(torch.get_rng_state(), state)
    whole = model.eval().sampler(averaged=weights == "ema")
    assert (loaded.generator_weights, loaded.trained_on, loaded.attributes) == (used, "celeba", whole.attributes)
    for one, other in zip(loaded.sample(5, seed=1), whole.sample(5, seed=1), strict=True):
        assert one is other is None or torch.equal(one, other)


@pytest.mark.parametrize(("setting", "shown"), [("checkpoint", "checkpoint"), ("auditor", "task.auditor")])
def test_errors_name_the_full_path_of_the_setting(setting, shown):
    with pytest.raises(SettingError) as caught, settings_of("task"):
        load_classifier("nowhere.ckpt", "audit the faces", setting)
    assert str(caught.value).startswith(f"{shown}=nowhere.ckpt does not exist.")


# -- guards: why checkpoints are read and checked before Lightning loads them ------------------------------------------


def test_guard_torch_does_not_explain_empty_files(tmp_path):
    # If a newer torch reports an empty file clearly, read_checkpoint no longer needs to.
    path = tmp_path / "best.ckpt"
    path.touch()
    with pytest.raises(EOFError) as caught:
        torch.load(path, weights_only=True)
    assert "best.ckpt" not in str(caught.value)


@pytest.mark.parametrize("value", [np.float64(0.5), pathlib.Path("x")])
def test_guard_torch_loads_only_plain_hyperparameters(tmp_path, value):
    # If a newer torch loads this, the arguments of AttributeClassifier no longer need to have plain types.
    path = tmp_path / "model.ckpt"
    torch.save({"hyper_parameters": {"lr": value}}, path)
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path, weights_only=True)


def test_guard_lightning_does_not_warn_about_resuming_past_the_end(tmp_path):
    # If a newer Lightning raises an error, load_resumable no longer needs to.
    class Nothing(L.LightningModule):
        def training_step(self, batch, batch_idx):
            steps.append(batch_idx)

        def configure_optimizers(self):
            return None

    steps: list[int] = []
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    first = L.Trainer(max_epochs=2, enable_checkpointing=False, **options)
    first.fit(Nothing(), [0, 1])
    first.save_checkpoint(tmp_path / "last.ckpt")
    assert steps == [0, 1, 0, 1]
    again = L.Trainer(max_epochs=2, enable_checkpointing=False, **options)
    again.fit(Nothing(), [0, 1], ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert steps == [0, 1, 0, 1]
