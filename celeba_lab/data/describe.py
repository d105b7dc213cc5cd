"""What a run says about its data."""

from typing import Any

from celeba_lab.console import console
from celeba_lab.data.annotations import SPLITS
from celeba_lab.data.datamodule import CelebADataModule


def show_dataset(datamodule: CelebADataModule) -> None:
    """Print how many images of each split are used."""
    counts = " + ".join(f"{count:,} {split}" for split, count in datamodule.counts.items())
    limited = f", limited to {datamodule.limit} each" if datamodule.limit else ""
    skipped = f", {len(datamodule.bad_images)} bad images left out" if len(datamodule.bad_images) else ""
    console.print(f"images: {counts} at {datamodule.image_size} x {datamodule.image_size} pixels{limited}{skipped}")


def summary_of_data(datamodule: CelebADataModule) -> dict[str, Any]:
    """Return what ``summary.json`` says of the data."""
    return {
        "name": datamodule.name,
        "root": str(datamodule.root),
        "images": {split: datamodule.counts[split] for split in SPLITS},
        **datamodule.provenance,
    }
