"""``experiment=gan``: its files, invalid settings, interruption and resuming."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from celeba_lab.config import build
from celeba_lab.engine.checkpoints import load_classifier, load_generator, load_sampler
from celeba_lab.errors import UserError
from celeba_lab.files import config_directory
from celeba_lab.models.gan.module import GAN


def test_a_run_writes_all_its_files(gan, features: Path) -> None:
    for name in ("training", "kid", "fid", "nearest", "audit_requested", "audit_attributes"):
        assert (gan.folder / "figures" / f"{name}.png").exists(), name
    assert len(list((gan.folder / "figures" / "samples").glob("epoch_000[123].png"))) == 3
    with Image.open(gan.folder / "figures" / "samples.gif") as animation:
        assert animation.n_frames == 3
    history = pd.read_csv(gan.folder / "tables" / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3]
    for name in ("generator_loss", "discriminator_loss", "D(x)", "D(G(z))", "images_per_second"):
        assert np.isfinite(history[f"train/{name}"]).all(), name
    expected = {"heldout/kid", "heldout/fid", "heldout/kid_real", "heldout/fid_real", "audit/agreement/Smiling"}
    assert expected <= set(gan.summary["metrics"])
    assert str(features) in gan.summary["details"]["distances"]
    assert "16 real faces from val + test" in gan.summary["details"]["distances"]
    assert gan.summary["details"]["epochs"] == 3


def test_distances_are_measured_on_schedule_and_at_the_end(gan) -> None:
    table = pd.read_csv(gan.folder / "tables" / "distances.csv")
    assert list(zip(table["epoch"], table["generator_weights"], strict=True)) == [
        (2, "ema"), (2, "raw"), (3, "ema"), (3, "raw"),
    ]  # fmt: skip
    final = table.iloc[2]
    assert gan.summary["metrics"]["heldout/kid"] == pytest.approx(final["kid_x1000"])


def test_tensorboard_contains_scalars_and_samples(gan) -> None:
    events = EventAccumulator(str(gan.folder)).Reload()
    tags = events.Tags()
    expected = {"generator_loss", "discriminator_loss", "D(x)", "D(G(z))"}
    expected |= {"generator_gradient_norm", "discriminator_gradient_norm"}
    assert {f"~train/{name}" for name in expected} | {"heldout/kid/ema", "heldout/fid/raw"} <= set(tags["scalars"])
    assert "~~train/images_per_second" in tags["scalars"]
    assert len(events.Images("samples")) == 3
    assert "distances/text_summary" in tags["tensors"]


def test_global_step_counts_batches(gan) -> None:
    content = torch.load(gan.checkpoint, weights_only=True)
    assert content["global_step"] == 3 * (32 // 8)
    assert content["training_labels"].shape[0] == 32


def test_a_checkpoint_of_the_wrong_kind_is_rejected(gan, trained) -> None:
    with pytest.raises(
        UserError, match=r"does not contain a GAN. To generate faces, specify a checkpoint from experiment=gan."
    ):
        load_sampler(str(trained.checkpoint))
    with pytest.raises(UserError, match="does not contain an attribute classifier"):
        load_classifier(str(gan.checkpoint), "evaluate")
    with pytest.raises(UserError, match=r"specify a checkpoint: checkpoint=outputs/.../checkpoints/last.ckpt"):
        load_sampler(None)


def test_missing_weights_for_distances_are_reported_before_training(
    tiny_celeba: Path, tmp_path: Path, run_command, small_gan
) -> None:
    arguments = [*small_gan, f"data.root={tiny_celeba}", "task.distances.feature_extractor=nowhere.pth"]
    result = run_command(*arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert (
        "task.distances.feature_extractor=nowhere.pth must be one of auto, inception, imagenet, or the path"
        in result.stderr
    )
    assert "epoch 1" not in result.stdout


def test_an_audit_without_real_faces_is_rejected_before_training(
    tiny_celeba: Path, trained, gan, tmp_path: Path, run_command, small_gan
) -> None:
    train_only = [f"data.root={tiny_celeba}", "data.partitions=[train]", f"task.auditor={trained.checkpoint}"]
    training = [*small_gan, "task.distances=null", *train_only]
    for arguments in (training, ["task=generate", f"checkpoint={gan.checkpoint}", *train_only]):
        result = run_command(*arguments, cwd=tmp_path)
        assert result.returncode == 1
        assert "leaves out the validation split, which this task needs" in " ".join(result.stderr.split())
        assert "epoch 1" not in result.stdout


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["checkpoint={gan}"], "is not used by task=train_gan. To resume a run, set resume=FOLDER."),
        (["task.nearest=65"], "task.nearest=65 must be between 0 and 64."),
        (
            ["task.distances.feature_extractor=inceptoin"],
            "task.distances.feature_extractor=inceptoin must be one of auto, inception, imagenet",
        ),
        (["task.distances.n_images=2"], "task.distances.n_images=2 must be at least 3"),
        (["recipe.precision=bf16-true"], "recipe.precision=bf16-true must be one of auto, 32-true"),
    ],
)
def test_invalid_settings_are_rejected(
    settings: list[str], sentence: str, gan, tiny_celeba: Path, command, small_gan, conditional
) -> None:
    given = [text.format(gan=gan.checkpoint) for text in settings]
    arguments = [*small_gan, "recipe.max_epochs=9", *conditional, f"data.root={tiny_celeba}"]
    arguments += [] if any("distances" in text for text in given) else ["task.distances=null"]
    code, _, err = command(*arguments, *given)
    assert code == 1
    assert sentence in " ".join(err.split())


@pytest.mark.usefixtures("blank_figures")
def test_a_run_that_diverges_keeps_its_last_good_checkpoint(
    tiny_celeba: Path, tmp_path: Path, run_command, small_gan
) -> None:
    """After two normal epochs, the run is resumed with a learning rate that makes it diverge."""
    arguments = [*small_gan, f"data.root={tiny_celeba}", "task.distances=null", "hydra.run.dir=run"]
    result = run_command(*arguments, "recipe.max_epochs=2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    good = torch.load(checkpoint, weights_only=True)["state_dict"]
    result = run_command("resume=run", "recipe.max_epochs=9", "model.lr=1e30", cwd=tmp_path)
    assert result.returncode == 1
    assert "Training diverged in epoch 3, step 12: the " in " ".join(result.stderr.split())
    kept = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, kept[name]) for name, value in good.items())


def test_the_notebook_gan_has_the_hyperparameters_of_the_notebook(compose) -> None:
    """The configuration and the model have the notebook's hyperparameters and no additional features."""
    cfg = compose("experiment=gan_notebook")
    model: GAN = build(cfg.model)
    players = (model.generator, model.discriminator)
    channels = [
        [(m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0]) for m in network.layers if hasattr(m, "stride")]
        for network in players
    ]
    assert channels == [
        [(128, 64, 4, 2), (64, 32, 4, 2), (32, 3, 4, 2)],
        [(3, 32, 4, 2), (32, 64, 4, 2), (64, 128, 4, 2)],
    ]
    assert (model.generator.latent_size, model.generator.image_size) == (100, 32)
    assert [sum(p.numel() for p in network.parameters()) for network in players] == [370624, 167808]
    assert not any(name.endswith("bias") and p.ndim > 1 for name, p in model.named_parameters())
    for optimizer in model.configure_optimizers():
        assert type(optimizer) is torch.optim.Adam
        assert {(g["lr"], g["betas"], g["weight_decay"]) for g in optimizer.param_groups} == {(2e-4, (0.5, 0.999), 0.0)}
    assert (cfg.data.batch_size, cfg.trainer.max_epochs, cfg.recipe.precision) == (32, 10, "bf16-mixed")
    assert model.average is None
    assert not any((model.hparams["flip"], model.hparams["joint_batch"], *model.hparams["augment"].values()))
    assert model.hparams["loss"] == {"name": "non_saturating", "smooth": 0.0}


