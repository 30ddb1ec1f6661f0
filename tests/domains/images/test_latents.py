"""Latents and their images: chunks, gradients, scales and half precision."""

from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch

from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.pixels import decode_latents


@pytest.mark.parametrize("build", [tiny_pipelines.stable_diffusion, tiny_pipelines.stable_diffusion_3])
def test_chunks_make_the_same_images_and_gradients(build: Any, tmp_path: Path) -> None:
    pipeline = build(tmp_path)
    found = []
    for chunk in (8, 2, 1):
        reference = DiffusersReference(pipeline, 3, decode_chunk=chunk)
        x = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
        images = reference.images(x)
        (gradient,) = torch.autograd.grad((images * images).sum(), x)
        found.append((images.detach(), gradient))
    assert found[0][0].shape == (5, 3, 16, 16)
    for images, gradient in found[1:]:
        torch.testing.assert_close(images, found[0][0])
        torch.testing.assert_close(gradient, found[0][1])


def test_no_more_than_a_chunk_is_decoded_at_once(tmp_path: Path) -> None:
    reference = DiffusersReference(tiny_pipelines.stable_diffusion(tmp_path), 3, decode_chunk=2)
    sizes: list[int] = []
    reference.autoencoder.decoder.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    with torch.no_grad():
        reference.images(torch.randn(5, 4, 8, 8))
    assert sizes == [2, 2, 1]


def test_latents_are_scaled_as_the_configuration_says() -> None:
    mean, std = [0.1, -0.2, 0.3, 0.4], [2.0, 3.0, 4.0, 5.0]
    autoencoder = tiny_pipelines.autoencoder(latents_mean=mean, latents_std=std, scaling_factor=0.5)
    latents = torch.randn(2, 4, 8, 8)
    by_hand = torch.stack([latents[:, i] * std[i] / 0.5 + mean[i] for i in range(4)], dim=1)
    with torch.no_grad():
        expected = autoencoder.decode(by_hand, return_dict=False)[0]
        torch.testing.assert_close(decode_latents(autoencoder, latents, 8), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("force", [True, False])
def test_an_autoencoder_that_overflows_decodes_in_float32(force: bool) -> None:
    """Its first layer is 30,000 times too large, which a norm takes back further on."""
    autoencoder = tiny_pipelines.autoencoder(force_upcast=force)
    with torch.no_grad():
        autoencoder.decoder.conv_in.weight.mul_(3e4)
        autoencoder.decoder.conv_in.bias.mul_(3e4)
    latents = 10 * torch.randn(3, 4, 8, 8)
    with torch.no_grad():
        expected = decode_latents(autoencoder, latents, 8)
        actual = decode_latents(autoencoder.half(), latents, 2)
    assert all(each.dtype == torch.float16 for each in autoencoder.parameters())
    assert bool(actual.isfinite().all()) == force
    if force:  # what differs is the rounding of the weights
        torch.testing.assert_close(actual, expected, atol=0.02, rtol=0.02)
        x = latents.requires_grad_()
        (gradient,) = torch.autograd.grad(decode_latents(autoencoder, x, 2).sum(), x)  # computed again in float32
        assert gradient.isfinite().all() and gradient.abs().sum() > 0


def test_an_image_of_another_size_has_other_latents(tmp_path: Path) -> None:
    pipeline = tiny_pipelines.stable_diffusion_3(tmp_path)
    assert DiffusersReference(pipeline, 3).initial(1)["sample"].shape == (1, 4, 8, 8)
    reference = DiffusersReference(pipeline, 3, height=8, width=24)
    x = reference.initial(2)
    assert x["sample"].shape == (2, 4, 4, 12)
    assert reference.images(x).shape == (2, 3, 8, 24)
    with pytest.raises(ValueError, match="width: expected a multiple of 2 pixels, got 7"):
        DiffusersReference(pipeline, 3, width=7)
    with pytest.raises(ValueError, match="height: expected a multiple of 4 pixels, got 10"):
        DiffusersReference(tiny_pipelines.flux(tmp_path), 3, height=10, width=16)
