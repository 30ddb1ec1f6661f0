"""Derivative-free adjoint matching: adjoints of a reward that is only evaluated, by differences over the last noise."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

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
from svlearn.transitions import GaussianTransition


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

    Where the last steps have no noise, as of most samplers of diffusion models, they are a part of the reward: the
    candidates are of the last step L that has some, K calls of the reference for each step after it finish them, and
    a_{L+1} is what is run back. No policy moves the steps after L, and what stands there is 0.

    From Reinforce Adjoint Matching (arXiv 2605.10759) is the idea: regress on an adjoint whose
    ∇r is replaced by a REINFORCE identity. Where the noise sits is ours: the paper takes it over all that remains of
    a memoryless noising, with no run back, and its main loss drops the path-cost correction, so that its
    fixed point is p*'s to first order in the reward. Here nothing is dropped, for a gradient of the reference.

    Raises as `AdjointMatching`, less what it asks of the reward's gradient; ValueError where the last step with noise
    has none in some elements, which PolicyGradient takes, and for fewer than 2 candidates.
    """

    def __init__(
        self, reference: Reference, target: Target, policy: Policy, *, num_candidates: int = 16, **options: Any
    ):
        # first: the base class asks for adjoints at construction
        self.num_candidates = integer(num_candidates, "num_candidates", 2)
        self._last_noisy: int | None = None
        super().__init__(reference, target, policy, **options)

    @torch.no_grad()
    def adjoints(self, states: State, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As the base class's; of the trajectories, what follows the last noise is not read: others are drawn there."""
        number, steps = self.num_candidates, self.reference.num_steps
        with evaluating(self.policy):
            last, law = self._last_noise(states)
        mean = law.mean
        noise = randn((number, *mean.shape), generator, mean.device, mean.dtype)
        candidates = (mean + law.std * noise).flatten(0, 1)
        finished = self.coordinates.state(candidates, torch.cat([states[:, last]] * number))
        for t in range(last + 1, steps):
            finished = self.coordinates.state(gaussian(predict(self.reference, finished, t)).mean, finished)
        rewards = self.target(finished)
        check_scalars(rewards, len(candidates), "reward", "T", finite=True)
        adjoint = smoothed_gradient(rewards.view(number, -1), noise, law.std) / self.target.alpha
        adjoints, stds = run_back(self.reference, states[:, : last + 2], adjoint, self.coordinates)
        nothing = [0, 0] * (adjoints.dim() - 2) + [0, steps - 1 - last]  # at the steps after
        return pad(adjoints, nothing), pad(stds, nothing)

    def _last_noise(self, states: State) -> tuple[int, GaussianTransition]:
        """The last step with noise, and the policy's law of it along trajectories (B, T + 1, ...)."""
        known, kind = self._last_noisy, "policy_calls"
        for t in reversed(range(self.reference.num_steps)) if known is None else [known]:
            before = prediction_before(self.policy, states, t, kind)
            law = gaussian(predict(self.policy, states[:, t], t, before, kind))
            if bool((law.std > 0).all()):
                self._last_noisy = t
                return t, law
            if bool((law.std > 0).any()):
                break
        raise ValueError(
            "reference: expected a last step with noise in every element, over which the reward is differenced (steps "
            f"without any may follow it), got a std of 0 from {type(self.reference).__name__}; PolicyGradient takes it"
        )
