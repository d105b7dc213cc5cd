"""Plain loops that train on CelebA and analyse its labels, written as a careful beginner would write a notebook.

They are the reference of ``experiment=benchmark``, and they use nothing of celeba_lab. They make the choices that
tutorials make:

- Each image is opened with Pillow, resized, converted and normalised by torchvision, one face at a time.
- Networks run in float32 and in PyTorch's default memory format (NCHW), and all of their layers are trained with Adam.
- The loss and the accuracy of every batch are computed on the CPU and printed by progress bars, so every step waits for
  the device.

The folder is in the layout of Kaggle: two tables, and the images in ``img_align_celeba/img_align_celeba``.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
import torchvision
from PIL import Image
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
BATCH_SIZE = 32
WARMUP = 3
"""Number of steps at the start of an epoch that are not part of the time of a step."""


def read_labels(root: str) -> pd.DataFrame:
    """Return the labels, -1 or 1, of all images, with one column per attribute and the file names as the index."""
    return pd.read_csv(Path(root) / "list_attr_celeba.csv", index_col="image_id")


class Faces(Dataset[tuple[Tensor, Tensor]]):
    """Images of a partition (0 train, 1 validation, 2 test) that are opened whenever they are needed.

    An item is a normalised image, float (3, S, S), and its labels, 0 or 1, float (K,).
    """

    def __init__(self, root: str, partition: int, attributes: list[str], size: int, normalize: Any = IMAGENET) -> None:
        table = read_labels(root)
        parts = pd.read_csv(Path(root) / "list_eval_partition.csv", index_col="image_id")["partition"]
        table = table[parts == partition]
        self.folder = Path(root) / "img_align_celeba" / "img_align_celeba"
        self.names = table.index.tolist()
        self.labels = torch.tensor((table[attributes] == 1).to_numpy(), dtype=torch.float32)
        self.transform = face_transform(size, normalize)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        image = Image.open(self.folder / self.names[position]).convert("RGB")
        return self.transform(image), self.labels[position]


def face_transform(size: int, normalize: Any = IMAGENET) -> Callable[[Image.Image], Tensor]:
    """Return a function that resizes an image, converts it to a tensor and normalises it."""
    steps = [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(*normalize)]
    composed: Callable[[Image.Image], Tensor] = transforms.Compose(steps)
    return composed


def train_classifier(
    root: str, attributes: list[str], image_size: int, steps: int, device: str, backbone: str = "mobilenet_v2"
) -> dict[str, Any]:
    """Train a network for one epoch and validate it.

    Args:
        root: The data folder.
        attributes: Names of the attributes to predict.
        image_size: Side length of the images in pixels.
        steps: Largest number of training and of validation batches. The time of an epoch is extrapolated from them.
        device: Device, such as ``cpu`` or ``cuda:0``.
        backbone: Name of a network in ``torchvision.models``.

    Returns:
        ``step``: training images per second. ``epoch``: seconds of an epoch with validation. ``losses``: loss of each
        batch. ``accuracy``: accuracy on the validation images.
    """
    train, val = (Faces(root, partition, attributes, image_size) for partition in (0, 1))
    train_loader = DataLoader(train, batch_size=BATCH_SIZE, shuffle=True)
    val_loader = DataLoader(val, batch_size=BATCH_SIZE)
    model = torchvision.models.get_model(backbone, num_classes=len(attributes)).to(device)
    criterion, optimizer = nn.BCEWithLogitsLoss(), torch.optim.Adam(model.parameters(), lr=1e-3)
    losses, correct, clock = [], 0.0, Clock(device)

    model.train()
    for images, labels in clock.first(train_loader, steps):
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        logits = model(images)
        loss = criterion(logits, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        correct += ((logits > 0).cpu() == (labels > 0.5).cpu()).float().mean().item()
    training, rate = clock.seconds * len(train_loader) / clock.batches, clock.rate

    model.eval()
    hits, count = 0.0, 0
    with torch.no_grad():
        for images, labels in clock.first(val_loader, steps):
            logits = model(images.to(device)).cpu()
            hits += ((logits > 0) == (labels > 0.5)).float().mean(dim=1).sum().item()
            count += len(labels)
    validation = clock.seconds * len(val_loader) / clock.batches
    return {"step": rate, "epoch": training + validation, "losses": losses, "accuracy": hits / count}


class Clock:
    """Measure the batches of a loop. A GPU is synchronised before the clock is read."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.batches = self.images = 0
        self.seconds = self.rate = 0.0

    def first(self, loader: Iterable[Any], steps: int) -> Iterable[Any]:
        """Yield at most ``steps`` batches. Afterwards, the attributes contain their number, images, time and rate."""
        start = warm = self._now()
        self.batches = self.images = images_before = 0
        for batch in loader:
            if self.batches == WARMUP:
                warm, images_before = self._now(), self.images
            yield batch
            self.batches += 1
            self.images += len(batch[0])
            if self.batches == steps:
                break
        end = self._now()
        self.seconds = end - start
        self.rate = (self.images - images_before) / (end - warm)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()


