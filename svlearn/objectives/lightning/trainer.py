"""The Lightning trainer of objectives: its fits leave the caller's modules as they were, and can be stopped."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import RichProgressBar, TQDMProgressBar

from svlearn.fingerprint import fingerprint
from svlearn.objectives.lightning.fit_modes import fit_modes
from svlearn.objectives.lightning.last_checkpoint import settle_checkpoints
from svlearn.objectives.lightning.module import without_profiler
from svlearn.objectives.lightning.precision import converts, kept_precision
from svlearn.objectives.lightning.resumption import Resumption
from svlearn.objectives.lightning.step_progress import StepProgress
from svlearn.objectives.lightning.termination import Termination
from svlearn.objectives.objective import Objective
from svlearn.placement import check_float64, left_in_place, placed


class Trainer(pl.Trainer):
    """A `pytorch_lightning.Trainer`, whose `fit` does what is the same for all trainings of svlearn.

    Of an objective the reference, and all else that is not trained, runs in evaluation mode, and every module has its
    mode, its precision and its device again afterwards, also after an exception (`fit_modes`, `kept_precision`,
    `placement`). What the objective uses and is no part of it, such as a module reward, is on its device meanwhile.
    Checkpoints of a run and of those that go on with it are in one folder (`settle_checkpoints`), and are read with
    `weights_only`; the run goes on to the bit as it would have (`Resumption`).
    SIGTERM leaves a checkpoint and ends with status 143 (`Termination`). Progress is counted in optimiser steps
    (`StepProgress`), unless a progress bar of other settings than Lightning's own is among the callbacks.
    """

    def fit(self, model: pl.LightningModule, *arguments: Any, **options: Any) -> None:
        """As Lightning's."""
        settle_checkpoints(self)
        callbacks: list[Any] = self.callbacks  # type: ignore[attr-defined]
        callbacks[:] = [StepProgress() if _is_default_bar(each) else each for each in callbacks]
        for kind in (Resumption, Termination):
            if not any(isinstance(each, kind) for each in callbacks):
                callbacks.append(kind())
        if options.get("ckpt_path") is not None:
            options = {"weights_only": True} | options
        with _left_as_it_was(without_profiler(self), model):
            super().fit(model, *arguments, **options)


@contextmanager
def _left_as_it_was(trainer: pl.Trainer, model: pl.LightningModule) -> Iterator[None]:
    if not isinstance(model, Objective):
        yield
        return
    trained = model.trained()
    with ExitStack() as stack:
        if converts(trainer):
            model.known_fingerprint = fingerprint(model.reference)
            stack.callback(setattr, model, "known_fingerprint", None)
        check_float64(trainer.strategy.root_device)
        stack.enter_context(left_in_place(model))
        stack.callback(_move, model, model.device)
        stack.enter_context(placed(trainer.strategy.root_device, *model.frozen_parts(), but=model))
        stack.enter_context(fit_modes(model, trained, model.reference, *model.frozen_parts()))
        stack.enter_context(kept_precision(trainer, model, trained))
        yield


def _move(model: pl.LightningModule, device: torch.device) -> None:
    if model.device != device:  # Lightning leaves all on the CPU
        model.to(device)


def _is_default_bar(callback: Any) -> bool:
    kind = type(callback)
    if kind not in (TQDMProgressBar, RichProgressBar):
        return False
    return callback.refresh_rate == kind().refresh_rate and not getattr(callback, "_leave", False)
