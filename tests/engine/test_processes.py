"""Two processes train and evaluate like one, continue exactly, and stop together.

Each rank runs in a process that is forked from the test process, because importing Lightning takes seconds.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.utils.data import DataLoader

from celeba_lab.data.loaders import Loaders, Processes
from celeba_lab.data.position import ResumableData
from celeba_lab.engine import processes
from celeba_lab.engine.build import build_trainer
from celeba_lab.engine.callbacks import ExponentialMovingAverage, LastCheckpoint, RandomState
from celeba_lab.engine.measure import CollectPredictions
from celeba_lab.engine.signals import stopping_between_batches
from celeba_lab.errors import UserError
from celeba_lab.models.classifier import AttributeClassifier
from celeba_lab.models.classifier.backbones import _REGISTERED
from celeba_lab.models.classifier.metrics import SplitMetrics
from celeba_lab.models.gan.module import GAN
from celeba_lab.runs.interrupts import Interrupted

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

Result = dict[str, Any]
SECONDS = 100


@pytest.fixture
def run_ranks(tmp_path: Path) -> Callable[..., list[Result]]:
    """``run_ranks(case, devices)`` calls ``case(devices, tmp_path)`` in each process, and returns their results."""

    def run(case: Callable[[int, Path], Result], devices: int) -> list[Result]:
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
            port = opened.getsockname()[1]
        children = [_fork(case, rank, devices, port, tmp_path) for rank in range(devices)]
        deadline = time.monotonic() + SECONDS
        codes: dict[int, int] = {}
        while len(codes) < devices and time.monotonic() < deadline:
            for child in set(children) - codes.keys():
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    codes[child] = os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        for child in set(children) - codes.keys():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert [codes.get(child) for child in children] == [0] * devices
        return [json.loads((tmp_path / f"{case.__name__}.{rank}").read_text()) for rank in range(devices)]

    return run


def _fork(case: Callable[[int, Path], Result], rank: int, devices: int, port: int, folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        variables = {"LOCAL_RANK": rank, "NODE_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in variables.items()})
        rank_zero_only.rank = rank
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # torchmetrics has already combined the processes, so Lightning need not do it.
        warnings.filterwarnings("ignore", ".*sync_dist=True.*")
        torch.set_num_threads(1)
        _REGISTERED["plain"] = plain
        (folder / f"{case.__name__}.{rank}").write_text(json.dumps(case(devices, folder)))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def plain() -> nn.Module:
    """Return a backbone without batch normalisation, whose statistics differ between processes, and without dropout."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten())


class Faces:
    """Random images and labels."""

    groups = None

    def __init__(self, n: int) -> None:
        draw = torch.Generator().manual_seed(n)
        self.images = torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=draw)
        self.labels = torch.randint(0, 2, (n, 2), dtype=torch.uint8, generator=draw)

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, rows: list[int]) -> dict[str, torch.Tensor]:
        return {"image": self.images[rows], "label": self.labels[rows], "index": torch.tensor(rows)}


class Settings(Loaders):
    def _loader(self, dataset, processes, sampler, batch_size, drop_last=False) -> DataLoader:
        own: dict[str, Any] = {"generator": torch.Generator(), "collate_fn": lambda batch: batch}
        return DataLoader(dataset, batch_size, sampler=sampler, drop_last=drop_last, **own)


