"""SIGTERM during a fit: the step in hand is finished, its state kept, and the process ends as one that was told to."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from svlearn.objectives.lightning.last_checkpoint import LastCheckpoint, between_steps
from svlearn.progress import say

STATUS = 128 + signal.SIGTERM


class Termination(Checkpoint):
    """Stop a fit at SIGTERM with a checkpoint, and with the exit status 143 of a process that SIGTERM has ended.

    The checkpoint is that of a `LastCheckpoint`, or `stopped_at_step_<k>.ckpt` in `default_root_dir`. SystemExit
    is raised, so that nothing that was to follow a finished training does. A second SIGTERM ends the process at once.
    Of several processes it is Lightning that agrees among them to stop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.signalled = False
        self.before: Any = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.signalled = False
        if trainer.world_size == 1 and threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, self._on_signal)  # Lightning's would stop amid a step

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *rest: Any) -> None:
        if self.signalled and between_steps(trainer):
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.signalled:
            self._stop(trainer)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.signalled:
            self._stop(trainer)
        self._restore()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, SIGTERMException):  # by Lightning, in all processes at once
            self._announce(trainer, self.keep(trainer))
            exception.code = STATUS
        self._restore()

    def keep(self, trainer: pl.Trainer) -> Path:
        """Write the checkpoint to go on from."""
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        for each in callbacks:
            if isinstance(each, LastCheckpoint):
                return each.save(trainer)
        path = Path(trainer.default_root_dir) / f"stopped_at_step_{trainer.global_step}.ckpt"
        trainer.save_checkpoint(path, weights_only=False)
        return path

    def _stop(self, trainer: pl.Trainer) -> None:
        self._announce(trainer, self.keep(trainer))
        raise SystemExit(STATUS)

    def _announce(self, trainer: pl.Trainer, path: Path) -> None:
        if trainer.is_global_zero:
            say(f"SIGTERM: stopped after step {trainer.global_step}; go on from {path}")

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signalled:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        self.signalled = True

    def _restore(self) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)
            self.before = None
