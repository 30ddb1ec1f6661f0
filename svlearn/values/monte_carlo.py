"""The value by simulation: finish a state several times with the reference, and average."""

from typing import cast

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.process import Prediction, Reference, predict
from svlearn.state import State, repeat
from svlearn.targets import Target
from svlearn.values.estimate import estimand_of, estimate
from svlearn.values.value import Value


class MonteCarlo(Value):
    """Estimate v_t from n rollouts x_T^(i) ~ p_ref(· | x_t), (B,), reward units.

    estimand "soft": α log (1/n) Σ exp(r_i/α), which underestimates v_t at finite n (Jensen) while its exponential is
    unbiased; "mean": (1/n) Σ r_i, unbiased for v'_t. A soft estimate below the target's floor is raised to it.
    n is num_rollouts, or what a budget of reference calls a state affords at t: max(1, budget // (T - t)), so that
    late states, whose rollouts are short, get more of them.
    It is random: a sampler draws it once per particle. Raises ValueError unless exactly one of num_rollouts and
    budget is given and at least 1, for an unknown estimand, the soft one at α = 0, and the mean of a reward that is
    -inf.
    """

    needs_generator = True

    def __init__(
        self,
        reference: Reference,
        target: Target,
        num_rollouts: int | None = None,
        estimand: str = "soft",
        *,
        budget: int | None = None,
    ):
        super().__init__()
        if (num_rollouts is None) == (budget is None):
            raise ValueError(f"num_rollouts: expected this or budget, got {num_rollouts} and a budget of {budget}")
        self.reference, self.target, self.estimand = reference, target, estimand_of(estimand, target)
        self.num_rollouts = None if num_rollouts is None else integer(num_rollouts, "num_rollouts")
        self.budget = None if budget is None else integer(budget, "budget")

    def forward(
        self,
        x: State,
        t: Tensor,
        prediction: Prediction | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        if self.num_rollouts is not None:
            return self._average(x, t, self.num_rollouts, generator)
        values = torch.zeros(len(x), dtype=torch.float64, device=t.device)
        for moment in t.unique().tolist():
            rows, steps = (t == moment).nonzero().flatten(), max(1, self.reference.num_steps - moment)
            number = max(1, cast(int, self.budget) // steps)
            values[rows] = self._average(x[rows], t[rows], number, generator).double()
        return values

    def _average(self, x: State, t: Tensor, number: int, generator: torch.Generator | None) -> Tensor:
        finished = finish(self.reference, repeat(x, number), repeat(t, number), generator)
        return estimate(self.target(finished).view(len(x), number), self.target, self.estimand)


@torch.no_grad()
def finish(reference: Reference, x: State, t: Tensor, generator: torch.Generator | None = None) -> State:
    """Roll states (B, ...) on from their own times t (B,) to x_T with the reference."""
    x = x.clone()
    for step in range(int(t.min()) if len(t) else 0, reference.num_steps):
        rows = (t <= step).nonzero().flatten()
        x[rows] = predict(reference, x[rows], step).transition.sample(generator=generator)
    return x
