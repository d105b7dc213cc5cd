"""Training steps and inference with the networks of celeba_lab alone, on tensors in memory and without Lightning.

They are what remains if everything around the networks takes no time: reading and augmenting images, metrics, logging,
averaged weights, schedules and callbacks. The networks, the optimizers, the losses and the precision are the same.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from celeba_lab.benchmarks.reference import Clock
from celeba_lab.engine.allocator import keep_freed_memory
from celeba_lab.engine.checkpoints import load_classifier, read_checkpoint
from celeba_lab.models.classifier.module import IMAGENET_MEAN, IMAGENET_STD
from celeba_lab.models.gan.module import GAN
from celeba_lab.models.optimization import build_optimizer

CHUNK = 16
"""Number of images that a folded network processes at a time on the CPU, so that its activations fit into the cache."""
_BATCHES = 8  # number of different batches in memory
_PLAIN_BATCH = 64  # images in a batch of a network that is not folded


def train_classifier(
    checkpoint: str, batch_size: int, steps: int, device: str, precision: str, epochs: int = 1
) -> dict[str, Any]:
    """Repeat the training step of a classifier.

    Args:
        checkpoint: Path to a checkpoint, which determines the network and the optimizer.
        batch_size: Number of images in a batch.
        steps: Number of steps.
        device: Device, such as ``cpu`` or ``cuda:0``.
        precision: Precision of Lightning's Trainer, such as ``32-true`` or ``bf16-mixed``.
        epochs: Number of epochs of training with which the result is compared. Epochs in which other layers are frozen
            are measured separately.

    Returns:
        ``step``: training images per second, averaged over the epochs.
    """
    _prepare(device)
    model = load_classifier(checkpoint, "measure").to(device)
    settings = model.hparams
    model.setup("fit")
    model.train()
    optimizer = build_optimizer(
        settings["optimizer"], [model.backbone, model.head], settings["lr"], settings["weight_decay"]
    )
    layout = torch.channels_last if settings["channels_last"] else torch.contiguous_format
    images = torch.randn(_BATCHES, batch_size, 3, settings["image_size"], settings["image_size"], device=device)
    batches = [batch.contiguous(memory_format=layout) for batch in images]
    labels = torch.randint(0, 2, (batch_size, len(model.attributes)), device=device).float()
    clock, seconds = Clock(device), {}  # seconds of an image by the fraction of frozen layers
    fractions = [model.freeze_plan.fraction(epoch, epochs) for epoch in range(epochs)]
    for fraction in dict.fromkeys(fractions):
        model.freeze_layers(fraction)
        model.backbone.fold_frozen()
        for [batch] in clock.first(([batches[k % _BATCHES]] for k in range(steps)), steps):
            with _autocast(device, precision):
                logits = model.head(model.backbone(batch))
            loss = model.training_loss(logits.float(), labels)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        seconds[fraction] = 1 / clock.rate
    return {"step": epochs / sum(seconds[fraction] for fraction in fractions)}


def train_gan(checkpoint: str, batch_size: int, steps: int, device: str, precision: str) -> dict[str, Any]:
    """Repeat the training step of an unconditional GAN without gradient penalties.

    The arguments and the result are those of :func:`train_classifier`.
    """
    _prepare(device)
    content = read_checkpoint(checkpoint, "measure", "last.ckpt")
    model = GAN(**content["hyper_parameters"]).to(device).train()
    settings = model.hparams
    optimizers = model.configure_optimizers()
    assert isinstance(optimizers, list)
    d_optimizer, g_optimizer = optimizers
    layout = torch.channels_last if settings["channels_last"] else torch.contiguous_format
    images = torch.rand(_BATCHES, batch_size, 3, settings["image_size"], settings["image_size"], device=device) * 2 - 1
    batches = [batch.contiguous(memory_format=layout) for batch in images]
    judge = _judge(model)
    clock = Clock(device)
    for [real] in clock.first(([batches[k % _BATCHES]] for k in range(steps)), steps):
        with _autocast(device, precision):
            fake = model.generator(torch.randn(batch_size, settings["latent_size"], device=device)).to(real.dtype)
            d_loss = model.adversarial_loss.discriminator(*judge(real, fake.detach()))
        d_optimizer.zero_grad()
        torch.autograd.backward(d_loss)
        d_optimizer.step()
        model.discriminator.requires_grad_(False)
        with _autocast(device, precision):
            g_loss = model.adversarial_loss.generator(*judge(real, fake))
        g_optimizer.zero_grad()
        torch.autograd.backward(g_loss)
        g_optimizer.step()
        model.discriminator.requires_grad_(True)
    return {"step": clock.rate}


def _judge(model: GAN) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return a function that computes the discriminator's logits for real and for generated images."""

    def logits_of(images: Tensor) -> Tensor:
        logits: Tensor = model.discriminator(model.diff_augment(images), None)[0]
        return logits.float()

    def judge(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        if not model.hparams["joint_batch"]:
            return logits_of(real), logits_of(fake)
        on_real, on_fake = logits_of(torch.cat([real, fake])).chunk(2)
        return on_real, on_fake

    return judge


def classify(checkpoint: str, images: int, device: str, precision: str, folded: bool) -> dict[str, Any]:
    """Classify faces in memory, and average the logits of each face and its mirror image.

    Args:
        checkpoint: Path to a checkpoint.
        images: Number of faces.
        device: Device, such as ``cpu`` or ``cuda:0``.
        precision: Precision of Lightning's Trainer.
        folded: If true, batch normalisation is folded into the convolutions, and on the CPU, a few images are processed
            at a time. If false, the network is used as it was trained.

    Returns:
        ``mirrored``: images per second.
    """
    if folded:
        _prepare(device)
    model = load_classifier(checkpoint, "measure").to(device)
    network: nn.Module = fuse(model.backbone.network) if folded else model.backbone.network
    size = model.hparams["image_size"]
    chunk = CHUNK if folded and torch.device(device).type == "cpu" else _PLAIN_BATCH
    steps = max(1, images // chunk)
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    faces = ((torch.rand(chunk, 3, size, size, device=device) - mean) / std).contiguous(
        memory_format=torch.channels_last
    )
    clock = Clock(device)
    with torch.inference_mode(), _autocast(device, precision):
        for [batch] in clock.first(([faces] for _ in range(steps)), steps):
            _average(network, model.head, batch)
    return {"mirrored": clock.rate}


def _average(network: nn.Module, head: nn.Module, faces: Tensor) -> Tensor:
    logits: Tensor = (head(network(faces)) + head(network(faces.flip(-1)))) / 2
    return logits


def _prepare(device: str) -> None:
    torch.set_float32_matmul_precision("high")
    if torch.device(device).type == "cpu":
        keep_freed_memory()


def _autocast(device: str, precision: str) -> AbstractContextManager[Any]:
    kind = torch.device(device).type
    if precision == "bf16-mixed":
        return torch.autocast(kind, torch.bfloat16)
    return torch.autocast(kind, torch.float16) if precision == "16-mixed" else nullcontext()
