"""The learning rate's decay: a cosine over the run that is asked for, whatever run a checkpoint is of."""

from typing import Any

from torch.optim.lr_scheduler import CosineAnnealingLR


class CosineDecay(CosineAnnealingLR):
    """η_k = η_T + (η_0 - η_T) (1 + cos(π k/T))/2 at optimiser step k of T = `T_max`, with η_T = `eta_min`.

    From a checkpoint comes the step alone. T, η_0 and η_T are those it was made with: a run that is gone on with for
    more steps, or at another rate, has from there on the rates of one that was asked for so from the start.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        schedule = {name: getattr(self, name) for name in ("T_max", "base_lrs", "eta_min")}
        super().load_state_dict(state_dict)
        if all(getattr(self, name) == setting for name, setting in schedule.items()):
            return
        self.__dict__.update(schedule)
        if self.last_epoch >= 0:  # below 0 a warm-up comes first
            self._last_lr = self._get_closed_form_lr()
            for group, first, rate in zip(self.optimizer.param_groups, self.base_lrs, self._last_lr, strict=True):
                group["initial_lr"], group["lr"] = first, rate
