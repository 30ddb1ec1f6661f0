"""Figures of drawn images, against numbers worked out by hand."""

import math

import numpy as np
import pytest
from diffusers import DDPMScheduler
from image_toys import small_unet
from PIL import Image

import svlearn as sv
from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.metrics import describe, mean_pixel_distance, uniqueness
from svlearn.randomness import seeded


def grey(*pixels, size=(2, 2)):
    return Image.fromarray(np.array(pixels, dtype=np.uint8).reshape(size), "L")


def test_the_distance_is_the_mean_over_pairs():
    """√(255²/4)/255 = 1/2 of the first pair, √(2/4) and √(1/4) of the others."""
    images = [grey(0, 0, 0, 0), grey(255, 0, 0, 0), grey(255, 255, 0, 0)]
    assert mean_pixel_distance(images) == pytest.approx((0.5 + math.sqrt(0.5) + 0.5) / 3)
    assert mean_pixel_distance([Image.new("RGB", (3, 2)), Image.new("RGB", (3, 2), (255, 0, 0))]) == pytest.approx(
        math.sqrt(1 / 3)
    )


def test_fine_noise_of_large_images_counts_less_than_what_they_show():
    noise = np.indices((128, 128)).sum(axis=0) % 2 * 255
    board, inverse = (Image.fromarray(each.astype(np.uint8), "L") for each in (noise, 255 - noise))
    assert mean_pixel_distance([board, inverse], side=None) == pytest.approx(1)
    assert mean_pixel_distance([board, inverse]) == pytest.approx(0, abs=1e-6)
    assert mean_pixel_distance([Image.new("L", (128, 64)), Image.new("L", (128, 64), 255)]) == pytest.approx(1)


def test_of_many_images_some_are_compared_spread_over_all():
    """The first half black, the rest white: of 4 that are spread, 4 of 6 pairs are one of each."""
    images = [grey(*[shade] * 4) for shade in [0] * 50 + [255] * 50]
    assert mean_pixel_distance(images, max_compared=4) == pytest.approx(4 / 6)


def test_uniqueness_counts_images_that_differ_in_a_pixel():
    images = [grey(1, 2, 3, 4), grey(1, 2, 3, 4), grey(1, 2, 3, 5), grey(1, 2, 3, 4, size=(1, 4))]
    assert uniqueness(images) == 0.75
    assert math.isnan(uniqueness([]))
    assert math.isnan(describe([grey(0, 0, 0, 0)])["diversity"])


def test_images_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="expected one mode and size, got L .2, 2. and RGB .2, 2."):
        mean_pixel_distance([grey(0, 0, 0, 0), Image.new("RGB", (2, 2))])
    with pytest.raises(TypeError, match="images: expected a list"):
        uniqueness(grey(0, 0, 0, 0))
    with pytest.raises(TypeError, match="images: expected"):
        uniqueness([None])


def test_a_comparison_lists_them_beside_the_reward():
    reference = DiffusersReference(small_unet(), num_steps=3, scheduler=DDPMScheduler())
    target = sv.Target(lambda x: x.mean(dim=(1, 2, 3)), alpha=0.1)
    figures = sv.compare({"plain": sv.ancestral(reference, target)}, 5).figures["plain"]
    drawn = sv.ancestral(reference, target).sample(5, generator=seeded("cpu", 0)).states[:, 0]
    assert figures["uniqueness"] == 1
    assert figures["diversity"] == pytest.approx(mean_pixel_distance(reference.decode(drawn)))
