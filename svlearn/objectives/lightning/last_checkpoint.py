"""The last state of a fit, kept so that a run which was stopped goes on to the bit."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from svlearn.arguments import real
from svlearn.files import replacing

FOLDER, LAST = "checkpoints", "last.ckpt"
SHARE = 0.05  # of the time, at most, goes into writing it


class WholeFiles(TorchCheckpointIO):
    """Checkpoints written beside their place and renamed: whatever kills the process, there is the old one or the new
    one, on the filesystem where it is to be."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        if "://" in str(path):  # no local file
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with replacing(path) as beside:
            torch.save(checkpoint, beside)


class LastCheckpoint(Checkpoint):
    """Keep `last.ckpt`, one file that is replaced: the state after the latest optimiser step that was written.

    It is written at most every `seconds`, no more often than takes a twentieth of the time, and at the end; no figure
    is monitored, so that it is never an older one. dirpath: its folder; by default that of the trainer's other
    checkpoints, `<default_root_dir>/checkpoints`. Go on from it with `ckpt_path`.
    Raises ValueError and TypeError where `seconds` is not a number of at least 0.
    """

    def __init__(self, seconds: float = 30.0, dirpath: str | None = None):
        super().__init__()
        self.seconds, self.dirpath = real(seconds, "seconds", least=0), dirpath
        self.written, self.took, self.step = 0.0, 0.0, -1

    @property
    def path(self) -> Path:
        """Where it is; the folder is known once a fit has begun."""
        return Path("." if self.dirpath is None else self.dirpath) / LAST

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.written, self.step = time.monotonic(), trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *rest: Any) -> None:
        if self._due() and between_steps(trainer):
            self.save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._due() or trainer.global_step == trainer.max_steps:
            self.save(trainer)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.global_step != self.step:
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> Path:
        """Write it now."""
        start = time.monotonic()
        trainer.save_checkpoint(self.path, weights_only=False)
        self.written, self.step = time.monotonic(), trainer.global_step
        self.took = self.written - start
        return self.path

    def _due(self) -> bool:
        return time.monotonic() - self.written >= max(self.seconds, self.took / SHARE)


def between_steps(trainer: pl.Trainer) -> bool:
    """Whether, at the end of a batch, nothing but the next step is to come: no further micro-batch, no validation, no
    end of an epoch. From elsewhere Lightning does not go on as it would have."""
    loop: Any = trainer.fit_loop.epoch_loop
    if loop._should_accumulate() or trainer.is_last_batch or loop._is_training_done:
        return False
    return not loop._should_check_val_fx(trainer.fit_loop._data_fetcher)


def settle_checkpoints(trainer: pl.Trainer) -> None:
    """One folder for the checkpoints of a run and of those that go on with it, whatever folder each logs to.

    A `ModelCheckpoint` without a folder has `<default_root_dir>/checkpoints`. Its `save_last`, which keeps no later
    state than that of its last best score, becomes a `LastCheckpoint`; this comes after all other callbacks, so that it
    holds what they know.
    """
    home = str(Path(trainer.default_root_dir) / FOLDER)
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    keepers = [each for each in callbacks if isinstance(each, pl.callbacks.ModelCheckpoint)]
    for each in keepers:
        each.dirpath = home if each.dirpath is None else each.dirpath
    lasting = [each for each in callbacks if isinstance(each, LastCheckpoint)]
    savers = [each for each in keepers if each.save_last]
    if savers and not lasting:
        lasting = [LastCheckpoint(dirpath=str(savers[0].dirpath))]
    for each in savers:
        each.save_last = None
    for last in lasting:
        if last.dirpath is None:
            last.dirpath = str(keepers[0].dirpath) if keepers else home
    callbacks[:] = [each for each in callbacks if each not in lasting] + lasting
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = WholeFiles()
