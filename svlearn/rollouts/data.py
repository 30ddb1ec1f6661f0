"""Serve stored trajectories to training, a batch by one indexing operation."""

import os

import pytorch_lightning as pl
import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import as_seed, integer
from svlearn.randomness import seeded
from svlearn.rollouts.batches import Batches, Shuffled
from svlearn.rollouts.kept import labelled_states
from svlearn.rollouts.store import Rollouts

SPLIT, ORDER = 0, 1  # streams of randomness


class RolloutData(pl.LightningDataModule):
    """Batches of the rollouts at `path`: TensorDicts of "states" (B, T + 1, ...) and, if stored, "rewards" (B,)
    and "log_ratios" (B, T).

    A permutation seeded by `seed` splits the trajectories: round(validation_fraction · N) of them validate, the rest
    train, in an order that is drawn anew in every epoch and depends on (seed, epoch) alone: a resumed training is
    served what it has not yet seen of its epoch. Reading stays in this process, for a batch is one copy out of a memory
    map. Of a store of some times of each trajectory, the states of a batch stand by themselves, each with its time and
    the reward of its trajectory (see `kept.labelled_states`). Raises ValueError for arguments out of range, and where
    one side of the split would be empty although it was asked for; `setup` raises what `Rollouts.open` does.
    """

    rollouts: Rollouts
    training_rows: Tensor
    validation_rows: Tensor

    def __init__(
        self, path: str | os.PathLike, *, batch_size: int = 256, validation_fraction: float = 0.1, seed: int = 0
    ):
        super().__init__()
        if not 0 <= validation_fraction < 1:
            raise ValueError(f"validation_fraction: expected a number in [0, 1), got {validation_fraction}")
        self.path, self.batch_size = path, integer(batch_size, "batch_size")
        self.validation_fraction, self.seed = validation_fraction, as_seed(seed)

    def setup(self, stage: str | None = None) -> None:
        """Open the store and split it; the split depends on N, the fraction and the seed alone."""
        self.rollouts = Rollouts.open(self.path)
        size = len(self.rollouts)
        held_out = round(self.validation_fraction * size)
        if held_out == size or (held_out == 0 and self.validation_fraction > 0):
            raise ValueError(
                f"validation_fraction: expected one that leaves trajectories on both sides of {size}, "
                f"got {self.validation_fraction}"
            )
        order = torch.randperm(size, generator=seeded("cpu", self.seed, SPLIT))
        self.validation_rows, self.training_rows = order[:held_out], order[held_out:]

    def train_dataloader(self) -> Batches:
        order = Shuffled(self.training_rows, lambda: seeded("cpu", self.seed, ORDER))
        return Batches(Served(self.rollouts), order, len(self.training_rows), self.batch_size, self)

    def val_dataloader(self) -> Batches:
        return Batches(
            Served(self.rollouts), lambda epoch: self.validation_rows, len(self.validation_rows), self.batch_size, self
        )


class Served:
    """Rollouts by rows, as training takes them."""

    def __init__(self, rollouts: Rollouts):
        self.rollouts = rollouts

    def __getitem__(self, rows: list[int]) -> TensorDict:
        return labelled_states(self.rollouts[rows])


def held_out(path: str | os.PathLike, *, validation_fraction: float = 0.1, seed: int = 0) -> TensorDict:
    """The trajectories of a store that `RolloutData` of the same fraction and seed trains nothing on, in memory: to
    judge a value by, or to choose between two. Raises as `RolloutData` does."""
    data = RolloutData(path, validation_fraction=validation_fraction, seed=seed)
    data.setup()
    if data.rollouts.request.times is not None:
        kept = data.rollouts.request.times
        raise ValueError(f"{data.rollouts.path}: expected whole trajectories, got some times of each (times = {kept})")
    return data.rollouts[data.validation_rows]
