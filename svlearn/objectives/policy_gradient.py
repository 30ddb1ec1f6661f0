"""ELBO policy gradient: REINFORCE with a leave-one-out baseline, for rewards without gradient."""

import math

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.objectives.policy_objective import PolicyObjective


def leave_one_out(returns: Tensor) -> Tensor:
    """Each row less the mean of the other rows, (B, ...), B > 1: a baseline that its own action cannot move."""
    size = len(returns)
    return (returns - returns.mean(dim=0)) * size / (size - 1)


def reinforce_loss(log_ratios: Tensor, rewards: Tensor, alpha: float) -> Tensor:
    """The surrogate whose gradient is -∇ ELBO in expectation, (), of B > 1 independent on-policy trajectories.

    log_ratios (B, T): log q(x_{t+1}|x_t) - log p_ref, with gradient; rewards (B,). The return of step t is what is
    still to come, G_t = r/α - Σ_{s >= t} log q/p_ref; the surrogate is -mean Σ_t (G_t - b_t) log q(x_{t+1}|x_t) with
    b_t the mean of the others' G_t. Past terms are left out, for they cannot depend on the step.
    """
    still = log_ratios.detach().flip(1).cumsum(1).flip(1)
    returns = (rewards.double() / alpha).unsqueeze(1) - still
    return -(leave_one_out(returns) * log_ratios).sum(dim=1).mean()


class PolicyGradient(PolicyObjective):
    """Climb the ELBO E_q[r(x_T)/α] - KL(q || p_ref) by its score-function gradient (arXiv 2402.14740).

    Unbiased for any reward, differentiable or not, and any policy with a log-probability; it learns on-policy, so
    stored trajectories are refused with ValueError, as are a batch of one and rewards of -inf.
    """

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        rewards = trajectories["rewards"]
        if len(rewards) < 2:
            raise ValueError("batch_size: a leave-one-out baseline needs at least 2 trajectories, got 1")
        if bool((rewards == -math.inf).any()):
            raise ValueError("reward: the ELBO of a reward that is -inf is -inf; DistributionalPolicyGradient takes it")
        return reinforce_loss(self.log_ratios(trajectories["states"]), rewards, self.target.alpha)

    def training_step(self, batch: int | TensorDict, batch_index: int) -> Tensor:
        if isinstance(batch, TensorDict):
            raise ValueError("data: PolicyGradient learns from its own policy's trajectories, got stored ones")
        return super().training_step(batch, batch_index)
