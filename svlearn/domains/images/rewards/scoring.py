"""What a `Scorer` needs to score images, and any function of a Pillow image as a reward."""

from collections.abc import Callable
from typing import Any

from PIL import Image
from torch import Tensor

from svlearn import scoring
from svlearn.domains.images.rewards.checks import check_images
from svlearn.targets import check_no_nan

MEMORY = 256  # images: their bytes are kept twice, some 400 MB for those of 512 x 512 in colour
MODES = {1: "L", 3: "RGB"}


class ImageCodec(scoring.Codec):
    """Images (B, C, H, W) in [0, 1] -> uint8 pixels, round(255 x) -> a Pillow image, which is what a function scores.

    Raises what `check_images` does, and NonFiniteError for NaN.
    """

    noun = "image"
    in_workers = False

    def keys(self, states: Tensor) -> list[bytes]:
        check_images(states, self)
        check_no_nan(states, "T")
        pixels = (states.detach().float() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().contiguous()
        size = "{} {} {}\n".format(*pixels.shape[1:]).encode()
        return [size + image.numpy().tobytes() for image in pixels]

    def text(self, key: bytes) -> str | None:
        return key.decode("latin-1")

    def read(self, text: str) -> Image.Image:
        size, pixels = text.split("\n", maxsplit=1)
        height, width, channels = map(int, size.split())
        return Image.frombytes(MODES[channels], (width, height), pixels.encode("latin-1"))


class ImageFunction(scoring.ScoredReward):
    """r(x) = function(image of x), of images (B, C, H, W) in [0, 1], float32 (B,) on their device.

    function: a callable Pillow image -> float that can be pickled, as one of a module; the image has 8 bits a channel,
    mode "L" or "RGB". It runs in worker processes, on each distinct image once. options: those of `Scorer`, as
    num_workers, timeout and store; memory is 256 images by default.
    Raises what `Scorer` and `ImageCodec` raise.
    """

    def __init__(self, function: Callable[[Image.Image], float], **options: Any):
        super().__init__(scoring.Scorer(function, ImageCodec(), **{"memory": MEMORY, **options}))
