"""Where a fit goes on: Lightning's count of epochs and batches in a checkpoint, put right before it is read."""

from typing import Any

import pytorch_lightning as pl

COUNTS = ("ready", "started", "processed", "completed")


class Resumption(pl.Callback):
    """Go on from a checkpoint of the end of an epoch with the next one, and from one of an epoch that `max_steps` has
    cut short with the rest of it. Lightning would put further batches into the epoch that it takes for the present.

    A step of which a checkpoint saw some micro-batches only, as at a validation amid it, is begun again, for no
    checkpoint holds gradients; a part of the module with `begin_again` is told of the step."""

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        if put_right(checkpoint["loops"]["fit_loop"], trainer.accumulate_grad_batches):
            parts: list[Any] = [part for part in module.modules() if hasattr(part, "begin_again")]
            for part in parts:
                part.begin_again(checkpoint["global_step"])


def put_right(loops: dict[str, Any], micro_batches: int = 1) -> bool:
    """Change the progress of the loops, as a checkpoint holds it, to that between two steps of so many micro-batches;
    returns whether one that was begun is begun again."""
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    over = epochs["current"]["processed"] == epochs["current"]["ready"] > 0
    if not over:
        lost = 0 if batches["is_last_batch"] else batches["current"]["processed"] % micro_batches
        if lost:
            for name in ("total", "current"):
                batches[name] = dict.fromkeys(COUNTS, batches[name]["processed"] - lost)
        return lost > 0
    whole = batches["is_last_batch"]
    for each in (epochs["total"], epochs["current"]):
        done = each["ready"] if whole else each["ready"] - 1
        each["processed"] = each["completed"] = done
    if whole:
        batches["is_last_batch"] = False
        batches["current"] = dict.fromkeys(COUNTS, 0)
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1  # counted again on the way into the next epoch
    return False
