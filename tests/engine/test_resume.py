"""Runs are resumed only from a suitable checkpoint."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from celeba_lab.console import console
from celeba_lab.engine.callbacks import BestCheckpoint
from celeba_lab.engine.resume import beginning, load_resumable, show_progress_saved
from celeba_lab.errors import UserError
from celeba_lab.models.gan import GAN
from celeba_lab.runs.loggers import Loggers
from celeba_lab.runs.run import Run


def resumed(folder: Path, **changes) -> Run:
    """Return a resumed run in a folder."""
    settings = {"name": "gan", "seed": 1, "model": {"width": 4}, "trainer": {"max_epochs": 5}, "resume": str(folder)}
    return Run(folder, "train_gan", settings | changes)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Weights-only GAN checkpoint, as written by Lightning with ``save_weights_only=true``."""
    model = GAN(image_size=16, width=4)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy.connect(model)
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    trainer.save_checkpoint(path, weights_only=True)
    return path


@pytest.mark.parametrize("missing", ["nothing", "loops"])
def test_a_checkpoint_with_weights_only_is_rejected(checkpoint: Path, missing: str) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content.pop(missing, None)
    torch.save(content, checkpoint)
    with pytest.raises(UserError, match=r"last\.ckpt contains only weights, so the run cannot be resumed\."):
        load_resumable(resumed(checkpoint.parents[1]), "gan", [])


def test_a_checkpoint_with_optimizers_but_without_loops_is_rejected(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    torch.save({key: value for key, value in content.items() if key != "loops"} | {"optimizer_states": []}, checkpoint)
    with pytest.raises(UserError, match="contains only weights"):
        load_resumable(resumed(checkpoint.parents[1]), "gan", [])


@pytest.fixture
def folder(checkpoint: Path) -> Path:
    """Folder of a run whose checkpoint was saved after two of five epochs."""
    content = torch.load(checkpoint, weights_only=True)
    progress = {"epoch_progress": {"current": {"processed": 2}}}
    torch.save(content | {"optimizer_states": [{}, {}], "callbacks": {}, "loops": {"fit_loop": progress}}, checkpoint)
    return checkpoint.parents[1]


def test_a_new_run_is_not_resumed(folder: Path) -> None:
    assert load_resumable(resumed(folder, resume=None), "gan", []) is None


def test_a_run_without_a_checkpoint_starts_from_the_beginning(tmp_path: Path) -> None:
    with console.capture() as printed:
        assert load_resumable(resumed(tmp_path), "gan", []) is None
    assert "no checkpoint was saved, so training starts from the beginning" in printed.get()


@pytest.mark.parametrize("max_epochs", [2, 3, -1, None])
def test_a_run_is_resumed_even_if_only_its_report_is_missing(folder: Path, max_epochs: int | None) -> None:
    found = load_resumable(resumed(folder, trainer={"max_epochs": max_epochs}), "gan", ["width"])
    assert found is not None
    assert Path(found.path) == folder / "checkpoints" / "last.ckpt"
    assert found.hyperparameters["width"] == 4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer_states", [{}]),
        ("loops", {"fit_loop": {"epoch_progress": {}}}),
        ("loops", {"fit_loop": {"epoch_progress": {"current": {"processed": "two"}}}}),
        ("events", "many"),
        ("callbacks", None),
        ("events", {"sizes": {"events.out.tfevents.1": "large"}}),
        ("events", {"sizes": {"events.out.tfevents.1": -1}}),
        ("loops", {"fit_loop": {"epoch_progress": {"current": {"processed": 2, "ready": 10**30}}}}),
        ("loops", {"fit_loop": {"epoch_progress": {"current": {"processed": 2}, "total": {"ready": "x"}}}}),
        ("callbacks", {"ExponentialMovingAverage": {"latest_update_step": "x"}}),
        ("callbacks", {"Average": {"latest_update_step": -1}}),
        ("callbacks", {"ModelCheckpoint": {"best_k_models": {}, "best_model_score": "good"}}),
    ],
)
def test_a_checkpoint_with_a_damaged_state_is_rejected(folder: Path, key: str, value: object) -> None:
    last = folder / "checkpoints" / "last.ckpt"
    torch.save(torch.load(last, weights_only=True) | {key: value}, last)
    with pytest.raises(UserError, match=r"last\.ckpt is damaged \(.*, so the run cannot be resumed\.$"):
        load_resumable(resumed(folder), "gan", [])


@pytest.fixture
def begin(folder: Path, toy, numbers, trainer) -> Callable[[ModelCheckpoint], Path]:
    """``begin(callback)`` trains with a callback that has been restored, and returns the folder of the run."""

    def fit(callback: ModelCheckpoint) -> Path:
        torch.manual_seed(0)
        built = trainer(callback)
        with beginning(resumed(folder), built, "last.ckpt"):
            built.fit(toy(), numbers())
        return folder

    return fit


