"""The order in which stored rows are served: a function of (seed, epoch), so that a resumed training goes on in it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

Order = Callable[[int], Tensor]  # rows of an epoch


class Shuffled:
    """The rows in an order that is drawn anew in every epoch: permutation number `epoch` of one stream.

    generator: makes the generator of that stream, at its start.
    """

    def __init__(self, rows: Tensor, generator: Callable[[], torch.Generator]):
        self.rows, self.generator = rows, generator
        self.drawn, self.at = 0, generator()
        self.order = rows[:0]

    def __call__(self, epoch: int) -> Tensor:
        if epoch < self.drawn - 1:
            self.drawn, self.at = 0, self.generator()
        while self.drawn <= epoch:
            self.order = self.rows[torch.randperm(len(self.rows), generator=self.at)]
            self.drawn += 1
        return self.order


class Batches:
    """Batches of stored rows for a Lightning trainer, each by one indexing operation, from where its training is.

    store[rows] is a batch; order(epoch) the rows of an epoch; drop_last: whether the rows that do not fill a batch are
    left out. module: the LightningDataModule that serves them. While its trainer fits, the place in the order is the
    number of batches that this training has looked at, in earlier runs as well; elsewhere each iteration is an epoch.
    Of several processes each serves every so manieth batch, some twice where they do not come out even.
    """

    def __init__(
        self,
        store: Any,
        order: Order,
        size: int,
        batch_size: int,
        module: pl.LightningDataModule,
        drop_last: bool = False,
    ):
        self.store, self.order, self.batch_size, self.module = store, order, batch_size, module
        self.number = size // batch_size if drop_last else -(-size // batch_size)
        self.epoch = 0

    def __len__(self) -> int:
        """Batches of an epoch, of this process."""
        return -(-self.number // self._processes()[1])

    def __iter__(self) -> Iterator[Any]:
        trainer = self.module.trainer
        if trainer is not None and trainer.training:
            while True:  # the trainer ends its epochs
                epoch, place = divmod(_looked_at(trainer), int(trainer.num_training_batches))
                yield self._batch(epoch, place)
        epoch, self.epoch = self.epoch, self.epoch + 1
        for place in range(len(self)):
            yield self._batch(epoch, place)

    def _batch(self, epoch: int, place: int) -> Any:
        rank, processes = self._processes()
        start = (place * processes + rank) % self.number * self.batch_size
        return self.store[self.order(epoch)[start : start + self.batch_size].tolist()]

    def _processes(self) -> tuple[int, int]:
        trainer = self.module.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)


def _looked_at(trainer: pl.Trainer) -> int:
    """How many batches the training has been through; one that a checkpoint was written amid counts as done."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.completed
