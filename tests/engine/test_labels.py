"""Analyses read the labels without the loaders of the data module."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from celeba_lab.data.celeba import CelebA
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.synthetic.faces import SyntheticFaces
from celeba_lab.engine.build import build_datamodule
from celeba_lab.engine.labels import build_faces
from celeba_lab.errors import UserError

MODULE = "celeba_lab.data.datamodule.CelebADataModule"
SYNTHETIC = "celeba_lab.data.synthetic.datamodule.SyntheticDataModule"


class OwnData(CelebADataModule):
    """A data module of the user."""


def node(root: Path, target: str = MODULE, **settings: Any) -> Any:
    return OmegaConf.create({"data": {"_target_": target, "root": str(root), **settings}}).data


def test_faces_have_the_labels_of_the_data_module(tiny_celeba: Path) -> None:
    settings = node(tiny_celeba, limit=5, partitions=["train", "val"])
    faces, datamodule = build_faces(settings, ["Male"]), build_datamodule(settings, ["Male"], image_size=64)
    assert type(faces) is CelebA
    assert settings._target_ == MODULE, "the configuration must not change"
    assert faces.counts == datamodule.counts == {"train": 5, "val": 5, "test": 0}
    assert faces.facts() == datamodule.facts()
    np.testing.assert_array_equal(faces.labels(faces.rows), datamodule.labels(datamodule.rows))


def test_all_attributes_are_the_default(tiny_celeba: Path) -> None:
    assert len(build_faces(node(tiny_celeba)).attributes) == 40
    with pytest.raises(UserError, match=r"data\.attributes"):
        build_faces(node(tiny_celeba), [])


@pytest.mark.parametrize(("target", "kind"), [(SYNTHETIC, SyntheticFaces), (f"{__name__}.OwnData", OwnData)])
def test_the_class_follows_from_the_data_module(tiny_celeba: Path, target: str, kind: type) -> None:
    assert type(build_faces(node(tiny_celeba, target))) is kind


@pytest.mark.parametrize(("setting", "value"), [("batch_size", 1), ("limit", 1), ("num_workers", -1)])
def test_settings_of_the_loaders_are_checked_as_well(tiny_celeba: Path, setting: str, value: int) -> None:
    with pytest.raises(UserError, match=f"data.{setting}={value} must be"):
        build_faces(node(tiny_celeba, **{setting: value}))
