"""Proximal policy optimisation (PPO): several clipped steps of policy gradient on each batch of trajectories."""

from typing import Any

import torch
from tensordict import TensorDict

from svlearn.objectives.clipped_policy_gradient import ClippedPolicyGradient
from svlearn.objectives.group_relative import ROUNDING
from svlearn.objectives.policy_gradient import path_advantages
from svlearn.policies import Policy
from svlearn.process import Reference
from svlearn.targets import Target


class ProximalPolicyGradient(ClippedPolicyGradient):
    """Climb the ELBO E_q[r(x_T)/α] - KL(q || p_ref) by PPO with one ratio a step (DDPO, arXiv 2305.13301).

    Each iteration draws num_minibatches · batch_size trajectories of the policy as it is, q_old, and keeps them with
    log q_old/p_ref and their advantages. Then come num_epochs passes over them in minibatches of `batch_size`, one
    optimiser step each (n times as many of both where n micro-batches make up a step), down `clipped_surrogate_loss`.
    So a step costs batch_size/num_epochs fresh trajectories; "train/trajectories" counts those drawn so far,
    "train/clip_fraction" is the share of ρ beyond the clipping, "train/overflow_fraction" of those beyond e^20, which
    count as e^20.

    The advantages A_t = G_t - b_t are those of `PolicyGradient`, the baseline taken over all trajectories of the
    iteration. All that they hold, log q/p_ref of the step itself included, is of q_old: the mean over minibatches of
    the gradient at q = q_old is exactly that of `PolicyGradient` on the whole, unbiased for -∇ ELBO. Where q_old is
    stationary for the ELBO the surrogate is too, in expectation. Later steps of an iteration are biased, the less the
    smaller the learning rate.

    clip: ε of the clipping. num_times: as in `PolicyGradient`, drawn anew at each optimiser step.
    normalize_advantages: divide them by their root mean square over the iteration. It makes the loss independent of
    the scale of r/α, but depends on the same draws, a bias of order 1 over their number, so it is off by default.
    A checkpoint holds the trajectories. Raises ValueError as `PolicyGradient` and for numbers out of range.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target,
        policy: Policy,
        *,
        num_minibatches: int = 4,
        num_epochs: int = 2,
        clip: float = 0.2,
        normalize_advantages: bool = False,
        **options: Any,
    ):
        counts = dict(num_minibatches=num_minibatches, num_epochs=num_epochs)
        super().__init__(reference, target, policy, clip=clip, **counts, **options)
        self.normalize_advantages = normalize_advantages

    def judged(self, trajectories: TensorDict) -> TensorDict:
        rewards = self.checked(trajectories["rewards"])
        advantages = path_advantages(-trajectories["log_ratios"], rewards, self.target.alpha)
        if self.normalize_advantages:
            scale = self.of_all_processes(advantages).square().mean().sqrt()
            largest = self.of_all_processes(rewards).abs().max()
            rounding = ROUNDING * torch.finfo(rewards.dtype).eps * largest / self.target.alpha
            advantages = torch.where(scale > rounding, advantages / scale, 0.0)
        return trajectories.set("advantages", advantages)
