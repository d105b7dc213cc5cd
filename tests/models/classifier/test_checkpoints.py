"""Checkpoints of a classifier, and runs that continue from them."""

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from celeba_lab.models.classifier.module import AttributeClassifier

SMALL = "shufflenet_v2_x0_5"


@pytest.fixture
def run(names, loader, trainer):
    """``run(folder, stop_at, **options)`` fits three epochs, each with a checkpoint.

    ``stop_at=(epoch, batch)`` presses Ctrl-C in that validation batch. Returns the model, the trainer, and the epoch
    and the number of every validation batch.
    """

    def fit_three_epochs(folder, stop_at=None, **options):

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

    return fit_three_epochs


@pytest.mark.parametrize(
    "options", [{}, {"flip_average": True, "threshold": 0.3, "augment": {"flip": 0.5}, "freeze": 0.5}]
)
def test_a_checkpoint_gives_the_same_outputs(tmp_path, options, names, classifier, faces, loader, trainer):
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


@pytest.mark.parametrize("stop_at", [(0, 2), (1, 0), (1, 1), (2, 2)])
def test_stopped_in_validation_and_continued_equals_uninterrupted(run, tmp_path, stop_at):
    whole, whole_fit, _ = run(tmp_path / "whole")
    with pytest.raises(SystemExit):  # Lightning turns Ctrl-C into SystemExit.
        run(tmp_path, stop_at)
    resumed, fit, validated = run(tmp_path, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert fit.global_step == whole_fit.global_step == 6
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    # The interrupted validation starts again; otherwise its metrics would be those of a part of the split.
    assert validated == [(epoch, batch) for epoch in range(stop_at[0], 3) for batch in range(3)]
    expected = {key: value for key, value in whole_fit.callback_metrics.items() if key.startswith("val/")}
    for key, value in expected.items():
        torch.testing.assert_close(fit.callback_metrics[key], value, equal_nan=True, msg=key)


def test_continued_after_an_epoch_equals_uninterrupted(run, tmp_path, classifier, loader, trainer):
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


def test_compiling_keeps_the_names_in_the_checkpoint(classifier):
    plain, compiled = classifier(), classifier(compile=True)
    compiled.setup("fit")  # The backbone is only marked; it would be compiled at the first batch.
    assert compiled.backbone._compiled_call_impl is not None
    assert list(compiled.state_dict()) == list(plain.state_dict())


def test_guard_torch_compile_changes_the_names():
    # Once this fails, self.backbone = torch.compile(self.backbone) would do.
    network = nn.Linear(2, 2)
    assert set(torch.compile(network).state_dict()).isdisjoint(network.state_dict())
