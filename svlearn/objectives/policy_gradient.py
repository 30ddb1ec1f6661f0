"""ELBO policy gradient: REINFORCE with a leave-one-out baseline, for rewards without gradient."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.objectives.policy_objective import PolicyObjective, log_ratio
from svlearn.objectives.time_sampling import check_num_times, draw_times
from svlearn.policies import Policy
from svlearn.process import Reference
from svlearn.rollouts.roll_out import Measure, roll_out
from svlearn.state import State
from svlearn.targets import Target, check_scalars


def leave_one_out(returns: Tensor) -> Tensor:
    """Each row less the mean of the other rows, (B, ...), B > 1: a baseline that its own action cannot move."""
    size = len(returns)
    return (returns - returns.mean(dim=0)) * size / (size - 1)


def path_advantages(log_ratios: Tensor, rewards: Tensor, alpha: float) -> Tensor:
    """A_t = G_t - b_t, (B, T), nats, float64, without gradient, of B > 1 independent on-policy trajectories.

    log_ratios (B, T): log q(x_{t+1}|x_t) - log p_ref; rewards (B,). The return of step t is what is still to come,
    G_t = r/α - Σ_{s >= t} log q/p_ref: past terms cannot depend on the step. b_t is the mean of the others' G_t.
    """
    still = log_ratios.detach().double().flip(1).cumsum(1).flip(1)
    return leave_one_out((rewards.double() / alpha).unsqueeze(1) - still)


def reinforce_loss(log_ratios: Tensor, rewards: Tensor, alpha: float) -> Tensor:
    """The surrogate whose gradient is -∇ ELBO in expectation, (): -mean Σ_t A_t log q(x_{t+1}|x_t).

    log_ratios (B, T), with gradient, and rewards (B,) as in `path_advantages`.
    """
    return -(path_advantages(log_ratios, rewards, alpha) * log_ratios).sum(dim=1).mean()


class PolicyGradient(PolicyObjective):
    """Climb the ELBO E_q[r(x_T)/α] - KL(q || p_ref) by its score-function gradient (arXiv 2402.14740).

    Unbiased for any reward, differentiable or not, and any policy with a log-probability; it learns on-policy, so
    stored trajectories are refused with ValueError, as are a batch of one and rewards of -inf.

    num_times: at how many steps of each trajectory the gradient is taken, drawn uniformly and scaled by T/num_times,
    which is unbiased too (None: at every step). The returns still see all steps, which then need no gradient.
    """

    def __init__(
        self, reference: Reference, target: Target, policy: Policy, *, num_times: int | None = None, **options: Any
    ):
        super().__init__(reference, target, policy, **options)
        num_times = check_num_times(num_times, reference.num_steps)
        self.num_times = num_times

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        states, rewards = trajectories["states"], self.checked(trajectories["rewards"])
        if self.num_times is None:
            return reinforce_loss(self.some_log_ratios(states, generator)[1], rewards, self.target.alpha)
        advantages = path_advantages(-trajectories["log_ratios"], rewards, self.target.alpha)
        t, log_ratios = self.some_log_ratios(states, generator)
        return -self.reference.num_steps * (advantages.gather(1, t) * log_ratios).mean()

    def drawn(self, size: int, generator: torch.Generator) -> TensorDict:
        """Fresh trajectories of the policy with the "log_ratios" (B, T) of `roll_out`, log p_ref - log q, nats."""
        drawing: dict[str, Any] = {"condition": self.draw_conditions(size, generator), "generator": generator}
        return roll_out(self.reference, size, target=self.target, proposal=self.policy, **drawing)

    def chosen_times(self, size: int, generator: torch.Generator) -> Tensor:
        """The times of so many trajectories that are looked at, (B, n); all T by default."""
        steps = self.reference.num_steps
        if self.num_times is None:
            return torch.arange(steps, device=self.device).expand(size, -1)
        return draw_times(size, steps, self.num_times, generator)

    def some_log_ratios(self, states: State, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The times that are looked at, (B, n), and log q/p_ref there, (B, n), with gradient; all T by default.

        Raises NonFiniteError, with the step, where one is infinite, as where q has moved a step without noise.
        """
        t, (log_ratios,) = self.some_terms(states, [log_ratio], generator)
        return t, log_ratios

    def some_terms(
        self, states: State, terms: Sequence[Measure], generator: torch.Generator
    ) -> tuple[Tensor, list[Tensor]]:
        """As `some_log_ratios`, of terms (see `step_terms`) of which the first is log q/p_ref."""
        t = self.chosen_times(len(states), generator)
        log_ratios, *others = self.step_terms(states, t, terms)
        self.watch("log q - log p_ref", log_ratios)
        check_scalars(log_ratios.flatten(), t.numel(), "log q - log p_ref", t.flatten(), finite=True)
        return t, [log_ratios, *others]

    def checked(self, rewards: Tensor) -> Tensor:
        """Rewards (B,) that have an ELBO and a baseline, or ValueError."""
        if len(rewards) < 2:
            raise ValueError("batch_size: a leave-one-out baseline needs at least 2 trajectories, got 1")
        if bool((rewards == -math.inf).any()):
            raise ValueError("reward: the ELBO of a reward that is -inf is -inf; DistributionalPolicyGradient takes it")
        return rewards

    def training_step(self, batch: int | TensorDict, batch_index: int) -> Tensor:
        if isinstance(batch, TensorDict):
            name = type(self).__name__
            raise ValueError(f"data: {name} learns from its own policy's trajectories, got stored ones")
        return super().training_step(batch, batch_index)

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        if self.num_times is None or isinstance(batch, TensorDict):
            return super()._trajectories(batch, size, generator)
        return self.drawn(size, generator)
