"""TD(λ): learn the value of a state from the values of all states that follow it, and from the reward."""

import math
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import real
from svlearn.objectives.monte_carlo import linear_exponential_loss, squared_loss
from svlearn.objectives.soft_q import SoftQIteration
from svlearn.process import Reference
from svlearn.state import repeat
from svlearn.targets import Target
from svlearn.values.value import Value


def soft_return(next_values: Tensor, log_ratios: Tensor, alpha: float, trace: float) -> Tensor:
    """G_t of exp(G_t/α) = w_t [(1 - λ) exp(v̄_{t+1}/α) + λ exp(G_{t+1}/α)], (B, T), reward units, float64.

    next_values (B, T): v̄_1 ... v̄_{T-1} and r; exp(G_{T-1}/α) = w_{T-1} exp(r/α). log_ratios (B, T), nats: log w_t,
    w_t = p_ref/q of the move from x_t. trace: λ. The mixture is one of exponentials, so that E[exp(G_t/α) | x_t] is
    exp(v_t/α) for any λ where v̄ is v; one of the values themselves would be low (Jensen).
    """
    stay = math.log(trace) if trace > 0 else -math.inf
    look = math.log1p(-trace) if trace < 1 else -math.inf
    log_next, log_ratios = next_values.double() / alpha, log_ratios.double()
    returns = [log_ratios[:, -1] + log_next[:, -1]]
    for t in reversed(range(next_values.shape[1] - 1)):
        returns.append(log_ratios[:, t] + torch.logaddexp(look + log_next[:, t], stay + returns[-1]))
    return alpha * torch.stack(returns[::-1], dim=1)


def mean_return(next_values: Tensor, log_ratios: Tensor, trace: float) -> tuple[Tensor, Tensor]:
    """The weights W_t and the returns G_t, (B, T), float64, the second in reward units, of which W_t (f - G_t)² has the
    gradient of Σ_n (1 - λ) λ^(n-1) w_t ... w_{t+n-1} (f - v̄_{t+n})², where r stands for all v̄ from T on.

    W_t = w_t [(1 - λ) + λ W_{t+1}] and W_t G_t = w_t [(1 - λ) v̄_{t+1} + λ W_{t+1} G_{t+1}]; the arguments are those of
    `soft_return`. Without weights W_t = 1 and G_t is the λ-return. G_t is 0 where W_t is.
    """
    ratios, next_values = log_ratios.double().exp(), next_values.double()
    weights, sums = [ratios[:, -1]], [ratios[:, -1] * next_values[:, -1]]
    for t in reversed(range(next_values.shape[1] - 1)):
        weights.append(ratios[:, t] * (1 - trace + trace * weights[-1]))
        sums.append(ratios[:, t] * ((1 - trace) * next_values[:, t] + trace * sums[-1]))
    weight, total = torch.stack(weights[::-1], dim=1), torch.stack(sums[::-1], dim=1)
    return weight, torch.where(weight > 0, total / weight, 0.0)


class TemporalDifference(SoftQIteration):
    """Fit v_θ(x_t, t) to the λ-return of v̄ along the rest of the trajectory; v̄ is a slow copy of v_θ, and v̄_T = r.

    trace: λ in [0, 1]. 0 is `SoftQIteration`, which looks one step ahead: its goals vary little, and news from T takes
    T rounds of v̄ to x_0. 1 is `MonteCarloRegression`, which waits for r: its goals know nothing of v̄, and vary as r
    does. Between them v̄_{t+n} counts with (1 - λ) λ^(n-1) and r with the rest, so that an error of v̄ n steps ahead is
    passed on by that part alone. The exact value is the fixed point for every λ.
    estimand "soft": exp((G_t - f)/α) + f/α with G_t by `soft_return`, the mixture of exponentials, unbiased with a
    single trajectory: learns v_t. "mean": (f - G_t)² with G_t by `mean_return`, in units of the rewards' variance:
    learns v'_t.
    decay, num_times: as of `SoftQIteration`. A return needs v̄ at all T - 1 states between, whatever num_times is: v̄ is
    called for all of them, and the reference where the value reads its prediction.
    proposal: see `ValueObjective`. Every move up to where v̄ is looked at is weighed by p_ref/q.

    Raises ValueError for a trace outside [0, 1], and as `SoftQIteration`.
    Source: TD(λ), Sutton 1988, with a weight for every decision as in Precup, Sutton and Singh 2000; the soft return is
    that mixture in the linear form of the soft Bellman equation.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target,
        value: Value,
        estimand: str = "soft",
        *,
        trace: float = 0.9,
        decay: float = 0.95,
        num_times: int | None = None,
        **options: Any,
    ):
        super().__init__(reference, target, value, estimand, decay=decay, num_times=num_times, **options)
        self.trace = real(trace, "trace")
        if not 0 <= self.trace <= 1:
            raise ValueError(f"trace: expected a number in [0, 1], got {trace}")
        if self.num_next is not None:
            raise ValueError("num_next: expected None, as a return follows the trajectory; SoftQIteration takes it")

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        rewards = trajectories["rewards"]
        if self.estimand == "mean" and bool((rewards == -math.inf).any()):
            raise ValueError("estimand: the mean of a reward that is -inf does not exist; use 'soft'")
        t = self.times(len(rewards), rewards.device, generator, trajectories.get("since", None))
        values, next_values = self._values(trajectories, t, generator)
        log_ratios = self.log_ratios(trajectories)
        if self.estimand == "soft":
            goal = soft_return(next_values, log_ratios, self.target.alpha, self.trace).gather(1, t)
            return linear_exponential_loss(values, goal, self.target.alpha).mean()
        weight, goal = (each.gather(1, t) for each in mean_return(next_values, log_ratios, self.trace))
        return (weight * squared_loss(values, goal)).mean() / self.unit(rewards)

    def _values(self, trajectories: TensorDict, t: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """v_θ at the times t (B, n), (B, n), and v̄_1 ... v̄_{T-1} and r, (B, T), float64."""
        states, rewards = trajectories["states"], trajectories["rewards"]
        size, steps = len(rewards), self.reference.num_steps
        every = torch.arange(steps, device=t.device).expand(size, -1)
        if self.value.reads(every.flatten()):  # one call of the reference serves both
            values, next_values = self._along(states, rewards, every, generator)
            return values.view(size, steps).gather(1, t), next_values.view(size, steps)
        rows, later = repeat(torch.arange(size, device=t.device), steps), every.flatten() + 1
        next_values = self.next_values(states[rows, later], later, generator, rewards[rows])
        return self.evaluate_along(states, t, generator), next_values.view(size, steps)
