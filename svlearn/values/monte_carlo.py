"""The value by simulation: finish a state several times with the reference, and average."""

import copy
from typing import cast

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.process import Prediction, Reference
from svlearn.state import State, device_of_state, repeat, take
from svlearn.targets import Target
from svlearn.values.estimate import estimand_of, estimate
from svlearn.values.finish import finish
from svlearn.values.value import Value


class MonteCarlo(Value):
    """Estimate v_t from n rollouts x_T^(i) ~ p_ref(· | x_t), (B,), reward units.

    estimand "soft": α log (1/n) Σ exp(r_i/α), which underestimates v_t at finite n (Jensen) while its exponential is
    unbiased; "mean": (1/n) Σ r_i, unbiased for v'_t. A soft estimate below the target's floor is raised to it.
    n is num_rollouts, or what a budget of reference calls a state affords at t: max(1, budget // (T - t)), so that
    late states, whose rollouts are short, get more of them.
    from_prediction: whether the rollouts go on from the prediction that a sampler gives, for a sampler of this very
    reference: the first of the T - t calls of a rollout is then the sampler's own (one a state, not n), and so is the
    cache, which is otherwise filled anew from x_t. Not for one of another process, as of a policy: what it predicts is
    not p_ref's.
    It is random: a sampler draws it once per particle. Raises ValueError unless exactly one of num_rollouts and
    budget is given and at least 1, for an unknown estimand, the soft one at α = 0, and the mean of a reward that is
    -inf.
    """

    needs_generator = True
    known_time: int | None = None  # of a copy by `at_time`

    def __init__(
        self,
        reference: Reference,
        target: Target,
        num_rollouts: int | None = None,
        estimand: str = "soft",
        *,
        budget: int | None = None,
        from_prediction: bool = False,
    ):
        super().__init__()
        if (num_rollouts is None) == (budget is None):
            raise ValueError(f"num_rollouts: expected this or budget, got {num_rollouts} and a budget of {budget}")
        self.reference, self.target, self.estimand = reference, target, estimand_of(estimand, target)
        self.num_rollouts = None if num_rollouts is None else integer(num_rollouts, "num_rollouts")
        self.budget = None if budget is None else integer(budget, "budget")
        self.from_prediction = self.needs_prediction = from_prediction

    def at_time(self, t: int) -> "MonteCarlo":
        known = copy.copy(self)
        known.known_time = t
        return known

    def forward(
        self,
        x: State,
        t: Tensor,
        prediction: Prediction | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        if prediction is not None:
            prediction = Prediction(prediction.transition, cache=prediction.cache) if self.needs_prediction else None
        if self.known_time is not None:
            return self._average(x, self.known_time, self._number(self.known_time), generator, prediction)
        if self.num_rollouts is not None:
            return self._average(x, t, self.num_rollouts, generator, prediction)
        values = torch.zeros(len(x), dtype=torch.float64, device=t.device)
        for moment in t.unique().tolist():
            rows = (t == moment).nonzero().flatten()
            own = self._average(x[rows], moment, self._number(moment), generator, take(prediction, rows))
            values[rows] = own.double()
        return values

    def _number(self, t: int) -> int:
        """How many rollouts a state at t has."""
        if self.num_rollouts is not None:
            return self.num_rollouts
        return max(1, cast(int, self.budget) // max(1, self.reference.num_steps - t))

    def _average(
        self, x: State, t: int | Tensor, number: int, generator: torch.Generator | None, prediction: Prediction | None
    ) -> Tensor:
        rows = repeat(torch.arange(len(x), device=device_of_state(x)), number)
        finished = finish(
            self.reference, take(x, rows), t if isinstance(t, int) else t[rows], generator, take(prediction, rows)
        )
        return estimate(self.target(finished).view(len(x), number), self.target, self.estimand)
