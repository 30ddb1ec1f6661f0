"""The idx format of the MNIST files: a magic number, the length of each dimension, and the bytes; packed with gzip."""

import gzip
import math
from pathlib import Path

import torch
from torch import Tensor

from svlearn.unpacking import DAMAGED

BYTES = 8  # the code of unsigned bytes
MOST = 2**27  # bytes


def read_idx(path: Path, num_dimensions: int) -> Tensor:
    """The array of a packed idx file of unsigned bytes, uint8, of so many dimensions.

    Raises ValueError, with the path, for a file that is damaged or none of these, and for one of more than MOST bytes.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(MOST + 1)
    except DAMAGED as error:
        raise ValueError(f"{path}: expected an idx file packed with gzip, got what is none ({error})") from error
    if len(content) > MOST:
        raise ValueError(f"{path}: expected an idx file of at most {MOST} bytes, got a longer one")
    magic, header = bytes([0, 0, BYTES, num_dimensions]), 4 + 4 * num_dimensions
    if content[:4] != magic or len(content) < header:
        wanted = f"an idx file of unsigned bytes in {num_dimensions} dimensions, which begins with {magic.hex()}"
        raise ValueError(f"{path}: expected {wanted}, got {len(content)} bytes that begin with {content[:4].hex()}")
    shape = [int.from_bytes(content[place : place + 4], "big") for place in range(4, header, 4)]
    if 0 in shape:
        raise ValueError(f"{path}: expected at least one entry, got an array of shape {tuple(shape)}")
    if len(content) - header != math.prod(shape):
        size = " x ".join(map(str, shape))
        raise ValueError(f"{path}: expected {size} = {math.prod(shape)} bytes, got {len(content) - header}")
    return torch.frombuffer(bytearray(content[header:]), dtype=torch.uint8).view(shape)
