"""Shapes and layers of the generator and the discriminator."""

import pytest
import torch
from torch import nn

from celeba_lab.errors import UserError
from celeba_lab.models.gan.networks import Discriminator, Generator


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("num_attributes", [0, 3])
def test_faces_and_logits_have_the_right_shapes_at_every_size(size: int, num_attributes: int) -> None:
    attributes = torch.randint(0, 2, (2, num_attributes), dtype=torch.uint8) if num_attributes else None
    faces = Generator(size, latent_size=7, width=4, num_attributes=num_attributes)(torch.randn(2, 7), attributes)
    assert faces.shape == (2, 3, size, size)
    assert faces.abs().max() <= 1
    for normalization in ("batch", "spectral", "none"):
        judge = Discriminator(size, width=4, num_attributes=num_attributes, normalization=normalization)
        logits, seen = judge(faces, attributes)
        assert logits.shape == (2,)
        assert seen is None
    output = Discriminator(size, width=4, num_attributes=num_attributes, classifies=True)(faces, attributes)
    assert output.attributes is None if num_attributes == 0 else output.attributes.shape == (2, num_attributes)


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_each_generator_layer_doubles_the_side_length(size: int) -> None:
    sides = []
    network = Generator(size, width=4)
    for layer in network.layers:
        if isinstance(layer, nn.ConvTranspose2d):
            layer.register_forward_hook(lambda module, given, output: sides.append(tuple(output.shape[1:])))
    network(torch.randn(2, 100))
    assert [side for _, side, _ in sides] == [8 * 2**k for k in range(len(sides))]
    assert sides[-1] == (3, size, size)


def test_the_default_networks_have_the_channels_of_the_notebook() -> None:
    generator, judge = Generator(), Discriminator()
    assert generator.spread.weight.shape == (128 * 4 * 4, 100)
    assert [m.out_channels for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)] == [64, 32, 3]
    assert [m.out_channels for m in judge.modules() if isinstance(m, nn.Conv2d)] == [32, 64, 128]
    assert judge.judge.weight.shape == (1, 128 * 4 * 4)


def test_the_first_and_last_layers_equal_the_convolutions_of_a_dcgan() -> None:
    generator, judge = Generator(16, width=4).eval(), Discriminator(16, width=4).eval()
    first = nn.ConvTranspose2d(100, 8, 4, bias=False)
    first.weight.data = generator.spread.weight.view(4, 4, 8, 100).permute(3, 2, 0, 1)  # (100, 8, 4, 4)
    latents = torch.randn(3, 100)
    by_convolution = generator.layers(first(latents[:, :, None, None]))
    assert torch.allclose(generator(latents), by_convolution, atol=1e-6)
    last = nn.Conv2d(8, 1, 4, bias=False)
    last.weight.data = judge.judge.weight.view(1, 4, 4, 8).permute(0, 3, 1, 2)
    faces = torch.randn(3, 3, 16, 16)
    assert torch.allclose(judge(faces).logits, last(judge.layers(faces)).flatten(), atol=1e-6)


def test_attributes_change_faces_and_logits() -> None:
    torch.manual_seed(0)
    latents, yes, no = torch.randn(4, 100), torch.ones(4, 2), torch.zeros(4, 2)
    generator, judge = Generator(num_attributes=2).eval(), Discriminator(num_attributes=2).eval()
    assert not torch.allclose(generator(latents, yes), generator(latents, no))
    faces = generator(latents, yes)
    assert not torch.allclose(judge(faces, yes).logits, judge(faces, no).logits)


def test_the_projection_depends_on_the_position() -> None:
    """A feature gives different logits at different positions. With a mean over positions, they would be equal."""
    judge = Discriminator(8, width=4, num_attributes=1).eval()
    judge.layers = nn.Identity()
    judge.judge.weight.data.zero_()
    judge.projection.weight.data = torch.arange(4 * 4 * 4.0).view(64, 1)  # flattened (H, W, C)
    features = torch.zeros(2, 4, 4, 4)
    features[0, 1, 0, 0] = features[1, 1, 3, 2] = 1
    yes, no = judge(features, torch.ones(2, 1)).logits, judge(features, torch.zeros(2, 1)).logits
    assert yes.tolist() == pytest.approx([1 / 16, ((3 * 4 + 2) * 4 + 1) / 16])
    assert no.tolist() == pytest.approx((-yes).tolist())


def test_predicted_attributes_do_not_depend_on_the_given_attributes() -> None:
    judge = Discriminator(16, width=4, num_attributes=2, classifies=True).eval()
    faces = torch.randn(4, 3, 16, 16)
    first, second = judge(faces, torch.ones(4, 2)), judge(faces, torch.zeros(4, 2))
    assert torch.equal(first.attributes, second.attributes)
    assert not torch.allclose(first.logits, second.logits)


def test_spectral_normalisation_sets_the_largest_singular_value_to_one() -> None:
    judge = Discriminator(normalization="spectral")
    for _ in range(30):  # each forward pass in training performs one power iteration
        judge(torch.randn(4, 3, 32, 32))
    for layer in judge.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in judge.modules())


@pytest.mark.parametrize("size", [0, 4, 33, 48])
def test_a_size_that_is_not_a_power_of_two_is_rejected(size: int) -> None:
    with pytest.raises(UserError, match=f"^image_size={size} must be a power of 2 from 8 to 256"):
        Generator(size)


def test_latents_of_the_wrong_shape_are_rejected() -> None:
    with pytest.raises(UserError, match=r"expects latents of shape \(B, 100\), but got \(2, 64\)"):
        Generator()(torch.randn(2, 64))


@pytest.mark.parametrize("network", [Generator(16, width=4, num_attributes=2), Discriminator(16, 4, num_attributes=2)])
def test_missing_or_misshapen_attributes_are_rejected(network: nn.Module) -> None:
    given = torch.randn(3, 100) if isinstance(network, Generator) else torch.randn(3, 3, 16, 16)
    for attributes, found in ((None, "none"), (torch.ones(3, 1), r"\(3, 1\)")):
        with pytest.raises(UserError, match=rf"expects attributes of shape \(3, 2\), but got {found}"):
            network(given, attributes)


def test_an_unknown_normalisation_is_rejected() -> None:
    with pytest.raises(UserError, match=r"^normalization=spectrl must be one of batch, .* Did you mean 'spe"):
        Discriminator(normalization="spectrl")
