"""Where a fit goes on: Lightning's count of epochs and batches in a checkpoint, put right before it is read."""

from typing import Any

import pytorch_lightning as pl

COUNTS = ("ready", "started", "processed", "completed")


class Resumption(pl.Callback):
    """Go on from a checkpoint of the end of an epoch with the next one, and from one of an epoch that `max_steps` has
    cut short with the rest of it. Lightning would put further batches into the epoch that it takes for the present."""

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        put_right(checkpoint["loops"]["fit_loop"])


def put_right(loops: dict[str, Any]) -> None:
    """Change the progress of the loops, as a checkpoint holds it, to that between two batches."""
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    over = epochs["current"]["processed"] == epochs["current"]["ready"] > 0
    if not over:
        return
    whole = batches["is_last_batch"]
    for each in (epochs["total"], epochs["current"]):
        done = each["ready"] if whole else each["ready"] - 1
        each["processed"] = each["completed"] = done
    if whole:
        batches["is_last_batch"] = False
        batches["current"] = dict.fromkeys(COUNTS, 0)
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1  # counted again on the way into the next epoch
