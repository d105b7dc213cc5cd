"""A generator that is written to a file and read again generates the same faces."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from celeba_lab.errors import UserError
from celeba_lab.exports.generator import check_generator_weights, export_sampler, read_export
from celeba_lab.models.gan.networks import Generator
from celeba_lab.models.gan.sampler import FaceSampler

NAMES = [f"attribute_{k}" for k in range(9)]  # more than the eight labels that fit in one byte


def sampler(names: list[str], weights: str = "ema") -> FaceSampler:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (5, len(names)), dtype=torch.uint8, generator=generator).numpy()
    network = Generator(image_size=16, latent_size=8, width=4, num_attributes=len(names)).eval()
    return FaceSampler(network, names, labels, "celeba", weights)


@pytest.mark.parametrize("names", [[], NAMES])
def test_the_exported_generator_generates_the_same_faces(tmp_path: Path, names: list[str]) -> None:
    given = sampler(names)
    export_sampler(given, tmp_path / "generator.safetensors")
    found = read_export(tmp_path / "generator.safetensors")
    assert (found.attributes, found.trained_on, found.generator_weights) == (names, "celeba", "ema")
    if names:
        np.testing.assert_array_equal(found.labels, given.labels)
    assert torch.equal(found.sample(3, seed=1)[0], given.sample(3, seed=1)[0])


def test_averaged_weights_are_not_read_as_those_of_the_last_step(tmp_path: Path) -> None:
    export_sampler(sampler([]), tmp_path / "ema.safetensors")
    with pytest.raises(UserError, match="contains only the averaged weights"):
        read_export(tmp_path / "ema.safetensors", "raw")
    export_sampler(sampler([], "raw"), tmp_path / "raw.safetensors")
    assert read_export(tmp_path / "raw.safetensors", "raw").generator_weights == "raw"


def test_a_file_that_is_not_a_generator_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="is damaged or is not a safetensors file"):
        read_export(tmp_path / "damaged.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="is not an exported generator"):
        read_export(tmp_path / "other.safetensors")


def test_an_unknown_kind_of_weights_is_rejected() -> None:
    check_generator_weights("raw")
    with pytest.raises(UserError, match=r"^generator_weights=emma must be one of ema, raw\. Did you mean 'ema'\?$"):
        check_generator_weights("emma")


@pytest.mark.parametrize("changes", [{"width": 3000}, {"latent_size": 10**9}, {"image_size": 256}])
def test_a_generator_of_another_size_is_rejected_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int]
) -> None:
    given = sampler([])
    for name, value in changes.items():
        setattr(given.network, name, value)  # The tensors keep their shapes.
    export_sampler(given, tmp_path / "generator.safetensors")
    devices: list[str] = []

    def build(**settings: int) -> Generator:
        devices.append(torch.get_default_device().type)
        return Generator(**settings)

    monkeypatch.setattr("celeba_lab.exports.generator.Generator", build)
    with pytest.raises(UserError, match="contains weights that do not fit its own settings"):
        read_export(tmp_path / "generator.safetensors")
    assert devices == ["meta"]
