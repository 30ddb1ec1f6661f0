"""How small or large an image is as a JPEG file, the rewards of DDPO: a black box, without a gradient."""

import io
from typing import Any

from PIL import Image

from svlearn.domains.images.rewards.scoring import ImageFunction

QUALITY = 95
LARGEST = -10_000.0  # kB; 0 would be the best of all


class Incompressibility(ImageFunction):
    """r(x) = the size of x as a JPEG file of quality 95, in kB (1,000 bytes), of images (B, C, H, W) in [0, 1], (B,).

    By Pillow, in worker processes; one channel is written as a grey image. An image that cannot be written, or takes
    too long, has 0. num_workers, options: those of `Scorer`.
    Source: DDPO (arXiv 2305.13301, section 5 and its code).
    """

    def __init__(self, num_workers: int | None = None, **options: Any):
        super().__init__(jpeg_size, num_workers=num_workers, **options)


class Compressibility(ImageFunction):
    """r(x) = minus the size of x as a JPEG file of quality 95, in kB (1,000 bytes): see `Incompressibility`.

    failure_score: of an image that cannot be written, or takes too long; by default below that of any file.
    """

    def __init__(self, num_workers: int | None = None, failure_score: float = LARGEST, **options: Any):
        super().__init__(minus_jpeg_size, num_workers=num_workers, failure_score=failure_score, **options)


def jpeg_size(image: Image.Image) -> float:
    """The size of an image as a JPEG file of quality 95, in kB (1,000 bytes)."""
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=QUALITY)
    return file.tell() / 1000


def minus_jpeg_size(image: Image.Image) -> float:
    """Minus `jpeg_size`."""
    return -jpeg_size(image)
