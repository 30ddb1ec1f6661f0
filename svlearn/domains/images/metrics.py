"""Figures of drawn images: how far they are from each other, and how many are different ones."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from svlearn.arguments import each_of, expect, integer

MAX_COMPARED = 256  # images that `describe` compares pair by pair, spread over all,
SIDE = 64  # at so many pixels of the longer side


def describe(images: Sequence[Image.Image]) -> dict[str, float]:
    """The figures that a comparison lists beside the reward: diversity (`mean_pixel_distance`) and `uniqueness`."""
    return {"uniqueness": uniqueness(images), "diversity": mean_pixel_distance(images)}


def uniqueness(images: Sequence[Image.Image]) -> float:
    """Different images an image, in (0, 1], different in a pixel of 8 bits; NaN of none."""
    images = _listed(images)
    different = {(image.mode, image.size, image.tobytes()) for image in images}
    return len(different) / len(images) if images else math.nan


def mean_pixel_distance(
    images: Sequence[Image.Image], max_compared: int = MAX_COMPARED, side: int | None = SIDE
) -> float:
    """The mean over pairs i < j of the root mean square of x_i - x_j over pixels and channels, in [0, 1], of images in
    [0, 1]; 0: all are one image, 1: a black one and a white one; NaN for fewer than two.

    Of at most max_compared images, evenly spread over all. Images whose longer side is more than `side` pixels are
    shrunk to it, by means of boxes, so that fine noise counts less than what is shown; None: as they are.
    Raises ValueError for images of different sizes or modes.
    """
    images, most = _listed(images), integer(max_compared, "max_compared", 2)
    if len(images) < 2:
        return math.nan
    forms = {(image.mode, image.size) for image in images}
    if len(forms) > 1:
        one, other = sorted(forms)[:2]
        raise ValueError(f"images: expected one mode and size, got {one[0]} {one[1]} and {other[0]} {other[1]}")
    places = np.linspace(0, len(images) - 1, min(len(images), most)).astype(int)
    rows = torch.stack([_pixels(images[place], side) for place in places])
    return float(torch.pdist(rows).mean()) / math.sqrt(rows.shape[1])


def _listed(images: Sequence[Image.Image]) -> list[Image.Image]:
    """Raises TypeError for one image instead of a list, and for what is none."""
    return [expect(each, Image.Image, "images") for each in each_of(images, Image.Image, "images")]


def _pixels(image: Image.Image, side: int | None) -> torch.Tensor:
    """In [0, 1], as one row."""
    longest = max(image.size)
    if side is not None and longest > integer(side, "side"):
        width, height = (max(1, round(each * side / longest)) for each in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    return torch.from_numpy(np.array(image)).double().flatten() / 255