class Data(ResumableData):
    """37 training and 31 other images, which are multiples of neither the batch sizes nor the number of processes."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.settings = Settings(batch_size, 5, 0, 0)

    def train_dataloader(self) -> DataLoader:
        return self.settings.training_loader(Faces(37), Processes.of(self.trainer), self.position)

    def val_dataloader(self) -> DataLoader:
        return self.settings.evaluation_loader(Faces(31), Processes.of(self.trainer))

    test_dataloader = val_dataloader


def quiet_trainer(*callbacks: L.Callback, devices: int, epochs: int = 2, **options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 1}
    saving = any(isinstance(each, LastCheckpoint) for each in callbacks)
    options |= {"strategy": DDPStrategy(find_unused_parameters=True) if devices > 1 else "auto"}
    return L.Trainer(
        accelerator="cpu", devices=devices, max_epochs=epochs, callbacks=list(callbacks), enable_checkpointing=saving,
        **quiet, **options,
    )  # fmt: skip


def classifier(**settings: Any) -> AttributeClassifier:
    torch.manual_seed(3)
    return AttributeClassifier(["first", "second"], "plain", image_size=16, lr=1e-2, **settings)


def numbers_of(model: L.LightningModule) -> list[float]:
    return torch.cat([value.detach().double().flatten() for value in model.state_dict().values()]).tolist()


def scores_of(trainer: L.Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items() if "/" in name}


def flat(values: Any) -> list[float]:
    if isinstance(values, dict):
        return [number for key in sorted(values) for number in flat(values[key])]
    return [number for value in values for number in flat(value)] if isinstance(values, list) else [values]


# ------------------------------------------------------------------------------------------------------------ equality


def metrics(devices: int, folder: Path) -> Result:
    rank, found = int(os.environ["LOCAL_RANK"]), {}
    if devices > 1:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=devices)
    for attributes in (1, 3):
        draw = torch.Generator().manual_seed(attributes)
        probability, loss = torch.rand(11, attributes, generator=draw), torch.rand(11, generator=draw)
        label = torch.randint(0, 2, (11, attributes), generator=draw)
        label[1::2, 0] = 0  # The second process has no positive example.
        measured = SplitMetrics(attributes)
        for rows in torch.arange(11)[rank::devices].split(4):
            measured.update(loss[rows].mean(), probability[rows], label[rows])
        found |= {f"{name}/{attributes}": value.tolist() for name, value in measured.compute().items()}
    return found


def train(devices: int, folder: Path) -> Result:
    collected, model, data = CollectPredictions(), classifier(), Data(8 // devices)
    trainer = quiet_trainer(ExponentialMovingAverage(0.5), collected, devices=devices)
    trainer.fit(model, datamodule=data)
    scores = scores_of(trainer)
    trainer.test(model, datamodule=data, verbose=False)
    found = {"weights": numbers_of(model), "scores": scores | scores_of(trainer), "steps": trainer.global_step}
    return found | {"index": collected.index.tolist(), "probability": collected.probability.tolist()}


def test_metrics_of_two_processes_are_those_of_all_their_images(run_ranks: Callable) -> None:
    [alone] = run_ranks(metrics, 1)
    for found in run_ranks(metrics, 2):
        assert flat(found) == pytest.approx(flat(alone), abs=1e-6, nan_ok=True)


def test_two_processes_train_the_same_classifier_as_one_with_the_same_images_per_step(run_ranks: Callable) -> None:
    [alone] = run_ranks(train, 1)
    for found in run_ranks(train, 2):
        assert found["index"] == alone["index"] == list(range(31))
        assert found["steps"] == alone["steps"] == 8
        for part in ("weights", "scores", "probability"):
            assert flat(found[part]) == pytest.approx(flat(alone[part]), abs=1e-6, nan_ok=True), part


class FixedNoise(GAN):
    """A GAN whose latents depend on the image, and whose batch normalisation does not use batch statistics.

    Usually, each process draws its own latents and uses the statistics of its own batch.
    """

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        draw = torch.randn
        each = [torch.Generator().manual_seed(int(row)) for row in batch["index"]]

        def fixed(n: int, z: int, **_: Any) -> torch.Tensor:
            return torch.stack([draw(z, generator=generator) for generator in each]).double()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randn", fixed)
            super().training_step(batch, batch_idx)


def train_gan(devices: int, folder: Path) -> Result:
    torch.manual_seed(3)
    small = {"image_size": 16, "latent_size": 8, "width": 4, "normalization": "none"}
    model = FixedNoise(**small, ema=0.5, lr=1e-2)
    # Adam enlarges the rounding errors of small gradients, so they are computed in float64.
    trainer = quiet_trainer(devices=devices, precision="64-true")
    trainer.fit(model, datamodule=Data(8 // devices))
    return {"weights": numbers_of(model), "scores": scores_of(trainer)}


@pytest.mark.slow
def test_two_processes_train_the_same_gan_as_one_with_the_same_noise(run_ranks: Callable) -> None:
    [alone] = run_ranks(train_gan, 1)
    for found in run_ranks(train_gan, 2):
        assert flat(found) == pytest.approx(flat(alone), abs=1e-6)


# ------------------------------------------------------------------------------------------------------ stop and resume


class Stop(L.Callback):
    """Sends a signal to only one process."""

    def __init__(self, when: tuple[int, int | str]) -> None:
        self.when = when

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.stop(trainer, batch_idx)

    def on_validation_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self.stop(trainer, "validation")

    def stop(self, trainer: L.Trainer, where: int | str) -> None:
        if (trainer.current_epoch, where) == self.when and trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def fit(folder: Path, *callbacks: L.Callback, devices: int, resume: bool = False) -> Result:
    model, last = classifier(mixup=0.4, augment={"flip": 0.5, "shift": 0.1}, schedule="constant"), folder / "last.ckpt"
    trainer = quiet_trainer(RandomState(), LastCheckpoint(folder), *callbacks, devices=devices, epochs=3)
    saved = {"ckpt_path": last, "weights_only": True} if resume else {}
    try:
        with stopping_between_batches(trainer):
            trainer.fit(model, datamodule=Data(4), **saved)
    except Interrupted as stopped:
        return {"code": stopped.code, "steps": trainer.global_step}
    return {"weights": numbers_of(model), "scores": scores_of(trainer)}


def stop_and_resume(devices: int, folder: Path) -> Result:
    whole = fit(folder / "whole", devices=devices)
    stopped = fit(folder / "parts", Stop((1, 2)), devices=devices)
    return {"whole": whole, "stopped": stopped, "resumed": fit(folder / "parts", devices=devices, resume=True)}


def stop_in_validation_and_resume(devices: int, folder: Path) -> Result:
    whole = fit(folder / "whole", devices=devices)
    stopped = fit(folder / "parts", Stop((1, "validation")), devices=devices)
    return {"whole": whole, "stopped": stopped, "resumed": fit(folder / "parts", devices=devices, resume=True)}


def resume_alone(devices: int, folder: Path) -> Result:
    with pytest.raises(UserError) as error:
        fit(folder / "parts", devices=1, resume=True)
    return {"sentence": str(error.value)}


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_and_the_resumed_run_is_equal(run_ranks: Callable) -> None:
    """The run is stopped within its second epoch, while it trains or validates."""
    for found in run_ranks(stop_and_resume, 2):
        assert found["stopped"] == {"code": 143, "steps": 7}
        assert flat(found["resumed"]) == flat(found["whole"])
    for found in run_ranks(stop_in_validation_and_resume, 2):
        assert found["stopped"] == {"code": 143, "steps": 8}
        assert flat(found["resumed"]) == flat(found["whole"])
    [alone] = run_ranks(resume_alone, 1)
    assert alone["sentence"].startswith("The checkpoint was saved by 2 processes, but this run uses 1 process.")


@pytest.mark.parametrize(("code", "ends"), [(1, True), (-9, True), (128 + signal.SIGTERM, False), (0, False)])
def test_a_process_that_fails_ends_the_main_process_unless_a_signal_stopped_it(
    code: int, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(processes, "_SECONDS_TO_FAIL", 0.0)
    monkeypatch.setattr(os, "_exit", ended.append)
    program = f"import os; os.kill(os.getpid(), {-code})" if code < 0 else f"raise SystemExit({code})"
    with subprocess.Popen([sys.executable, "-S", "-c", program]) as process:
        process.wait()
        processes._end_if_another_fails([process])
    assert ended == ([1] if ends else [])


def test_batch_normalisation_cannot_be_synchronised_on_the_cpu(compose: Callable) -> None:
    asked = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.default_root_dir=null"]
    with pytest.raises(UserError, match=r"trainer\.sync_batchnorm=true needs GPUs"):
        build_trainer(compose("experiment=smile", *asked, "trainer.sync_batchnorm=true").trainer)
