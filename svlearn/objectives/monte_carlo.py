"""Monte Carlo regression: learn the value of a state from the rewards of trajectories that pass through it."""

import math
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.objectives.value_objective import ValueObjective
from svlearn.process import Reference, add_noise, has
from svlearn.state import State, repeat
from svlearn.targets import Target
from svlearn.values.value import Value, check_estimand


def squared_loss(values: Tensor, rewards: Tensor) -> Tensor:
    """(f - r)², (B,); its minimiser is the mean value v'_t = E[r | x_t] (SVDD, arXiv 2408.08252, algorithm 2)."""
    return (values - rewards) ** 2


def linear_exponential_loss(values: Tensor, rewards: Tensor, alpha: float) -> Tensor:
    """exp((r - f)/α) + f/α, (B,), in float64; its minimiser is the soft value v_t = α log E[exp(r/α) | x_t].

    r = -inf is legal. The linear-exponential loss of arXiv 2301.02328 (extreme Q-learning), signs as here.
    """
    values, rewards = values.double(), rewards.double()
    return ((rewards - values) / alpha).exp() + values / alpha


class MonteCarloRegression(ValueObjective):
    """Fit v_θ(x_t, t) to r(x_T) along trajectories of the reference, or to the labels of single states.

    estimand "mean": the squared loss, learns v'_t, in units of the rewards' variance; "soft": the linear-exponential
    loss, learns v_t.
    noised: draw x_t anew from x_T by the reference's forward process at every step, in the place of the x_t of the
    trajectory (SVDD, remark 1): a stored trajectory then teaches more than T states. Exact where p_ref is the exact
    reversal of that process. Validation always holds the value against the trajectories themselves.
    num_times: at how many times of each trajectory, drawn uniformly from 0 ... T - 1 (None: at every time).
    proposal: see `ValueObjective`. With W_t = Π_{s >= t} p_ref/q the soft loss is W_t exp((r - f)/α) + f/α: the weight
    of what follows x_t belongs to the first term alone, the second does not look ahead. Its gradient is (1 - W_t exp((r
    - f)/α))/α, which at q = p* and f = v_t is 0 on every trajectory; were both terms weighed it would be as noisy as
    W_t. The mean loss is W_t (f - r)²: W_t for f² as well, else the noise would depend on the origin of the rewards.
    With `noised` the law of x_t follows from that of x_T, so the weight of the whole path, W_0, is that of the loss.
    Labels, such as those of `rollouts.label_survivors`, stand in the place of r and are not weighed: "mean" learns
    E[label | x_t], "soft" α log E[exp(label/α) | x_t].
    Raises ValueError for an unknown estimand, the soft one at α = 0, the mean of rewards that are -inf, and labels with
    `noised`; TypeError where `noised` is asked of a reference that has no forward process; and as `ValueObjective`.
    """

    understands = frozenset({"times", "since"})

    def __init__(
        self,
        reference: Reference,
        target: Target,
        value: Value,
        estimand: str = "mean",
        *,
        noised: bool = False,
        num_times: int | None = None,
        **options: Any,
    ):
        super().__init__(reference, target, value, num_times=num_times, **options)
        if check_estimand(estimand) == "soft" and target.alpha == 0:
            raise ValueError("estimand: the soft value needs alpha > 0, got alpha = 0; use 'mean'")
        if noised and not has(reference, "noise"):
            raise TypeError(f"noised: expected a reference with a forward process, got {type(reference).__name__}")
        if noised and self.num_candidates is not None:
            raise ValueError(f"noised: expected False beside num_candidates, got {self.num_candidates} of these")
        self.estimand, self.noised = estimand, noised

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        rewards = trajectories["rewards"]
        if self.estimand == "mean" and bool((rewards == -math.inf).any()):
            raise ValueError("estimand: the mean of a reward that is -inf does not exist; use 'soft'")
        if "times" in trajectories:
            return self._loss_of_labels(trajectories["states"], trajectories["times"], rewards, generator)
        since = trajectories.get("since", None)
        if since is not None and self.noised:
            raise ValueError("noised: expected False for trajectories that the reference draws since a t alone")
        t = self.times(len(rewards), rewards.device, generator, since)
        rows = repeat(torch.arange(len(rewards), device=rewards.device), t.shape[1])
        values = self._values(trajectories["states"], rows, t, generator)
        t = t.flatten()
        goal = rewards[rows].to(values.dtype)
        log_weights = self.log_ratios_to_go(trajectories)[rows, 0 if self.noised else t]
        if self.estimand == "mean":
            return (log_weights.exp().to(values.dtype) * squared_loss(values, goal)).mean() / self.unit(rewards)
        if self.noised:
            return (log_weights.exp() * linear_exponential_loss(values, goal, self.target.alpha)).mean()
        return linear_exponential_loss(values, goal + self.target.alpha * log_weights, self.target.alpha).mean()

    def _loss_of_labels(self, x: State, t: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """The loss of single states x_t (N, ...) at t (N,) with their labels (N,)."""
        if self.noised:
            raise ValueError("noised: expected False for single states with labels, which have no x_T")
        values = self.evaluate(x, t, generator)
        if self.estimand == "mean":
            return squared_loss(values, labels.to(values.dtype)).mean() / self.unit(labels)
        return linear_exponential_loss(values, labels, self.target.alpha).mean()

    def _values(self, states: State, rows: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        """v_θ at the times t (B, n), (B n,), of trajectories as they went, or noised from their x_T."""
        if not self.noised:
            return self.evaluate_along(states, t, generator).flatten()
        last, t = self.reference.num_steps, t.flatten()
        later = torch.full_like(t, last)
        x = add_noise(self.reference, states[rows, last], later, t, lambda: states[rows, 0], generator)
        return self.evaluate(x, t, generator)
