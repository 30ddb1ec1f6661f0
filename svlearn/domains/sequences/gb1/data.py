"""Functional variants of GB1 as a LightningDataModule: what the shipped reference is trained on, and the rest."""

from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from svlearn.arguments import as_seed, integer, real
from svlearn.domains.sequences.gb1.table import read_measurements
from svlearn.randomness import seeded
from svlearn.rollouts.batches import Batches, Shuffled


class GB1Data(pl.LightningDataModule):
    """Batches of variants (B, 4) of at least `functional` of the wild type's fitness, in an order fixed by the seed.

    They are split in two by the seed: a `share` of them is trained on, the rest is held out. path: as of
    `read_measurements`. Raises ValueError as that, for numbers out of range, and for fewer variants than a batch.
    """

    train: Tensor
    validation: Tensor

    def __init__(
        self,
        path: str | None = None,
        functional: float = 0.1,
        share: float = 0.5,
        batch_size: int = 512,
        seed: int = 0,
    ):
        super().__init__()
        self.path = None if path is None else Path(path)
        self.functional, self.share = real(functional, "functional", least=0), real(share, "share", 0, 1)
        self.batch_size, self.seed = integer(batch_size, "batch_size"), as_seed(seed)

    def setup(self, stage: str | None = None) -> None:
        measurements = read_measurements(self.path)
        variants = measurements.tokens[measurements.fitness >= self.functional]
        order = torch.randperm(len(variants), generator=seeded("cpu", self.seed))
        number = round(self.share * len(variants))
        if number < self.batch_size or number == len(variants):
            raise ValueError(
                f"share: expected a batch of {self.batch_size} to train on and some to hold out, got {number} of "
                f"{len(variants)} variants of fitness {self.functional} and above"
            )
        self.train, self.validation = variants[order[:number]], variants[order[number:]]

    def train_dataloader(self) -> Batches:
        number = len(self.train)
        sampler = Shuffled(torch.arange(number), self._generator)
        return Batches(self.train, sampler, number, self.batch_size, self, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(cast(Any, self.validation), batch_size=self.batch_size, collate_fn=torch.stack)

    def _generator(self) -> torch.Generator:
        return seeded("cpu", self.seed, 1)
