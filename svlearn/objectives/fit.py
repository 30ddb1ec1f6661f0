"""Train an objective with a Lightning Trainer, on its own data or on stored rollouts."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from svlearn.arguments import as_python, as_seed, integer
from svlearn.objectives.lightning.trainer import Trainer
from svlearn.objectives.objective import Objective

# Lightning's advice that does not hold here: a batch is made on the device, and depends on (seed, step) alone.
ADVICE = (
    "does not have many workers",
    "logging interval",
    "in eval mode at the start of training",
    "your dataloader is not resumable",
    "callbacks used to create the checkpoint",
    "exists and is not empty",
    "LeafSpec",
    "You have overridden `transfer_batch_to_device`",
)
AnyObjective = TypeVar("AnyObjective", bound=Objective)


def fit(
    objective: AnyObjective,
    *,
    max_steps: int,
    seed: int = 0,
    data: pl.LightningDataModule | None = None,
    ckpt_path: str | None = None,
    **trainer_kwargs: Any,
) -> AnyObjective:
    """Train for `max_steps` optimiser steps and return the objective.

    Every module has the mode that it had before, also after an exception, and is on the device where it was; meanwhile
    what is not trained, the reference above all, runs in evaluation mode, and all, a module reward too, is where the
    trainer puts the objective (see `Trainer`): by default on the first CUDA device, else on the CPU.

    seed: of all that training draws; the same seed on the same machine gives the same bits (the networks' initial
    weights are the caller's). data: stored trajectories, as `rollouts.RolloutData`; the objective's own, fresh ones
    where it is None. ckpt_path: a Lightning checkpoint to go on from; read with `weights_only`. The
    run goes on to the bit as it would have; the learning rate follows the `max_steps` that are asked for now.
    trainer_kwargs: anything a `pytorch_lightning.Trainer` takes, numbers of NumPy and torch too; by default it logs to
    nowhere, does not validate and keeps no checkpoint but those of its callbacks.
    callbacks=[objectives.LastCheckpoint()] keeps the latest state. precision="bf16-true" trains in bfloat16: all
    modules run in it, and have their own dtype afterwards, what was trained rounded to it, the reference byte for byte.

    SIGTERM ends the fit after the step in hand: it writes a checkpoint, says where, and raises SystemExit(143).
    """
    if not isinstance(objective, Objective):
        raise TypeError(f"objective: expected an Objective, got {type(objective).__name__}")
    max_steps, objective.seed = integer(max_steps, "max_steps"), as_seed(seed)
    callbacks = trainer_kwargs.get("callbacks")
    callbacks = [callbacks] if callbacks is None or isinstance(callbacks, pl.Callback) else callbacks
    keeps = any(isinstance(each, Checkpoint) for each in callbacks)
    settings: dict[str, Any] = dict(
        logger=False, enable_checkpointing=keeps, enable_model_summary=False, limit_val_batches=0, max_epochs=-1
    )
    if torch.backends.mps.is_available() and not torch.cuda.is_available():
        settings["accelerator"] = "cpu"  # what Lightning would choose has no float64
    with no_wrong_advice():
        own = {name: as_python(each) for name, each in trainer_kwargs.items()}  # Lightning takes no others' numbers
        trainer = Trainer(max_steps=max_steps, **(settings | own))
        trainer.fit(objective, datamodule=data, ckpt_path=ckpt_path)
    return objective


@contextmanager
def no_wrong_advice() -> Iterator[None]:
    """Keep Lightning from giving advice that does not hold for objectives, and from announcing itself."""
    logger = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for advice in ADVICE:
                warnings.filterwarnings("ignore", message=f".*{advice}.*")
            yield
    finally:
        logger.setLevel(level)
