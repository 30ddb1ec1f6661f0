"""The public digits that this domain's references are trained on, as images in [-1, 1] and as a LightningDataModule."""

from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset

from svlearn.arguments import as_seed, integer
from svlearn.assets import fetch
from svlearn.domains.images.digits.idx import read_idx
from svlearn.files import user_path
from svlearn.rollouts.batches import Batches, Shuffled

IMAGES, LABELS = "images/mnist_t10k-images-idx3-ubyte.gz", "images/mnist_t10k-labels-idx1-ubyte.gz"
SIZE, CLASSES = 28, 10
HELD_OUT = {"validation": 500, "test": 500}
PARTS = ("train", *HELD_OUT)


def read(images: str | Path | None = None, labels: str | Path | None = None) -> tuple[Tensor, Tensor]:
    """The digits (N, 1, 28, 28) in [-1, 1], background -1, and their classes (N,), long.

    images, labels: the packed idx files; None: the public ones, fetched where they are not there yet. Raises ValueError
    for a file that is not idx, images of another size, a label that is no digit, and unequal numbers of the two.
    """
    path, named = (
        fetch(each) if file is None else user_path(file) for each, file in ((IMAGES, images), (LABELS, labels))
    )
    pixels, classes = read_idx(path, 3), read_idx(named, 1)
    if pixels.shape[1:] != (SIZE, SIZE):
        raise ValueError(f"{path}: expected images of {SIZE} x {SIZE}, got {tuple(pixels.shape[1:])}")
    if len(pixels) != len(classes):
        raise ValueError(f"{named}: expected a label of each of {len(pixels)} images, got {len(classes)}")
    if len(classes) and int(classes.max()) >= CLASSES:
        raise ValueError(f"{named}: expected labels of 0 ... {CLASSES - 1}, got {int(classes.max())}")
    return (pixels.float() / 127.5 - 1).unsqueeze(1), classes.long()


def split(number: int) -> dict[str, Tensor]:
    """Which of `number` digits are in each of PARTS, long: by the order of the SHA-256 of their numbers.

    The last 500 of the order are the test part, the 500 before them the validation part. Raises ValueError where
    nothing is left to train on.
    """
    held_out = sum(HELD_OUT.values())
    if number <= held_out:
        raise ValueError(f"images: expected more than the {held_out} that are held out, got {number}")
    order = torch.tensor(sorted(range(number), key=lambda place: sha256(str(place).encode()).digest()))
    return dict(zip(PARTS, order.split([number - held_out, *HELD_OUT.values()])))


def part(name: str, images: str | Path | None = None, labels: str | Path | None = None) -> tuple[Tensor, Tensor]:
    """`read`, of one part: "train", "validation" or "test"."""
    if name not in PARTS:
        raise ValueError(f"name: expected one of {', '.join(PARTS)}, got {name!r}")
    pixels, classes = read(images, labels)
    rows = split(len(pixels))[name]
    return pixels[rows], classes[rows]


class DigitData(pl.LightningDataModule):
    """Batches of digits (B, 1, 28, 28) in [-1, 1] and their classes (B,), in an order fixed by the seed.

    images, labels: as of `read`. Raises ValueError for fewer digits to train on than a batch.
    """

    def __init__(self, images: str | None = None, labels: str | None = None, batch_size: int = 64, seed: int = 0):
        super().__init__()
        self.images, self.labels = images, labels
        self.batch_size, self.seed = integer(batch_size, "batch_size"), as_seed(seed)

    def prepare_data(self) -> None:
        read(self.images, self.labels)

    def setup(self, stage: str | None = None) -> None:
        pixels, classes = read(self.images, self.labels)
        rows = split(len(pixels))
        self.train, self.validation, self.test = (
            TensorDataset(pixels[rows[name]], classes[rows[name]]) for name in PARTS
        )
        if len(self.train) < self.batch_size:
            raise ValueError(
                f"images: expected at least batch_size = {self.batch_size} to train on, got {len(self.train)}"
            )

    def train_dataloader(self) -> Batches:
        number = len(self.train)
        order = Shuffled(torch.arange(number), self._generator)
        return Batches(self.train, order, number, self.batch_size, self, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        batches = BatchSampler(SequentialSampler(range(len(self.validation))), 250, drop_last=False)
        return DataLoader(cast(Any, self.validation), sampler=batches, batch_size=None, collate_fn=lambda rows: rows)

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed % 2**63)
