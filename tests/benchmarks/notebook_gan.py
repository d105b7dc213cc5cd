"""Time the 2024 notebook's GAN as a plain PyTorch loop, for comparison with ``experiment=gan_notebook``.

    python tests/benchmarks/notebook_gan.py --data CELEBA --epochs 1

The networks, optimizers and batch size are the same as in celeba_lab: feature maps of 4 x 4 to 32 x 32 pixels, Adam
with a learning rate of 2e-4 and betas of 0.5 and 0.999, and batches of 32. Unlike celeba_lab, this loop opens, resizes
and normalises every image with PIL and torchvision in each epoch, and runs the networks in float32 and the default
memory format, with a sigmoid before the loss. The notebook trained on all partitions, but this script trains only on
the train partition.
"""

import argparse
import time
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from celeba_lab.data.annotations import Annotations
from celeba_lab.data.layouts import find_image_folder


class Faces(Dataset):
    """Images of the train partition, which are reopened in each epoch."""

    def __init__(self, root: Path) -> None:
        annotations = Annotations.load(root)
        self.folder = find_image_folder(root)
        self.names = annotations.image_ids[annotations.rows("train")]
        steps = [transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, position: int) -> torch.Tensor:
        return self.transform(Image.open(self.folder / str(self.names[position])).convert("RGB"))


def build_generator() -> nn.Sequential:
    layers: list[nn.Module] = []
    for k, (given, made) in enumerate([(100, 128), (128, 64), (64, 32)]):
        layers += [nn.ConvTranspose2d(given, made, 4, 1 + (k > 0), int(k > 0), bias=False)]
        layers += [nn.BatchNorm2d(made), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(32, 3, 4, 2, 1, bias=False), nn.Tanh())


def build_discriminator() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for given, made in [(32, 64), (64, 128)]:
        layers += [nn.Conv2d(given, made, 4, 2, 1, bias=False), nn.BatchNorm2d(made), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(128, 1, 4, bias=False), nn.Sigmoid())


def main() -> None:
    """Train, and print the images per second of each epoch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(42)
    generator, discriminator, loss = build_generator(), build_discriminator(), nn.BCELoss()
    players = [torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (generator, discriminator)]
    loader = DataLoader(Faces(options.data), batch_size=32, shuffle=True)
    for epoch in range(1, options.epochs + 1):
        start, images = time.perf_counter(), 0
        for real in loader:
            n = len(real)
            fake = generator(torch.randn(n, 100, 1, 1))
            discriminator.zero_grad()
            loss(discriminator(real).view(-1), torch.ones(n)).backward()
            loss(discriminator(fake.detach()).view(-1), torch.zeros(n)).backward()
            players[1].step()
            generator.zero_grad()
            loss(discriminator(fake).view(-1), torch.ones(n)).backward()
            players[0].step()
            images += n
        print(f"epoch {epoch}: {images / (time.perf_counter() - start):.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
