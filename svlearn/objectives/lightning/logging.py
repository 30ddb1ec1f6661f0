"""Who looks at the figures of a training step: logging them costs about half a millisecond, a fifth of a small step."""

import math
import time
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelSummary, ProgressBar

from svlearn.objectives.lightning.last_checkpoint import LastCheckpoint
from svlearn.objectives.lightning.resumption import Resumption
from svlearn.objectives.lightning.stop_on_judge import StopOnJudge
from svlearn.objectives.lightning.termination import Termination
from svlearn.objectives.lightning.validation_history import ValidationHistory

BLIND = (  # they read no figure of a step, or ask for it below
    ProgressBar | ModelSummary | LastCheckpoint | Resumption | Termination | StopOnJudge | ValidationHistory
)
REFRESH = 0.2  # seconds between two figures on the progress bar


class StepLogging:
    """Says of each training step whether its figures are seen; the answer holds for the whole step.

    They are: where a callback may read them (any but those of `BLIND`), at the logger's interval
    (`log_every_n_steps`), five times a second where there is a progress bar, and at the last of `max_steps`.
    """

    def __init__(self) -> None:
        self.step, self.answer, self.last = -1, True, -math.inf

    def see(self, trainer: pl.Trainer) -> bool:
        """Whether the figures of the trainer's present step are seen."""
        if trainer.global_step != self.step:
            self.step, now = trainer.global_step, time.monotonic()
            callbacks, interval = cast(Any, trainer).callbacks, cast(Any, trainer).log_every_n_steps  # set elsewhere
            read = any(not isinstance(each, BLIND) for each in callbacks)
            due = (interval > 0 and (self.step + 1) % interval == 0) or self.step + 1 == trainer.max_steps
            shown = trainer.progress_bar_callback is not None and now - self.last > REFRESH
            self.answer = read or due or shown
            if self.answer:
                self.last = now
        return self.answer
