"""Derivative-free adjoint matching: adjoints of a reward that is only evaluated, by differences over the last noise."""

from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.modes import evaluating
from svlearn.objectives.adjoint_matching import AdjointMatching, run_back
from svlearn.objectives.control import gaussian
from svlearn.objectives.policy_gradient import leave_one_out
from svlearn.policies import Policy
from svlearn.process import Reference, predict
from svlearn.randomness import randn
from svlearn.state import State
from svlearn.targets import Target, check_scalars
from svlearn.trajectories import prediction_before


def smoothed_gradient(rewards: Tensor, noise: Tensor, std: Tensor) -> Tensor:
    """mean_k (r_k - b_k) ε_k/s, (B, ...), of K candidates x_T = m + s ε_k: rewards (K, B), noise (K, B, ...).

    b_k is the mean of the other candidates' rewards, so by Gaussian integration by parts its expectation is
    E[r(m + s ε) ε]/s = E[∇r(m + s ε)] for any K > 1; where r jumps, it is ∇_m E[r(m + s ε)]. For a linear r its
    variance does not depend on s. std s > 0 broadcastable to (B, ...); reward units per unit of x.
    """
    gains = leave_one_out(rewards).view(*rewards.shape, *[1] * (noise.dim() - 2))
    return (gains * noise).mean(dim=0) / std


class DerivativeFreeAdjointMatching(AdjointMatching):
    """`AdjointMatching` for a reward without a gradient: a_T = Σ_k (r(x_T^k) - b_k) ε_k/(K s_{T-1} α), then run back.

    At x_{T-1} of each trajectory K = num_candidates finished states are drawn from the policy's last step, x_T^k =
    m + s_{T-1}² g + s_{T-1} ε_k, and rewarded: K reward calls, and one call of the policy more (`smoothed_gradient`),
    or T where it keeps a cache, each of what is new in a step. Given x_{T-1}, a_T has the expectation of ∇r(x_T)/α
    under the policy; the Jacobians of `lean_adjoints` at x_t ...
    x_{T-1} do not see ε_k. So E_q[a_{t+1} | x_t] is that of the lean adjoint, at every policy: the expected gradient,
    the fixed point and the conditions are those of `AdjointMatching`. The reference must have a gradient. The variance
    is moderate where r is smooth at the scale of s_{T-1}, and grows as 1/s_{T-1}² where it jumps.

    From Reinforce Adjoint Matching (arXiv 2605.10759) is the idea: regress on an adjoint whose
    ∇r is replaced by a REINFORCE identity. Where the noise sits is ours: the paper takes it over all that remains of
    a memoryless noising, with no run back, and its main loss drops the path-cost correction, so that its
    fixed point is p*'s to first order in the reward. Here nothing is dropped, for a gradient of the reference.

    Raises as `AdjointMatching`, less what it asks of the reward's gradient; ValueError where the last step has no noise
    (DDPM's "small" variance), which PolicyGradient takes, and for fewer than 2 candidates.
    """

    def __init__(
        self, reference: Reference, target: Target, policy: Policy, *, num_candidates: int = 16, **options: Any
    ):
        # first: the base class asks for adjoints at construction
        self.num_candidates = integer(num_candidates, "num_candidates", 2)
        super().__init__(reference, target, policy, **options)

    @torch.no_grad()
    def adjoints(self, states: State, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As the base class's; x_T of the trajectories is not read, for others are drawn in its place."""
        x, number, last, kind = states[:, -2], self.num_candidates, self.reference.num_steps - 1, "policy_calls"
        with evaluating(self.policy):
            law = gaussian(predict(self.policy, x, last, prediction_before(self.policy, states, last, kind), kind))
        if not bool((law.std > 0).all()):
            raise ValueError(
                "reference: expected noise at the last step, over which the reward is differenced, got a std of 0 from "
                f"{type(self.reference).__name__}; PolicyGradient takes it"
            )
        mean = law.mean
        noise = randn((number, *mean.shape), generator, mean.device, mean.dtype)
        candidates = (mean + law.std * noise).flatten(0, 1)
        rewards = self.target(self.coordinates.state(candidates, torch.cat([x] * number)))
        check_scalars(rewards, number * len(x), "reward", "T", finite=True)
        adjoint = smoothed_gradient(rewards.view(number, len(x)), noise, law.std) / self.target.alpha
        return run_back(self.reference, states, adjoint, self.coordinates)
