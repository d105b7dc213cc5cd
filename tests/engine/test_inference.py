"""Classifiers prepared for inference during validation, testing and prediction."""

import copy

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from celeba_lab.engine.callbacks import ExponentialMovingAverage
from celeba_lab.engine.inference import FastInference, fast_inference
from celeba_lab.engine.measure import CollectPredictions
from celeba_lab.models.classifier.embedder import Embedder
from celeba_lab.models.classifier.ensemble import Ensemble
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.distances import FeatureExtractor

SLOW = pytest.mark.slow
SMALL = "shufflenet_v2_x0_5"
N = 260


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request, monkeypatch):
    """A network uses one or two threads."""
    monkeypatch.setattr("celeba_lab.models.inference._count_threads", lambda: request.param)


@pytest.fixture(scope="module")
def faces(face_batch) -> DataLoader:
    """Enough faces for a network to be prepared, in batches of 64."""
    columns = face_batch(N)
    return DataLoader([{key: value[k] for key, value in columns.items()} for k in range(N)], batch_size=64)


SETTLED: dict[int, dict[str, torch.Tensor]] = {}


def build(face_batch, seed: int = 0, **options) -> AttributeClassifier:
    """Return a classifier whose running statistics fit the faces."""
    torch.manual_seed(seed)
    model = AttributeClassifier(["a", "b"], SMALL, image_size=32, **options)
    if seed not in SETTLED:  # The options change neither the weights nor the statistics.
        with torch.no_grad():
            for _ in range(20):
                model.train().features(face_batch(16)["image"])
        SETTLED[seed] = copy.deepcopy(model.state_dict())
    model.load_state_dict(SETTLED[seed])
    return model.eval()


class Watch(Callback):
    """Records at each batch whether the backbones are prepared."""

    def __init__(self) -> None:
        self.prepared: list[bool] = []

    def _record(self, trainer, pl_module, *_) -> None:
        if not trainer.sanity_checking:
            self.prepared.append(is_prepared(pl_module))

    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = on_train_batch_end = _record


def is_prepared(model: L.LightningModule) -> bool:
    return any(getattr(module, "_inference", None) is not None for module in model.modules())


MODELS = {
    "plain": lambda batch: build(batch),
    "mirror": lambda batch: build(batch, flip_average=True),
    "mirror and zoom": lambda batch: build(batch, flip_average=True, zoom_average=0.1),
    "ensemble": lambda batch: Ensemble([build(batch, 1), build(batch, 2, flip_average=True)]).eval(),
}


VERBS = dict(zip(MODELS, ["validate", "predict", "test", "test"], strict=True))
# Every model is tested with one thread, and the one with the most views also with two.
PREDICTED = [
    pytest.param(number, name, verb, marks=SLOW if number == 2 and name != "mirror and zoom" else ())
    for number in (1, 2)
    for name, verb in VERBS.items()
]


@pytest.mark.parametrize(("threads", "name", "verb"), PREDICTED, indirect=["threads"])
def test_prepared_classifiers_predict_the_same_probabilities(threads, name, verb, trainer, faces, face_batch):
    model = MODELS[name](face_batch)
    expected = model.probabilities(face_batch(N)["image"]).numpy()
    assert expected.std() > 0.01
    before = {key: value.clone() for key, value in model.state_dict().items()}
    watch, collected = Watch(), CollectPredictions()
    options = {"return_predictions": False} if verb == "predict" else {"verbose": False}
    getattr(trainer(FastInference(), watch, collected), verb)(model, faces, **options)
    assert set(watch.prepared) == {True}
    assert not is_prepared(model)
    assert abs(collected.probability - expected).max() < 1e-5
    assert list(before) == list(model.state_dict())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_prepared_classifiers_compute_the_same_features(threads, trainer, faces, face_batch):
    model = build(face_batch)
    with torch.no_grad():
        expected = model.features(face_batch(N)["image"])
    watch = Watch()
    found = torch.cat(trainer(FastInference(), watch).predict(Embedder(model), faces))
    assert set(watch.prepared) == {True}
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    extractor = FeatureExtractor(copy.deepcopy(Embedder(model).classifier.backbone.network), 1024, "features")
    images = torch.randn(N, 3, 32, 32)
    with torch.no_grad():
        assert (extractor(images) - extractor.network(images)).abs().max() < 1e-5


