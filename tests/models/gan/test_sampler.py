"""Sampling faces and attributes from a generator, and interpolating between latents."""

import numpy as np
import pytest
import torch

from celeba_lab.errors import UserError
from celeba_lab.models.gan.networks import Generator
from celeba_lab.models.gan.sampler import FaceSampler, slerp

NAMES = ["Smiling", "Male", "Eyeglasses"]
# Smiling and Male never occur together, and Eyeglasses occurs only with Male.
LABELS = np.array([[1, 0, 0]] * 50 + [[0, 1, 0]] * 30 + [[0, 1, 1]] * 20, dtype=np.uint8)


@pytest.fixture
def sampler() -> FaceSampler:
    torch.manual_seed(0)
    return FaceSampler(Generator(16, latent_size=8, width=4, num_attributes=3), NAMES, LABELS)


@pytest.fixture
def plain() -> FaceSampler:
    torch.manual_seed(0)
    return FaceSampler(Generator(16, latent_size=8, width=4), [], np.empty((0, 0), dtype=np.uint8))


def test_faces_depend_only_on_the_seed(plain: FaceSampler) -> None:
    first, _ = plain.sample(5, seed=1)
    torch.rand(7)
    assert torch.equal(first, plain.sample(5, seed=1)[0])
    assert not torch.equal(first, plain.sample(5, seed=2)[0])
    assert first.shape == (5, 3, 16, 16)
    assert first.dtype == torch.uint8


def test_large_samples_equal_the_faces_of_single_batches(plain: FaceSampler) -> None:
    latents = plain.latents(600, seed=0)
    whole = plain.draw(latents)
    parts = torch.cat([plain.draw(part) for part in latents.split(100)])
    assert (whole.int() - parts.int()).abs().max() <= 1


def test_sampling_does_not_change_the_network(plain: FaceSampler) -> None:
    plain.network.train()
    before = {name: value.clone() for name, value in plain.network.state_dict().items()}
    plain.sample(5, seed=1)
    assert plain.network.training
    assert all(torch.equal(value, before[name]) for name, value in plain.network.state_dict().items())


def test_truncated_latents_fill_the_allowed_range(plain: FaceSampler) -> None:
    latents = plain.latents(2000, seed=0, truncation=0.7)
    assert latents.abs().max() <= 0.7
    assert latents.abs().max() > 0.65
    assert latents.std() > 0.3
    with pytest.raises(UserError, match=r"truncation=0 must be above 0"):
        plain.latents(2, truncation=0)


def test_attributes_follow_the_joint_distribution(sampler: FaceSampler) -> None:
    drawn = sampler.draw_attributes(4000, seed=0).numpy()
    rows, counts = np.unique(drawn, axis=0, return_counts=True)
    assert set(map(tuple, rows.tolist())) == {(1, 0, 0), (0, 1, 0), (0, 1, 1)}
    shares = {tuple(row): count / 4000 for row, count in zip(rows.tolist(), counts, strict=True)}
    assert shares[(1, 0, 0)] == pytest.approx(0.5, abs=0.03)
    assert shares[(0, 1, 1)] == pytest.approx(0.2, abs=0.03)


def test_other_attributes_follow_their_conditional_distribution(sampler: FaceSampler) -> None:
    drawn = sampler.draw_attributes(1000, {"Male": 1}, seed=0).numpy()
    assert drawn[:, 1].all()
    assert not drawn[:, 0].any()  # Male and Smiling never occur together.
    assert drawn[:, 2].mean() == pytest.approx(0.4, abs=0.05)


def test_attribute_combinations_without_training_faces_can_be_requested(sampler: FaceSampler) -> None:
    drawn = sampler.draw_attributes(100, {"Smiling": 1, "Eyeglasses": 1}, seed=0).numpy()
    assert drawn[:, [0, 2]].all()
    assert sampler.labels is LABELS
    assert LABELS.sum() == 50 + 30 + 40  # The labels did not change.


@pytest.mark.parametrize(
    ("requested", "sentence"),
    [
        ({"Smilling": 1}, "Smilling. The available attributes are Smiling, Male, Eyeglasses. Did you mean 'Smiling'"),
        ({"Smiling": 2}, "^attributes.Smiling=2 must be 1 to request the attribute or 0 to exclude it"),
    ],
)
def test_invalid_requests_are_rejected(sampler: FaceSampler, requested: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        sampler.draw_attributes(2, requested)


def test_an_unconditional_generator_rejects_requested_attributes(plain: FaceSampler) -> None:
    assert plain.draw_attributes(2) is None
    with pytest.raises(UserError, match=r"is unconditional, so Smiling cannot be requested"):
        plain.draw_attributes(2, {"Smiling": 1})


def test_a_conditional_generator_needs_labels() -> None:
    with pytest.raises(UserError, match="requires the labels of its training faces"):
        FaceSampler(Generator(16, num_attributes=1), ["Smiling"], np.empty((0, 1), dtype=np.uint8))


def test_slerp_keeps_the_ends_and_the_norm_and_has_equal_steps() -> None:
    first, last = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.0, 3.0, 0.0])
    walk = slerp(first, last, 7)
    assert torch.allclose(walk[0], first, atol=1e-6)
    assert torch.allclose(walk[-1], last, atol=1e-5)
    assert walk.norm(dim=1).tolist() == pytest.approx([3.0] * 7, rel=1e-5)
    assert walk.diff(dim=0).norm(dim=1).std() < 1e-5
    assert torch.allclose(walk[3], torch.tensor([1.0, 1.0, 0.0]) * 3 / 2**0.5, atol=1e-5)


@pytest.mark.parametrize("factor", [1.0, -1.0])
def test_slerp_between_parallel_latents_is_linear(factor: float) -> None:
    first = torch.randn(8)
    assert slerp(first, factor * first, 3).isfinite().all()


def test_generating_many_faces_shows_progress(plain: FaceSampler, work_shown: dict[str, str]) -> None:
    plain.sample(600, seed=0)
    assert work_shown == {"generating faces": "3/3 batches"}
