"""A value that hands over to another: one for the first steps, one for the last."""

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.process import Reference
from svlearn.values.calibration import calibrate
from svlearn.values.parted import Parted
from svlearn.values.value import Value


class Relay(Parted):
    """v_t(x_t) of `early` where t < start and of `late` from there on, (B,), reward units.

    For a learned value that foresees something from the first step on, and a posterior mean r(x̂_T) that sees the
    sample only once it is nearly there, but then sees it best:

        value = Relay(Learned(network), PosteriorMean(target), 280)
        svdd(reference, target, value, 10)

    Before `start` a candidate that loses costs no reference call, and from there on no call of the network. Weights
    stay right whatever the two values are, for log w_t telescopes over the value that each step has. Only their own
    calls are counted. Raises ValueError for a start that is no integer of at least 0, TypeError for what is no `Value`.
    """

    early: Value
    late: Value

    def __init__(self, early: Value, late: Value, start: int):
        super().__init__(early=early, late=late)
        if isinstance(start, bool) or not isinstance(start, int) or start < 0:
            raise ValueError(f"start: expected an integer of at least 0, got {start!r}")
        self.start = start

    @classmethod
    def fit(
        cls,
        early: Value,
        late: Value,
        reference: Reference,
        trajectories: TensorDict,
        *,
        rewards: Tensor | None = None,
        alpha: float | None = None,
        generator: torch.Generator | None = None,
        max_batch: int | None = None,
    ) -> "Relay":
        """The relay in which each value has the steps where it is the better correlated with the reward.

        start is `best_start` of the Pearson correlations of v_t(x_t) and r(x_T) over N trajectories. trajectories: of
        the reference, that no value was trained on: "states" (N, T + 1, ...) and "rewards" (N,); `rewards`, `alpha`
        (for soft values) and what is raised as in `calibrate`.
        """
        correlations = []
        for value in (early, late):
            found = calibrate(
                value,
                reference,
                trajectories,
                rewards=rewards,
                alpha=alpha,
                generator=generator,
                max_batch=max_batch,
            )
            correlations.append(torch.tensor(found["pearson"].to_numpy()))
        return cls(early, late, best_start(*correlations))

    def asked(self, t: Tensor) -> list[tuple[Value, Tensor]]:
        late = t >= self.start
        return [(self.early, ~late), (self.late, late)]


def best_start(early: Tensor, late: Tensor) -> int:
    """argmax_s Σ_{t < s} early_t + Σ_{t >= s} late_t, s = 0 ... T, of correlations (T,); the last of equal ones.

    NaN, of a value that is constant, counts as 0. A sum over steps takes little notice of the noise of each, where
    the first crossing of two curves would be a matter of luck.
    """
    gains = torch.cat([early.new_zeros(1), (early.nan_to_num(0.0) - late.nan_to_num(0.0)).cumsum(dim=0)])
    return len(gains) - 1 - int(gains.flip(0).argmax())
