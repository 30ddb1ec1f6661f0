"""Images as CLIP reads them: against transformers' own processor on 8-bit images, and by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from svlearn.domains.images.rewards.preprocessing import MEAN, STD, cropped, normalised, padded, resized

transformers = pytest.importorskip("transformers")


def processor(size):
    """The one that needs Pillow alone."""
    kind = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)
    return kind(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96), (101, 64), (32, 45), (20, 30)])
def test_pixels_are_those_of_transformers(height, width, generator):
    """Pillow rounds twice to 256 levels, once after each direction: half a level, times the sum of a bicubic kernel's
    weights without their signs, below 1.4, and half a level more."""
    coarse = torch.rand(1, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    images = (255 * (smooth + 0.1 * torch.rand(1, 3, height, width, generator=generator)) / 1.1).round() / 255
    picture = Image.fromarray((images[0] * 255).round().byte().permute(1, 2, 0).numpy())
    wanted = processor(32)(images=[picture], return_tensors="np")["pixel_values"]
    pixels = normalised(cropped(images, 32)).numpy()
    assert pixels.shape == wanted.shape == (1, 3, 32, 32)
    difference = np.abs(pixels - wanted) * 255 * np.array(STD).reshape(3, 1, 1)
    assert difference.max() < 1.2 and difference.mean() < 0.4


def test_an_image_of_the_right_size_is_normalised_alone(generator):
    images = torch.rand(2, 3, 32, 32, generator=generator)
    assert torch.equal(cropped(images, 32), images) and torch.equal(padded(images, 32), images)
    by_hand = (images[1, 2, 5, 7] - MEAN[2]) / STD[2]
    assert normalised(images)[1, 2, 5, 7] == by_hand


def test_grey_images_have_three_equal_channels(generator):
    images = torch.rand(2, 1, 40, 40, generator=generator)
    assert torch.equal(cropped(images, 32), cropped(images.expand(-1, 3, -1, -1), 32))


def test_the_longer_side_is_padded_with_black():
    images = torch.ones(1, 3, 20, 31)
    square = padded(images, 16)  # 20 · 16/31 is 10.3
    assert square.shape == (1, 3, 16, 16)
    assert square.sum(dim=(1, 3))[0].tolist() == pytest.approx([0.0] * 3 + [48.0] * 10 + [0.0] * 3, abs=1e-4)
    assert torch.allclose(padded(images.mT, 16), square.mT, atol=1e-6)


def test_the_gradient_passes_and_numbers_stay_in_the_range(generator):
    images = torch.rand(1, 3, 48, 40, generator=generator, dtype=torch.float64).round().requires_grad_()
    small = resized(images, 24, 20)
    assert small.dtype == torch.float64 and small.min() >= 0 and small.max() <= 1
    cropped(images, 24).sum().backward()
    assert images.grad.abs().sum() > 0