def train_gan(root: str, image_size: int, steps: int, device: str) -> dict[str, Any]:
    """Train a small DCGAN for at most one epoch, and return the images per second and the discriminator's losses."""
    faces = Faces(root, 0, ["Smiling"], image_size, normalize=([0.5] * 3, [0.5] * 3))
    loader = DataLoader(faces, batch_size=BATCH_SIZE, shuffle=True)
    generator, discriminator = build_generator(image_size).to(device), build_discriminator(image_size).to(device)
    g_optimizer, d_optimizer = (
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for network in (generator, discriminator)
    )
    criterion, losses, clock = nn.BCELoss(), [], Clock(device)
    for real, _ in clock.first(loader, steps):
        real = real.to(device)
        ones, zeros = torch.ones(len(real), device=device), torch.zeros(len(real), device=device)
        fake = generator(torch.randn(len(real), 100, 1, 1, device=device))
        d_optimizer.zero_grad()
        loss = criterion(discriminator(real).view(-1), ones) + criterion(discriminator(fake.detach()).view(-1), zeros)
        loss.backward()
        d_optimizer.step()
        g_optimizer.zero_grad()
        g_loss = criterion(discriminator(fake).view(-1), ones)
        g_loss.backward()
        g_optimizer.step()
        losses.append(loss.item())
        g_loss.item()
    return {"step": clock.rate, "losses": losses}


def build_generator(image_size: int, width: int = 32) -> nn.Sequential:
    """Return a generator of a DCGAN for images of at least 8 pixels whose size is a power of two."""
    channels = [width * 2**k for k in range(image_size.bit_length() - 4, -1, -1)]  # 128, 64 and 32 at 32 pixels
    layers: list[nn.Module] = []
    for k, (given, made) in enumerate(zip([100, *channels], channels, strict=False)):
        convolution = nn.ConvTranspose2d(given, made, 4, 1 if k == 0 else 2, 0 if k == 0 else 1, bias=False)
        layers += [convolution, nn.BatchNorm2d(made), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels[-1], 3, 4, 2, 1, bias=False), nn.Tanh())


def build_discriminator(image_size: int, width: int = 32) -> nn.Sequential:
    """Return the discriminator that belongs to :func:`build_generator`."""
    channels = [width * 2**k for k in range(image_size.bit_length() - 3)]
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for given, made in pairwise(channels):
        layers += [nn.Conv2d(given, made, 4, 2, 1, bias=False), nn.BatchNorm2d(made), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 4, bias=False), nn.Sigmoid())


def conditional_probabilities(root: str) -> pd.DataFrame:
    """Return P(A | B) for every pair of attributes, which is computed pair by pair."""
    labels = read_labels(root)
    table = pd.DataFrame(index=labels.columns, columns=labels.columns, dtype=float)
    for a in labels.columns:
        for b in labels.columns:
            table.loc[a, b] = (labels.loc[labels[b] == 1, a] == 1).mean()
    return table


def logistic_regressions(root: str) -> pd.DataFrame:
    """Predict each attribute from the other ones, and return four scores for each attribute."""
    labels = read_labels(root)
    scores = {}
    for name in labels.columns:
        x, y = labels.drop(columns=name), labels[name]
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=42)
        predicted = LogisticRegression(max_iter=1000).fit(x_train, y_train).predict(x_test)
        scores[name] = {
            "accuracy": accuracy_score(y_test, predicted),
            "precision": precision_score(y_test, predicted, zero_division=1),
            "recall": recall_score(y_test, predicted),
            "f1": f1_score(y_test, predicted),
        }
    return pd.DataFrame(scores).T


def kmeans_clusters(root: str) -> pd.DataFrame:
    """Cluster a tenth of the faces by their labels, for the elbow plot and with k = 5, and return the cluster means."""
    labels = read_labels(root).sample(frac=0.1, random_state=42)
    points = StandardScaler().fit_transform(labels)
    for k in range(2, min(11, len(points))):
        MiniBatchKMeans(n_clusters=k, random_state=42, n_init=3).fit(points)
    found = MiniBatchKMeans(n_clusters=min(5, len(points)), random_state=42, n_init=3).fit_predict(points)
    return labels.groupby(found).mean()
