"""A value that hands over to another: one for the first steps, one for the last."""

from collections.abc import Iterable

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer
from svlearn.process import Reference
from svlearn.values.piecewise import Piecewise
from svlearn.values.selection_gain import selection_gain
from svlearn.values.value import Value


class Switch(Piecewise):
    """v_t(x_t) of `early` where t < start and of `late` from there on, (B,), reward units.

    For a learned value that foresees something from the first step on, and a posterior mean r(x̂_T) that sees the
    sample only once it is nearly there, but then sees it best:

        value = Switch(Learned(network), PosteriorMean(target), 240)
        svdd(reference, target, value, 10)

    Before `start` a candidate that loses costs no reference call, and from there on no call of the network. Weights
    stay right whatever the two values are, for log w_t telescopes over the value that each step has. Only their own
    calls are counted. Raises ValueError for a start that is no integer of at least 0, TypeError for what is no `Value`.
    """

    early: Value
    late: Value

    def __init__(self, early: Value, late: Value, start: int):
        super().__init__(early=early, late=late)
        self.start = integer(start, "start", 0)

    @classmethod
    def fit(
        cls,
        early: Value,
        late: Value,
        reference: Reference,
        trajectories: TensorDict,
        *,
        rewards: Tensor | None = None,
        steps: Iterable[int] | None = None,
        num_others: int = 1,
        generator: torch.Generator | None = None,
        max_batch: int | None = None,
        progress: bool = False,
    ) -> "Switch":
        """The switch in which each value has the steps where choosing by it gains more.

        start is `best_start` of the gains of a choice between two candidates, `selection_gain` of N trajectories of
        the reference that no value was trained on: "states" (N, T + 1, ...) and "rewards" (N,). steps: those with
        candidates to choose among, all where it is None; else as there. Where a choice gains little, many trajectories
        tell little of the start: look at the errors of `selection_gain`, and compare samplers of a few starts.
        """
        gains = selection_gain(
            (early, late),
            reference,
            trajectories,
            rewards=rewards,
            steps=steps,
            num_others=num_others,
            generator=generator,
            max_batch=max_batch,
            progress=progress,
        ).pivot(index="t", columns="value", values="gain")
        start = best_start(*(torch.tensor(gains[place].to_numpy()) for place in (0, 1)))
        return cls(early, late, [*gains.index, reference.num_steps][start])

    def asked(self, t: Tensor) -> list[tuple[Value, Tensor]]:
        late = t >= self.start
        return [(self.early, ~late), (self.late, late)]


def best_start(early: Tensor, late: Tensor) -> int:
    """argmax_s Σ_{t < s} early_t + Σ_{t >= s} late_t, s = 0 ... n, of what each gains at n steps; the last of equals.

    A sum takes little notice of the noise of each step, where the first crossing would be a matter of luck.
    """
    gains = torch.cat([early.new_zeros(1), (early - late).cumsum(dim=0)])
    return len(gains) - 1 - int(gains.flip(0).argmax())
