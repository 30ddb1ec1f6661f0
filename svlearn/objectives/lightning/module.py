"""A LightningModule whose steps cost less: what Lightning does at each of them for nobody's use is left out.

`python -m benchmarks training_overhead` measures what remains.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.profilers import PassThroughProfiler

NOTHING = nullcontext()


class Module(pl.LightningModule):
    """As its base in all that it does."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Lightning notes which hook it is in, 46 times a step; `nn.Module` would ask each time if that is a weight."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """A number has no device; anything else goes Lightning's way."""
        return batch if isinstance(batch, int) else super().transfer_batch_to_device(batch, device, dataloader_idx)


class Unprofiled(PassThroughProfiler):
    """Lightning's profiler for those who want none, without a new context for each of a step's twenty actions."""

    def profile(self, action_name: str) -> AbstractContextManager:
        return NOTHING


def without_profiler(trainer: pl.Trainer) -> pl.Trainer:
    """The trainer, of which the default profiler costs nothing; one that was asked for stays."""
    settings = cast(Any, trainer)  # Lightning sets the profiler elsewhere
    if type(settings.profiler) is PassThroughProfiler:
        settings.profiler = Unprofiled()
    return trainer
