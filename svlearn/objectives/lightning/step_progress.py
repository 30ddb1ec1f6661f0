"""The progress of a fit in optimiser steps, with its latest figures."""

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar

from svlearn.progress import progress


class StepProgress(ProgressBar):
    """A bar to `max_steps`, whatever the epochs; a line every so often where the output is no terminal, see
    `progress`. Figures are those that are logged with `prog_bar=True`."""

    def __init__(self) -> None:
        super().__init__()
        self.bar: Any = None
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        total = trainer.estimated_stepping_batches
        self.bar = progress(
            total=int(total) if total < float("inf") else None,
            initial=trainer.global_step,
            desc="training",
            unit="steps",
            disable=not self.enabled,
        )

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *rest: Any) -> None:
        new = trainer.global_step - self.bar.n
        if new <= 0 or self.bar.disable:
            return
        if time.time() - self.bar.last_print_t >= self.bar.mininterval:
            self._show_figures(trainer, module)
        self.bar.update(new)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.bar is not None:
            self._show_figures(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self._close()

    def get_metrics(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        """Without the number of the log folder."""
        return {name: x for name, x in super().get_metrics(trainer, module).items() if name != "v_num"}

    def _show_figures(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.bar.set_postfix(self.get_metrics(trainer, module), refresh=False)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