@pytest.mark.parametrize(
    "path", ["/home/thesis", "/home/best.ckpt", "~/best.ckpt", "a.ckpt", "{}/..", "{}/../b.ckpt", "{}"]
)
@pytest.mark.parametrize("attribute", ["best_model_path", "kth_best_model_path", "last_model_path", "best_k_models"])
def test_a_callback_cannot_remove_other_files(folder: Path, begin, attribute: str, path: str) -> None:
    callback = BestCheckpoint(folder / "checkpoints")
    name = path.format(folder / "checkpoints")
    setattr(callback, attribute, {name: torch.tensor(1.0)} if attribute == "best_k_models" else name)
    summary = folder / "summary.json"
    summary.touch()
    with pytest.raises(
        UserError, match=r"last\.ckpt does not fit this run \(ValueError: it names .* as a checkpoint\)"
    ):
        begin(callback)
    assert summary.exists(), "the run has begun"


def test_own_checkpoints_are_accepted(folder: Path, begin) -> None:
    callback = ModelCheckpoint(folder / "checkpoints")
    callback.best_model_path = str(folder / "checkpoints" / "best.ckpt")
    (folder / "summary.json").touch()
    assert not (begin(callback) / "summary.json").exists()


def test_a_run_in_a_folder_with_a_tilde_is_resumed(folder: Path, begin) -> None:
    """Hydra names the folder of a job with ``~callbacks.ema`` in this way."""
    inside = folder / "checkpoints" / "0_~ema"
    callback = BestCheckpoint(inside)
    callback.best_model_path = str(inside / "best.ckpt")
    begin(callback)


def test_lightnings_own_callback_may_name_the_checkpoint_of_a_run_that_was_moved(folder: Path, begin) -> None:
    callback = ModelCheckpoint(folder / "checkpoints")
    callback.best_model_path = "/before/checkpoints/a.ckpt"
    begin(callback)


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_a_checkpoint_is_not_to_blame_for_a_lack_of_memory(folder: Path, trainer, error: type[Exception]) -> None:
    with pytest.raises(error), beginning(resumed(folder), trainer(), "last.ckpt"):
        raise error


@pytest.mark.parametrize("steps", [10**30, -1, 2.5, True])
def test_a_number_of_steps_that_lightning_cannot_store_is_rejected(folder: Path, steps: object) -> None:
    last = folder / "checkpoints" / "last.ckpt"
    torch.save(torch.load(last, weights_only=True) | {"global_step": steps}, last)
    with pytest.raises(UserError, match=r"last\.ckpt is damaged \(global_step is not a number of steps\)"):
        load_resumable(resumed(folder), "gan", [])


@pytest.mark.parametrize("freeze", [None, "half", 2.0])
def test_a_classifier_with_an_invalid_fraction_of_frozen_layers_is_rejected(folder: Path, freeze: object) -> None:
    last = folder / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    content |= {"celeba_lab": {"kind": "classifier", "format": 1}, "optimizer_states": [{}]}
    content["hyper_parameters"]["freeze"] = freeze
    torch.save(content, last)
    with pytest.raises(UserError, match=r"last\.ckpt is damaged \(.*, so the run cannot be resumed\.$"):
        load_resumable(resumed(folder), "classifier", [])


def test_the_number_of_epochs_cannot_be_lowered(folder: Path) -> None:
    with pytest.raises(UserError, match=r"already been trained for 2 epochs, so trainer\.max_epochs=1 is too low\."):
        load_resumable(resumed(folder, trainer={"max_epochs": 1}), "gan", [])


def test_a_checkpoint_of_another_model_is_rejected(folder: Path) -> None:
    with pytest.raises(UserError, match=r"was trained with model\.width=4, not 8, so the run cannot be resumed\."):
        load_resumable(resumed(folder, model={"width": 8}), "gan", ["width"])
    with pytest.raises(UserError, match="classifier"):
        load_resumable(resumed(folder), "classifier", [])


@pytest.mark.parametrize("rate", [0.3, "fast"])
def test_a_run_begins_only_if_the_states_of_its_optimizers_are_valid(
    tmp_path: Path, toy, trainer, numbers, save_in, rate: object
) -> None:
    trainer(save_in(tmp_path)).fit(toy(), numbers(), numbers(1))
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    content["optimizer_states"][0]["param_groups"][0]["lr"] = rate
    torch.save(content, tmp_path / "last.ckpt")
    called: list[str] = []
    run = SimpleNamespace(
        is_resumed=True,
        begin=lambda: called.append("begin"),
        withdraw=lambda: called.append("withdraw"),
        loggers=Loggers(),
    )
    model, again = toy(), trainer(max_epochs=2)

    def fit() -> None:
        with beginning(run, again, "last.ckpt"):
            again.fit(model, numbers(), numbers(1), ckpt_path=tmp_path / "last.ckpt", weights_only=True)

    if rate == 0.3:
        fit()
        assert called == ["begin"]
        return
    with pytest.raises(UserError, match=r"last\.ckpt does not fit this run \(TypeError: lr of an optimizer is 'fast'"):
        fit()
    assert called == ["withdraw"]
    assert model.after_step == []


def test_a_stopped_run_says_whether_its_state_was_saved(folder: Path) -> None:
    trainer = SimpleNamespace(current_epoch=2)
    with console.capture() as printed:
        show_progress_saved(resumed(folder), trainer)
        (folder / "checkpoints" / "last.ckpt").unlink()
        show_progress_saved(resumed(folder), trainer)
    assert printed.get().splitlines() == [
        "training was stopped in epoch 3; its state was saved",
        "training was stopped in epoch 3; no training step was completed",
    ]
