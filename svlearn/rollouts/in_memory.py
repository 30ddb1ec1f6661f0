"""Serve trajectories, or states with labels, that are in memory to training."""

import pytorch_lightning as pl
import torch
from tensordict import TensorDict

from svlearn.arguments import as_seed, integer
from svlearn.randomness import seeded
from svlearn.rollouts.batches import Batches, Shuffled

ORDER = 1  # stream of randomness, as of stored rollouts


class InMemoryData(pl.LightningDataModule):
    """Batches of rows in memory: trajectories, as `roll_out` gives them, or labelled states, as `label_survivors` does.

    All rows train, in an order that is drawn anew in every epoch from (seed, stream, epoch); none validates. Raises
    ValueError for no rows and arguments out of range.
    """

    def __init__(self, rows: TensorDict, *, batch_size: int = 256, seed: int = 0, stream: int = ORDER):
        super().__init__()
        integer(len(rows), "rows")
        self.rows, self.batch_size = rows, integer(batch_size, "batch_size")
        self.seed, self.stream = as_seed(seed), stream

    def train_dataloader(self) -> Batches:
        rows = torch.arange(len(self.rows), device="cpu")
        order = Shuffled(rows, lambda: seeded("cpu", self.seed, self.stream))
        return Batches(self.rows, order, len(rows), self.batch_size, self)

    def val_dataloader(self) -> list:
        """Nothing."""
        return []