@pytest.mark.parametrize("loss", sorted(path.stem for path in (config_directory() / "loss" / "gan").glob("*.yaml")))
def test_a_gan_can_be_built_with_every_loss(loss: str, compose) -> None:
    model: GAN = build(compose("experiment=gan", f"loss=gan/{loss}").model)
    named = "non_saturating" if loss == "r1" else loss
    assert model.hparams["loss"]["name"] == named
    assert (model.hparams["r1"] > 0, model.hparams["gradient_penalty"] > 0) == (loss == "r1", loss == "wasserstein")


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.slow
def test_the_notebook_gan_trains_without_distances(tiny_celeba: Path, tmp_path: Path, run_command, small_gan) -> None:
    arguments = [*small_gan, "experiment=gan_notebook", f"data.root={tiny_celeba}", "task.distances=null"]
    result = run_command(*arguments, "hydra.run.dir=run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert load_generator(str(tmp_path / "run" / "checkpoints" / "last.ckpt"), "x").generator_weights == "raw"


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.slow
def test_a_resumed_run_gives_the_same_result_as_an_uninterrupted_run(
    tiny_celeba: Path, tmp_path: Path, run_command, small_gan
) -> None:
    """Two epochs and two more from the checkpoint give the same result as four epochs without interruption."""
    arguments = [*small_gan, f"data.root={tiny_celeba}", "task.distances=null"]
    for command in (
        [*arguments, "recipe.max_epochs=4", "hydra.run.dir=whole"],
        [*arguments, "recipe.max_epochs=2", "hydra.run.dir=parts"],
        ["resume=parts", "recipe.max_epochs=4"],
    ):
        result = run_command(*command, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    whole, parts = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "parts")
    )
    assert whole["global_step"] == parts["global_step"] == 16
    assert all(torch.equal(value, parts["state_dict"][name]) for name, value in whole["state_dict"].items())
    assert len(pd.read_csv(tmp_path / "parts" / "tables" / "history.csv")) == 4


