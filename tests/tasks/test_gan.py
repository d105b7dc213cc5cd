"""``experiment=gan``, ``task=generate`` and ``task=export`` by the real command."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from celeba_lab.config import build
from celeba_lab.engine.checkpoints import load_classifier, load_gan, load_sampler
from celeba_lab.errors import UserError
from celeba_lab.files import config_directory
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN
from celeba_lab.tasks.generate import generate

QUIET = ["trainer=cpu", "~callbacks.progress_bar", "~callbacks.model_summary"]
SMALL = [
    *QUIET,
    "data.batch_size=8",
    "model.width=4",
    "model.image_size=16",
    "recipe.max_epochs=3",
    "task.distances.n_images=40",
    "task.nearest=8",
]
CONDITIONAL = ["model.conditional=true", "model.attributes=[Smiling,Male]"]


@dataclass(frozen=True)
class DrawnRun:
    folder: Path
    summary: dict
    printed: str

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a MobileNetV2: enough for a distance that is computed and named."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("features") / "mobilenet_v2.pth"
    torch.save(AttributeClassifier(["Smiling"], image_size=32).backbone.network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def gan(tiny_celeba: Path, features: Path, trained, tmp_path_factory: pytest.TempPathFactory, run_command) -> DrawnRun:
    """Three epochs of a small conditional GAN, audited by the shared classifier."""
    cwd = tmp_path_factory.mktemp("gan")
    arguments = ["experiment=gan", *SMALL, *CONDITIONAL, f"data.root={tiny_celeba}", "seed=3"]
    arguments += [f"task.distances.feature_extractor={features}", "task.distances.every_n_epochs=2"]
    result = run_command(*arguments, f"task.auditor={trained.checkpoint}", cwd=cwd)
    assert result.returncode == 0, result.stderr
    [summary] = cwd.glob("outputs/gan/*/summary.json")
    return DrawnRun(summary.parent, json.loads(summary.read_text()), result.stdout)


def test_a_run_leaves_what_it_should(gan: DrawnRun, features: Path) -> None:
    for name in ("training", "kid", "fid", "nearest", "audit_asked", "audit_attributes"):
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
    assert str(features) in gan.summary["distances"]
    assert "16 real ones of val + test" in gan.summary["distances"]
    assert gan.summary["epochs"] == 3


def test_distances_are_measured_on_their_schedule_and_at_the_end(gan: DrawnRun) -> None:
    table = pd.read_csv(gan.folder / "tables" / "distances.csv")
    assert list(zip(table["epoch"], table["weights"], strict=True)) == [
        (2, "ema"), (2, "raw"), (3, "ema"), (3, "raw"),
    ]  # fmt: skip
    final = table.iloc[2]
    assert gan.summary["metrics"]["heldout/kid"] == pytest.approx(final["kid_x1000"])


def test_tensorboard_has_scalars_and_samples(gan: DrawnRun) -> None:
    events = EventAccumulator(str(gan.folder)).Reload()
    tags = events.Tags()
    expected = {"generator_loss", "discriminator_loss", "D(x)", "D(G(z))", "images_per_second"}
    expected |= {"generator_gradient_norm", "discriminator_gradient_norm"}
    assert {f"train/{name}" for name in expected} | {"heldout/kid/ema", "heldout/fid/raw"} <= set(tags["scalars"])
    assert len(events.Images("samples")) == 3
    assert "distances/text_summary" in tags["tensors"]


def test_global_step_counts_batches(gan: DrawnRun) -> None:
    content = torch.load(gan.checkpoint, weights_only=True)
    assert content["global_step"] == 3 * (32 // 8)
    assert content["training_labels"].shape[0] == 32


def test_generate_writes_faces_a_grid_a_walk_and_neighbours(
    gan: DrawnRun, tiny_celeba: Path, tmp_path: Path, run_command
) -> None:
    arguments = [
        "task=generate",
        f"checkpoint={gan.checkpoint}",
        "task.n=5",
        "task.upscale=3",
        f"data.root={tiny_celeba}",
    ]
    result = run_command(*arguments, "task.interpolate=4", "task.attributes={Smiling: 1, Male: 0}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    [folder] = tmp_path.glob("outputs/generate/*")
    files = sorted((folder / "faces").iterdir())
    assert [path.name for path in files] == [f"{k:05d}.png" for k in range(5)]
    assert Image.open(files[0]).size == (48, 48)
    for name in ("faces", "interpolation", "nearest"):
        assert (folder / "figures" / f"{name}.png").exists()
    asked = pd.read_csv(folder / "tables" / "asked.csv")
    assert asked["Smiling"].tolist() == [1] * 5
    assert asked["Male"].tolist() == [0] * 5
    nearest = pd.read_csv(folder / "tables" / "nearest.csv")
    assert len(nearest) == 5
    assert (tiny_celeba / "img_align_celeba" / "img_align_celeba" / nearest["image_id"][0]).exists()


def test_an_exported_generator_draws_the_same_faces(gan: DrawnRun, tmp_path: Path, run_command) -> None:
    result = run_command("task=export", f"checkpoint={gan.checkpoint}", "hydra.run.dir=e", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    exported, whole = load_sampler(str(tmp_path / "e" / "generator.safetensors")), load_gan(str(gan.checkpoint), "x")
    for (faces, asked), (again, asked_again) in [(exported.sample(6, seed=1), whole.sampler().sample(6, seed=1))]:
        assert torch.equal(faces, again)
        assert torch.equal(asked, asked_again)
    assert exported.trained_on == "celeba"
    assert exported.weights == json.loads((tmp_path / "e" / "summary.json").read_text())["weights"] == "ema"
    with pytest.raises(
        UserError, match=r"holds only the average of the weights. Export the last weights with task=export"
    ):
        load_sampler(str(tmp_path / "e" / "generator.safetensors"), "raw")
    with pytest.raises(UserError, match="is an exported generator, which only task=generate can use"):
        load_gan(str(tmp_path / "e" / "generator.safetensors"), "export its generator")
    drawn = ["task=generate", "checkpoint=e/generator.safetensors", "hydra.run.dir=g"]
    result = run_command(*drawn, cwd=tmp_path)  # neither data nor checkpoint is needed
    assert result.returncode == 0, result.stderr
    assert "left out: the generator was trained on celeba, and the data here is synthetic" in " ".join(
        result.stdout.split()
    )
    assert not (tmp_path / "data").exists()  # and no face is drawn for nothing
    assert len(list((tmp_path / "g" / "faces").iterdir())) == 16


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n": 0}, "^n=0 must be at least 1"),
        ({"upscale": 0}, "^upscale=0 must be at least 1"),
        ({"filter": "bicubik"}, "^filter=bicubik must be one of .* Did you mean 'bicubic'"),
        ({"interpolate": 8, "n": 1}, "^n=1 must be at least 2 to interpolate from one face to the next"),
        ({"weights": "mean"}, "weights=mean must be one of ema, raw"),
        ({"truncation": 0.0}, "^truncation=0 must be above 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        generate(OmegaConf.create({"checkpoint": "none.ckpt", "seed": 1}), **settings)


def test_a_mistake_is_said_before_a_folder_is_filled(gan: DrawnRun, tmp_path: Path, run_command) -> None:
    given = ["task=generate", f"checkpoint={gan.checkpoint}", "task.nearest=false", "task.attributes={Smilling: 1}"]
    result = run_command(*given, "hydra.run.dir=run", cwd=tmp_path)
    assert result.returncode == 1
    assert "has no attribute Smilling, only Smiling, Male. Did you mean 'Smiling'?" in " ".join(result.stderr.split())
    assert not (tmp_path / "run" / "faces").exists()


def test_a_checkpoint_of_the_other_kind_is_refused(gan: DrawnRun, trained) -> None:
    with pytest.raises(
        UserError, match=r"does not hold a GAN. To generate faces, name a checkpoint of experiment=gan."
    ):
        load_sampler(str(trained.checkpoint))
    with pytest.raises(UserError, match="does not hold an attribute classifier"):
        load_classifier(str(gan.checkpoint), "evaluate")
    with pytest.raises(UserError, match=r"name a checkpoint: checkpoint=outputs/.../checkpoints/last.ckpt"):
        load_sampler(None)


def test_a_file_that_is_no_generator_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"could not be read \(.*\), because it is damaged or not a safetensors file"):
        load_sampler(str(tmp_path / "a.safetensors"))
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(UserError, match="is not a generator from task=export"):
        load_sampler(str(tmp_path / "b.safetensors"))


def test_no_weights_for_distances_is_said_before_training(tiny_celeba: Path, tmp_path: Path, run_command) -> None:
    arguments = ["experiment=gan", *SMALL, f"data.root={tiny_celeba}", "task.distances.feature_extractor=nowhere.pth"]
    result = run_command(*arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert (
        "task.distances.feature_extractor=nowhere.pth must be one of auto, inception, imagenet, or the path"
        in result.stderr
    )
    assert "epoch 1" not in result.stdout


def test_an_audit_without_faces_to_compare_is_said_before_training(
    tiny_celeba: Path, trained, gan: DrawnRun, tmp_path: Path, run_command
) -> None:
    train_only = [f"data.root={tiny_celeba}", "data.partitions=[train]", f"task.auditor={trained.checkpoint}"]
    training = ["experiment=gan", *SMALL, "task.distances=null", *train_only]
    for arguments in (training, ["task=generate", f"checkpoint={gan.checkpoint}", *train_only]):
        result = run_command(*arguments, cwd=tmp_path)
        assert result.returncode == 1
        assert "leaves out the val split, which this task needs" in " ".join(result.stderr.split())
        assert "epoch 1" not in result.stdout


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["checkpoint={classifier}"], "does not hold a GAN. To continue training, name a checkpoint of experiment=gan"),
        (
            ["checkpoint={gan}", "model.attributes=[Male,Smiling]"],
            "was trained with model.attributes=['Smiling', 'Male']",
        ),
        (["checkpoint={gan}", "recipe.max_epochs=3"], "has already trained 3 epochs"),
        (["task.nearest=65"], "task.nearest=65: give a number of faces from 0 to 64"),
        (["task.distances.n_images=2"], "task.distances.n_images=2 must be at least 3"),
        (["recipe.precision=bf16-true"], "recipe.precision=bf16-true has too few digits"),
    ],
)
def test_what_cannot_be_trained_is_said(
    settings: list[str], sentence: str, gan: DrawnRun, trained, tiny_celeba: Path, command
) -> None:
    given = [text.format(classifier=trained.checkpoint, gan=gan.checkpoint) for text in settings]
    arguments = ["experiment=gan", *SMALL, "recipe.max_epochs=9", *CONDITIONAL, f"data.root={tiny_celeba}"]
    arguments += [] if any("distances" in text for text in given) else ["task.distances=null"]
    code, _, err = command(*arguments, *given)
    assert code == 1
    assert sentence in " ".join(err.split())


def test_a_run_that_diverges_keeps_its_last_good_checkpoint(tiny_celeba: Path, tmp_path: Path, run_command) -> None:
    """Two good epochs, continued with a rate that nothing survives."""
    arguments = ["experiment=gan", *SMALL, f"data.root={tiny_celeba}", "task.distances=null", "hydra.run.dir=run"]
    result = run_command(*arguments, "recipe.max_epochs=2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    good = torch.load(checkpoint, weights_only=True)["state_dict"]
    more = ["recipe.max_epochs=9", "model.lr=1e30", "checkpoint=run/checkpoints/last.ckpt"]
    result = run_command(*arguments, *more, cwd=tmp_path)
    assert result.returncode == 1
    assert "Training diverged in epoch 3, step 9: the " in " ".join(result.stderr.split())
    kept = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, kept[name]) for name, value in good.items())


def test_the_notebooks_gan_is_the_notebooks(compose) -> None:
    """Composed and built: every number that the 2024 notebook gave, and nothing that it did not have."""
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
    assert (cfg.data.batch_size, cfg.trainer.max_epochs, cfg.trainer.precision) == (32, 10, "bf16-mixed")
    assert model.average is None
    assert not any((model.hparams["flip"], model.hparams["joint_batch"], *model.hparams["augment"].values()))
    assert model.hparams["loss"] == {"name": "non_saturating", "smooth": 0.0}


@pytest.mark.parametrize("loss", sorted(path.stem for path in (config_directory() / "loss" / "gan").glob("*.yaml")))
def test_every_loss_of_the_group_makes_a_gan(loss: str, compose) -> None:
    model: GAN = build(compose("experiment=gan", f"loss=gan/{loss}").model)
    named = "non_saturating" if loss == "r1" else loss
    assert model.hparams["loss"]["name"] == named
    assert (model.hparams["r1"] > 0, model.hparams["gradient_penalty"] > 0) == (loss == "r1", loss == "wasserstein")


def test_the_notebooks_gan_trains_without_distances(tiny_celeba: Path, tmp_path: Path, run_command) -> None:
    arguments = ["experiment=gan_notebook", *SMALL, f"data.root={tiny_celeba}", "task.distances=null"]
    result = run_command(*arguments, "hydra.run.dir=run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert load_gan(str(tmp_path / "run" / "checkpoints" / "last.ckpt"), "x").average is None


@pytest.mark.slow
def test_an_interrupted_run_continues_to_the_same_end(tiny_celeba: Path, tmp_path: Path, run_command) -> None:
    """Two epochs, then the other two by the checkpoint, are four epochs at once."""
    arguments = ["experiment=gan", *SMALL, f"data.root={tiny_celeba}", "task.distances=null"]
    runs = [
        ("whole", ["recipe.max_epochs=4"]),
        ("parts", ["recipe.max_epochs=2"]),
        ("parts", ["recipe.max_epochs=4", "checkpoint=parts/checkpoints/last.ckpt"]),
    ]
    for folder, extra in runs:
        result = run_command(*arguments, *extra, f"hydra.run.dir={folder}", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    whole, parts = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "parts")
    )
    assert whole["global_step"] == parts["global_step"] == 16
    assert all(torch.equal(value, parts["state_dict"][name]) for name, value in whole["state_dict"].items())
    assert len(pd.read_csv(tmp_path / "parts" / "tables" / "history.csv")) == 4


@pytest.mark.slow
def test_two_processes_train_one_gan(
    tiny_celeba: Path, features: Path, trained, tmp_path: Path, run_command, run_process
) -> None:
    """With plain trainer=ddp; and what is reported afterwards is of all the faces."""
    arguments = ["experiment=gan", *SMALL, *CONDITIONAL, f"data.root={tiny_celeba}", "hydra.run.dir=run"]
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
    assert set(distances["real"]) == {32}  # the whole training split, not one process's share
    audit = pd.read_csv(tmp_path / "run" / "tables" / "audit_asked.csv")
    assert set(audit.groupby("attribute")["real_faces"].sum()) == {8}


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_the_command_that_continues(
    tiny_celeba: Path, tmp_path: Path, run_command
) -> None:
    arguments = ["experiment=gan", *SMALL, f"data.root={tiny_celeba}", "task.distances=null", "recipe.max_epochs=5000"]
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
    assert "checkpoint=run/checkpoints/last.ckpt" in printed
    done = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    epochs = done // 4 + 2
    continued = ["checkpoint=run/checkpoints/last.ckpt", f"recipe.max_epochs={epochs}", "hydra.run.dir=run"]
    result = run_command(*[text for text in arguments if "max_epochs" not in text], *continued, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    history = pd.read_csv(tmp_path / "run" / "tables" / "history.csv")
    assert history["train/images_per_second"].min() > 1
