"""Damaged checkpoints and exports give one sentence, and damaged weights are never loaded from a checkpoint."""

import io

import lightning as L
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from celeba_lab.engine.checkpoints import load_generator, load_sampler
from celeba_lab.errors import UserError
from celeba_lab.exports.generator import export_sampler
from celeba_lab.models.gan import GAN


@pytest.fixture(scope="module")
def checkpoint(place) -> bytes:
    """Content of a small GAN checkpoint."""
    torch.manual_seed(1)
    model = GAN(image_size=8, latent_size=4, width=4)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(place.folder / "last.ckpt", weights_only=True)
    content: bytes = (place.folder / "last.ckpt").read_bytes()
    return content


@given(data=st.data())
def test_a_damaged_checkpoint_is_rejected_or_loaded_exactly(data, damaged, checkpoint, place) -> None:
    path = place.write("damaged.ckpt", data.draw(damaged(checkpoint)))
    try:
        sampler = load_generator(str(path), "generate faces")
    except UserError as error:
        assert "damaged.ckpt" in str(error)
        return
    expected = load_generator(str(place.write("whole.ckpt", checkpoint)), "generate faces")
    weights = sampler.network.state_dict()
    for name, value in expected.network.state_dict().items():
        assert torch.equal(value, weights[name])


@given(data=st.data())
def test_a_damaged_export_is_rejected_or_loaded(data, damaged, checkpoint, place) -> None:
    """The safetensors format has no checksums, so damaged weights cannot be recognised."""
    path = place.folder / "generator.safetensors"
    export_sampler(load_generator(str(place.write("whole.ckpt", checkpoint)), "export"), path)
    damaged_path = place.write("damaged.safetensors", data.draw(damaged(path.read_bytes())))
    try:
        load_sampler(str(damaged_path))
    except UserError as error:
        assert "damaged.safetensors" in str(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.floats() | st.text(max_size=5) | st.just(torch.zeros(2)),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=5,
)


@given(data=st.data(), value=VALUES)
def test_a_checkpoint_with_a_wrong_value_is_rejected_or_loaded(data, value, checkpoint, place) -> None:
    content = torch.load(io.BytesIO(checkpoint), weights_only=True)
    nodes = [content, content["hyper_parameters"], content["celeba_lab"], content["state_dict"]]
    node = data.draw(st.sampled_from(nodes))
    node[data.draw(st.sampled_from(sorted(node)))] = value
    path = place.folder / "changed.ckpt"
    torch.save(content, path)
    try:
        load_generator(str(path), "generate faces")
    except UserError as error:
        assert "changed.ckpt" in str(error)