@pytest.mark.slow
def test_two_processes_train_one_gan(
    tiny_celeba: Path, features: Path, trained, tmp_path: Path, run_command, run_process, small_gan, conditional
) -> None:
    """The run uses trainer=ddp without further settings, and the results cover all faces."""
    arguments = [*small_gan, *conditional, f"data.root={tiny_celeba}", "hydra.run.dir=run"]
    arguments += [f"task.distances.feature_extractor={features}", f"task.auditor={trained.checkpoint}"]
    processes = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    result = run_process(*arguments, *processes, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 3 * (32 // 2 // 8)
    assert all(value.isfinite().all() for value in content["state_dict"].values())
    nearest = pd.read_csv(tmp_path / "run" / "tables" / "nearest.csv")
    alone = run_command(
        "task=generate",
        "checkpoint=run/checkpoints/last.ckpt",
        f"data.root={tiny_celeba}",
        "hydra.run.dir=g",
        cwd=tmp_path,
    )
    assert alone.returncode == 0, alone.stderr
    assert len(nearest) == 8
    distances = pd.read_csv(tmp_path / "run" / "tables" / "distances.csv")
    assert set(distances["real"]) == {32}  # The whole training split is used, not just one process's share.
    audit = pd.read_csv(tmp_path / "run" / "tables" / "audit_requested.csv")
    assert set(audit.groupby("attribute")["real_faces"].sum()) == {8}


@pytest.mark.slow
def test_ctrl_c_saves_a_checkpoint_and_prints_the_command_that_resumes_the_run(
    tiny_celeba: Path, tmp_path: Path, run_command, small_gan
) -> None:
    arguments = [*small_gan, f"data.root={tiny_celeba}", "task.distances=null", "recipe.max_epochs=5000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "celeba_lab", *arguments, "hydra.run.dir=run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not (tmp_path / "run" / "figures" / "samples" / "epoch_0002.png").exists():
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert "To resume: python -m celeba_lab resume=run" in printed
    done = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    epochs = done // 4 + 2
    result = run_command("resume=run", f"recipe.max_epochs={epochs}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    history = pd.read_csv(tmp_path / "run" / "tables" / "history.csv")
    assert history["train/images_per_second"].min() > 1
