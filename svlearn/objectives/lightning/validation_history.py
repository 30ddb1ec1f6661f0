"""What the validations of a fit logged, by the step they were at."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn

PREFIX = "validation/"


class ValidationHistory(pl.Callback):
    """Keep the figures of every validation of a fit: `rows`, {"step": k, figure: number, ...} each, in order.

    A checkpoint holds them, so that a run that goes on has those of all of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        figures = {name.removeprefix(PREFIX): float(each) for name, each in trainer.callback_metrics.items()
                   if name.startswith(PREFIX)}  # fmt: skip
        self.rows = [row for row in self.rows if row["step"] != trainer.global_step]
        self.rows.append({"step": float(trainer.global_step), **figures})

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]
