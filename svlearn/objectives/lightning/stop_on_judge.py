"""Stop a training whose reward rises at the cost of a judge: reward hacking, as validations see it."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn

from svlearn.arguments import integer, real
from svlearn.progress import say

FIGURES = ("judge", "judge_standard_error", "reward")


class StopOnJudge(pl.Callback):
    """End a fit where the judge has fallen while the reward still rises, with the weights that the judge liked best.

    The judge is the `judge=` of the objective, a reward that is not trained for. A validation counts where its mean
    lies below the best so far by more than `num_errors` standard errors of the difference, √(s² + s_best²), and the
    mean reward lies above the one at that best (or is -inf at both). `patience` of them in a row stop the fit; what is
    trained then has the weights of the best. The validations draw by the same random numbers, so that the difference is
    mostly surer than that; the best of many is high by chance, so more errors or more patience stop less early. A fit
    that is not stopped keeps its last weights. A checkpoint holds the best. num_errors: 0 or more; patience: 1 or more.
    Raises ValueError, as a fit begins, for an objective without a judge and a trainer that does not validate.
    """

    def __init__(self, num_errors: float = 1.0, patience: int = 1):
        super().__init__()
        self.num_errors, self.patience = real(num_errors, "num_errors", least=0), integer(patience, "patience")
        self.best: dict[str, float] | None = None  # its figures, and the step it was at
        self.weights: dict[str, torch.Tensor] = {}
        self.fallen = 0
        self.stopped = False

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if getattr(module, "judge", None) is None:
            raise ValueError(f"judge: StopOnJudge needs one, got a {type(module).__name__} without judge=")
        if not trainer.enable_validation:
            raise ValueError(
                "limit_val_batches: StopOnJudge needs validations, got a trainer without; give limit_val_batches=1 and "
                "val_check_interval or check_val_every_n_epoch"
            )
        self.stopped = False

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        now = self._figures(trainer)
        if math.isnan(now["judge"]):
            return
        best = self.best
        if best is None or now["judge"] > best["judge"]:
            self.best, self.fallen = now, 0
            self.weights = {name: each.detach().cpu().clone() for name, each in self._trained(module)}
            return
        errors = [figures["judge_standard_error"] for figures in (now, best)]
        error = math.hypot(*(each if math.isfinite(each) else 0.0 for each in errors))
        fell = now["judge"] < best["judge"] - self.num_errors * error
        unknown = now["reward"] == best["reward"] == -math.inf  # a sample that is forbidden, then and now
        rose = now["reward"] > best["reward"] or unknown
        self.fallen = self.fallen + 1 if fell and rose else 0
        if self.fallen >= self.patience:
            self.stopped = trainer.should_stop = True
            if trainer.is_global_zero:
                say(
                    f"stopped at step {trainer.global_step}: the judge fell from {best['judge']:.4g} to "
                    f"{now['judge']:.4g} while the reward rose from {best['reward']:.4g} to {now['reward']:.4g}; the "
                    f"weights are those of step {int(best['step'])}"
                )

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.stopped:  # after the last checkpoint, which holds where the fit was
            with torch.no_grad():
                for name, each in self._trained(module):
                    each.copy_(self.weights[name])

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "weights": self.weights, "fallen": self.fallen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.weights, self.fallen = (state_dict[name] for name in ("best", "weights", "fallen"))

    def _figures(self, trainer: pl.Trainer) -> dict[str, float]:
        """Those of this validation, means over the processes, and the step."""
        figures = {name: trainer.callback_metrics[f"validation/{name}"] for name in FIGURES}
        if trainer.world_size > 1:
            figures = {name: trainer.strategy.reduce(each) for name, each in figures.items()}
            figures["judge_standard_error"] = figures["judge_standard_error"] / math.sqrt(trainer.world_size)
        return {"step": float(trainer.global_step), **{name: float(each) for name, each in figures.items()}}

    @staticmethod
    def _trained(module: Any) -> list[tuple[str, torch.Tensor]]:
        trained = module.trained()
        return [(name, each) for name, each in trained.named_parameters() if each.requires_grad]
