"""Plain training loop, for comparing its time and accuracy with those of celeba_lab on the same machine.

As in the 2024 notebook, the loop loads images with Pillow in the main process, and trains in float32 and NCHW with Adam
at a learning rate of 1e-3. It shares no code with celeba_lab.

    python tests/benchmarks/notebook_loop.py --data FOLDER --weights mobilenet_v2.pth
    python tests/benchmarks/notebook_loop.py --data FOLDER --weights mobilenet_v2.pth --attribute all
"""

import argparse
import json
import time
from pathlib import Path

import pandas as pd
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Faces(Dataset):
    def __init__(self, root: Path, partition: int, attribute: str) -> None:
        table = pd.read_csv(root / "list_attr_celeba.csv").merge(pd.read_csv(root / "list_eval_partition.csv"))
        table = table[table["partition"] == partition]
        self.names = table["image_id"].tolist()
        labels = table.drop(columns=["image_id", "partition"]) if attribute == "all" else table[[attribute]]
        self.labels = torch.from_numpy((labels == 1).to_numpy().astype("float32"))  # (N, K)
        self.folder = root / "img_align_celeba" / "img_align_celeba"
        self.transform = transforms.Compose(
            [
                transforms.Resize((128, 128)),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = Image.open(self.folder / self.names[position]).convert("RGB")
        return self.transform(image), self.labels[position]


def evaluate(model: nn.Module, loader: DataLoader, criterion: nn.Module) -> dict[str, float]:
    model.eval()
    loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            logits = model(images)
            loss += criterion(logits, labels).item() * len(labels)
            correct += ((logits > 0) == (labels > 0.5)).float().mean(dim=1).sum().item()
            count += len(labels)
    return {"loss": loss / count, "accuracy": correct / count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--attribute", default="Smiling", help="name of an attribute, or all for all forty attributes")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)

    model = torchvision.models.mobilenet_v2()
    if arguments.weights is not None:
        model.load_state_dict(torch.load(arguments.weights, weights_only=True))
    splits = [Faces(arguments.data, partition, arguments.attribute) for partition in range(3)]
    model.classifier[1] = nn.Linear(model.last_channel, splits[0].labels.shape[1])
    criterion, optimizer = nn.BCEWithLogitsLoss(), torch.optim.Adam(model.parameters(), lr=1e-3)
    train, val, test = (DataLoader(split, batch_size=32, shuffle=split is splits[0]) for split in splits)

    seconds = 0.0
    for epoch in range(arguments.epochs):
        start = time.perf_counter()
        model.train()
        for images, labels in train:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        seconds += time.perf_counter() - start
        print(f"epoch {epoch + 1}: {seconds:.1f} s of training, val {evaluate(model, val, criterion)}", flush=True)
    result = {"training_seconds": round(seconds, 1), "val": evaluate(model, val, criterion)}
    print(json.dumps(result | {"test": evaluate(model, test, criterion)}))


if __name__ == "__main__":
    main()
