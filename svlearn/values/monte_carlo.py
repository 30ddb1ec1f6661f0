"""The value by simulation: finish a state several times with the reference, and average."""

import math

import torch
from torch import Tensor

from svlearn.process import Prediction, Reference, predict
from svlearn.state import State, repeat
from svlearn.targets import Target
from svlearn.values.value import Value, check_estimand


class MonteCarlo(Value):
    """Estimate v_t from n rollouts x_T^(i) ~ p_ref(· | x_t), (B,), reward units.

    estimand "soft": α log (1/n) Σ exp(r_i/α), which underestimates v_t at finite n (Jensen) while its exponential is
    unbiased; "mean": (1/n) Σ r_i, unbiased for v'_t. A soft estimate below the target's floor is raised to it.
    It is random: a sampler draws it once per particle. Raises ValueError for n < 1, an unknown estimand, the soft
    one at α = 0, and the mean of a reward that is -inf.
    """

    needs_generator = True

    def __init__(self, reference: Reference, target: Target, num_rollouts: int, estimand: str = "soft"):
        super().__init__()
        if num_rollouts < 1:
            raise ValueError(f"num_rollouts: expected an integer of at least 1, got {num_rollouts}")
        if check_estimand(estimand) == "soft" and target.alpha == 0:
            raise ValueError("estimand: the soft value needs alpha > 0, got alpha = 0; use 'mean'")
        self.reference, self.target = reference, target
        self.num_rollouts, self.estimand = num_rollouts, estimand

    def forward(
        self,
        x: State,
        t: Tensor,
        prediction: Prediction | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        finished = finish(self.reference, repeat(x, self.num_rollouts), repeat(t, self.num_rollouts), generator)
        rewards = self.target(finished).view(len(x), self.num_rollouts)
        if self.estimand == "mean":
            if bool((rewards == -math.inf).any()):
                raise ValueError("estimand: the mean of a reward that is -inf does not exist; use 'soft'")
            return rewards.mean(dim=1)
        scaled = rewards.double() / self.target.alpha
        soft = self.target.alpha * (scaled.logsumexp(dim=1) - math.log(self.num_rollouts))
        return soft.clamp(min=self.target.floor)


@torch.no_grad()
def finish(reference: Reference, x: State, t: Tensor, generator: torch.Generator | None = None) -> State:
    """Roll states (B, ...) on from their own times t (B,) to x_T with the reference."""
    x = x.clone()
    for step in range(int(t.min()) if len(t) else 0, reference.num_steps):
        rows = (t <= step).nonzero().flatten()
        x[rows] = predict(reference, x[rows], step).transition.sample(generator=generator)
    return x