def test_a_context_prepares_a_classifier_only_within_its_block(face_batch):
    model, images = build(face_batch), face_batch(N)["image"]
    expected = model.probabilities(images)
    with fast_inference(model, N):
        assert is_prepared(model)
        assert (model.probabilities(images) - expected).abs().max() < 1e-5
        copied = copy.deepcopy(model)
    assert not is_prepared(copied)
    with pytest.raises(ValueError, match="stop"), fast_inference(model, N):
        raise ValueError("stop")
    assert not is_prepared(model)
    with fast_inference(model, 20):
        assert not is_prepared(model)
    assert torch.equal(model.probabilities(images), expected)


def fit(faces, face_batch, trainer, *callbacks: Callback) -> tuple[AttributeClassifier, L.Trainer]:
    torch.manual_seed(5)
    model = AttributeClassifier(["a", "b"], SMALL, image_size=32, lr=1e-2, freeze=0.3, augment={"flip": 0.5})
    torch.manual_seed(6)
    small = DataLoader(faces.dataset[:96], batch_size=32)
    fitting = trainer(*callbacks, max_epochs=2, num_sanity_val_steps=1)
    fitting.fit(model, small, faces)
    return model, fitting


TRAINING = [(1, True), (2, False), pytest.param(1, False, marks=SLOW), pytest.param(2, True, marks=SLOW)]


@pytest.mark.parametrize(("threads", "average"), TRAINING, indirect=["threads"])
def test_training_is_the_same_with_prepared_validations(threads, average, trainer, faces, face_batch):
    def callbacks() -> list[Callback]:
        return [ExponentialMovingAverage(0.9)] if average else []

    watch = Watch()
    found, fast = fit(faces, face_batch, trainer, *callbacks(), FastInference(), watch)
    state = torch.get_rng_state()
    expected, plain = fit(faces, face_batch, trainer, *callbacks())
    assert torch.equal(torch.get_rng_state(), state)
    assert watch.prepared == [*[False] * 3, *[True] * 5] * 2
    weights, expected_weights = found.state_dict(), expected.state_dict()
    assert all(torch.equal(value, expected_weights[key]) for key, value in weights.items())
    assert list(weights) == list(expected_weights)
    names = [name for name in plain.callback_metrics if name.startswith("val/")]
    assert names
    for name in names:  # The order of two nearly equal probabilities may change, which slightly changes the AUROC.
        tolerance = 1e-5 if name == "val/loss" else 1e-3
        assert fast.callback_metrics[name].item() == pytest.approx(plain.callback_metrics[name].item(), abs=tolerance)


def test_each_validation_uses_the_current_weights(trainer, faces, face_batch):
    class Compare(Callback):
        def on_validation_batch_end(self, trainer, pl_module, outputs, batch, *_):
            if not trainer.sanity_checking:
                plain = copy.deepcopy(pl_module.backbone.network)
                found.append(outputs["probability"])
                with torch.no_grad():
                    images = pl_module._normalize(pl_module._to_unit_range(batch["image"]))
                    expected.append(pl_module.head(plain(images)).sigmoid())

    found: list[torch.Tensor] = []
    expected: list[torch.Tensor] = []
    fit(faces, face_batch, trainer, ExponentialMovingAverage(0.9), FastInference(), Compare())
    assert len(found) == 10
    assert not torch.allclose(found[0], found[5], atol=1e-3), "the weights should change between the validations"
    assert (torch.cat(found) - torch.cat(expected)).abs().max() < 1e-5


def test_small_splits_other_models_and_divided_weights_are_left_alone(
    trainer, faces, face_batch, toy, numbers, monkeypatch
):
    watch = Watch()
    trainer(FastInference(), watch).test(build(face_batch), DataLoader(faces.dataset[:200], 50), verbose=False)
    assert set(watch.prepared) == {False}
    trainer(FastInference(), watch).fit(toy(), numbers(4), numbers(2))
    assert set(watch.prepared) == {False}
    monkeypatch.setattr("celeba_lab.engine.inference._WHOLE", (DDPStrategy,))  # The strategy seems to divide weights.
    trainer(FastInference(), watch).test(build(face_batch), faces, verbose=False)
    assert set(watch.prepared) == {False}


def test_an_interrupted_validation_ends_the_preparation(trainer, faces, face_batch):
    class Interrupt(Callback):
        def on_test_batch_end(self, *_):
            raise InterruptedError

    model = build(face_batch)
    with pytest.raises(InterruptedError):
        trainer(FastInference(), Interrupt()).test(model, faces, verbose=False)
    assert not is_prepared(model)


def test_compiled_backbones_are_not_prepared(face_batch):
    model = build(face_batch)
    model.backbone.compile(backend="eager")
    with fast_inference(model, N):
        assert not is_prepared(model)
