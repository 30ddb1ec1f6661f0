"""Sizes of JPEG files, by Pillow itself; how pixels are rounded; many images in a pool."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from svlearn.domains.images.rewards import Compressibility, ImageCodec, ImageFunction, Incompressibility
from svlearn.scoring import Counts
from svlearn.targets import NonFiniteError


@pytest.fixture
def made():
    """Makes rewards, whose workers end with the test."""
    held = []

    def make(kind, *arguments, **options):
        held.append(kind(*arguments, **{"num_workers": 1, **options}))
        return held[-1]

    yield make
    for reward in held:
        reward.scorer.close()


def by_pillow(pixels: np.ndarray) -> float:
    """Of uint8 (H, W, 3) or (H, W)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=95)
    return len(file.getvalue()) / 1000


def mean_of(image: Image.Image) -> float:
    return float(np.asarray(image, dtype=float).mean())


@pytest.mark.parametrize("channels", [1, 3])
def test_sizes_are_those_of_pillow(made, generator, channels):
    images = torch.rand(4, channels, 24, 40, generator=generator)
    images[0] = 0.5
    pixels = np.round(images.numpy() * np.float32(255)).astype(np.uint8).transpose(0, 2, 3, 1)
    wanted = [by_pillow(each if channels == 3 else each[..., 0]) for each in pixels]
    assert made(Incompressibility)(images).tolist() == pytest.approx(wanted, rel=1e-6)
    assert made(Compressibility)(images).tolist() == pytest.approx([-each for each in wanted], rel=1e-6)
    assert wanted[0] < min(wanted[1:])


def test_pixels_are_rounded_to_the_nearest_level():
    levels = torch.tensor([0.0, 0.49, 0.51, 1.49, 254.4, 254.6, 255.0, -0.2, 255.2]).view(1, 1, 3, 3) / 255
    codec = ImageCodec()
    (key,) = codec.keys(levels)
    image = codec.read(codec.text(key))
    assert image.mode == "L" and np.asarray(image).tolist() == [[0, 0, 1], [1, 254, 255], [255, 0, 255]]


def test_colours_and_sides_stand_where_they_stood():
    images = torch.zeros(1, 3, 2, 3)
    images[0, 0, 0, 2], images[0, 2, 1, 0] = 1.0, 0.4
    codec = ImageCodec()
    image = codec.read(codec.text(codec.keys(images)[0]))
    assert image.mode == "RGB" and image.size == (3, 2)
    assert image.getpixel((2, 0)) == (255, 0, 0) and image.getpixel((0, 1)) == (0, 0, 102)


def test_a_large_batch_goes_through_the_pool(made, generator):
    images = torch.randint(256, (80, 1, 8, 8), generator=generator).float() / 255
    reward = made(ImageFunction, mean_of, num_workers=2, per_task=8, memory=16)
    rewards = reward(torch.cat([images, images[:40]]))
    assert torch.allclose(rewards[:80], 255 * images.mean((1, 2, 3)), atol=1e-4)
    assert torch.equal(rewards[80:], rewards[:40])
    assert reward.scorer.counts == Counts(asked=120, built=80, scored=80) and reward.scorer.known == 16


def test_a_nan_is_refused_at_each_call(made):
    reward, images = made(Compressibility), torch.rand(2, 1, 8, 8)
    reward(images)
    images[1, 0, 3, 3] = math.nan
    with pytest.raises(NonFiniteError, match="NaN at index 1"):
        reward(images)


def test_what_fails_is_not_logged_pixel_by_pixel(made, caplog):
    reward = made(ImageFunction, raises_on_black)
    assert reward(torch.stack([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)])).tolist() == [0.0, 1.0]
    assert "could not be scored" in caplog.text and len(caplog.text) < 2000


def raises_on_black(image: Image.Image) -> float:
    if mean_of(image) == 0:
        raise ValueError("all black")
    return 1.0


def test_an_image_that_cannot_be_written_has_no_good_reward(made):
    """JPEG has at most 65,535 pixels a side."""
    small, large = made(Compressibility), made(Incompressibility)
    good, bad = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 1, 65_536)
    for reward, worst in ((small, -10_000), (large, 0)):
        assert reward(good)[0] > reward(bad)[0] == worst
        assert len(reward.scorer.failures) == 1
    assert made(Compressibility, failure_score=-7.0)(good)[0] > -7
