"""Train an objective with a Lightning Trainer, on its own data or on stored rollouts."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytorch_lightning as pl

from svlearn.objectives.lean import without_profiler
from svlearn.objectives.objective import Objective

# Lightning's advice that does not hold here: a batch is made on the device, and depends on (seed, step) alone.
ADVICE = (
    "does not have many workers",
    "logging interval",
    "in eval mode at the start of training",
    "your dataloader is not resumable",
    "callbacks used to create the checkpoint",
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

    seed: of all that training draws; the same seed on the same machine gives the same bits (the networks' initial
    weights are the caller's). data: stored trajectories, as `rollouts.RolloutData`; the objective's own, fresh ones
    where it is None. ckpt_path: a Lightning checkpoint to go on from; read with `weights_only`.
    trainer_kwargs: anything a `pytorch_lightning.Trainer` takes; by default it logs to nowhere, keeps no checkpoint
    and does not validate.
    """
    if not isinstance(objective, Objective):
        raise TypeError(f"objective: expected an Objective, got {type(objective).__name__}")
    if max_steps < 1:
        raise ValueError(f"max_steps: expected an integer of at least 1, got {max_steps}")
    objective.seed = seed
    settings = dict(
        logger=False, enable_checkpointing=False, enable_model_summary=False, limit_val_batches=0, max_epochs=-1
    )
    was_training = objective.reference.training
    objective.reference.eval()
    with no_wrong_advice():
        trainer = without_profiler(pl.Trainer(max_steps=max_steps, **(settings | trainer_kwargs)))
        trainer.fit(objective, datamodule=data, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
    objective.reference.train(was_training)
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
