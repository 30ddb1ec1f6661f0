"""Contrastive energy prediction: learn the value by telling which of K samples deserve their rewards."""

import math
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import is_integer
from svlearn.objectives.value_objective import ValueObjective
from svlearn.process import Reference
from svlearn.state import State
from svlearn.targets import Target
from svlearn.values.value import Value


def contrastive_energy_loss(values: Tensor, rewards: Tensor, alpha: float, level: Tensor | float) -> Tensor:
    """-(1/K) Σ_k exp(r_k/α - c) log softmax_k(v_θ(x_t^k)/α), (...), float64, of values and rewards (..., K).

    Given the K states, exp(r_k/α) is exp(v_t(x_t^k)/α) on average, so for independent samples, any K > 1 and any
    fixed level c (nats) the minimiser is v_t up to a constant. r = -inf is legal.
    With softmax_k(r/α) for the weights that average would be one of ratios, and the minimiser biased.
    """
    weights = (rewards.double() / alpha - level).exp()
    return -(weights * (values.double() / alpha).log_softmax(dim=-1)).mean(dim=-1)


class ContrastiveEnergy(ValueObjective):
    """Fit v_θ(x_t, t) by contrast among K samples of the same t; learns v_t up to a constant c(t), reward units.

    The constants cancel in the weights of every sampler with α > 0. `validation/r2` is blind to no constant, so read
    `validation/pearson`.
    group_size: K > 1 (None: the batch). What is left of a batch that K does not divide is not looked at.
    level: c = log mean W_0 exp(r/α) of the first batch that has a finite reward, kept: weights are then about 1.
    num_times: at how many times, drawn uniformly from 0 ... T - 1, the whole batch is looked at (None: every time).
    proposal: see `ValueObjective`. exp(r/α) is weighed by W_t = Π_{s >= t} p_ref/q; K samples of x_t may be of any law.
    Raises ValueError for α = 0, a group_size below 2, a batch_size below the group's; and as `ValueObjective`.
    Source: contrastive energy prediction, arXiv 2304.12824, with weights that are not normalised in the group.
    """

    level: Tensor

    def __init__(
        self,
        reference: Reference,
        target: Target,
        value: Value,
        *,
        group_size: int | None = None,
        num_times: int | None = None,
        **options: Any,
    ):
        super().__init__(reference, target, value, num_times=num_times, **options)
        if target.alpha == 0:
            raise ValueError("alpha: the soft value needs alpha > 0, got 0")
        size = self.batch_size if group_size is None else group_size
        if not is_integer(size) or not 2 <= size <= self.batch_size:
            raise ValueError(f"group_size: expected 2 to the batch_size of {self.batch_size}, got {size!r}")
        size = int(size)
        self.group_size = None if group_size is None else size
        self.register_buffer("level", torch.full((), math.nan, dtype=torch.float64))

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        size = len(trajectories) if self.group_size is None else min(self.group_size, len(trajectories))
        trajectories = trajectories[: len(trajectories) // size * size]
        values, t = values_together(self, trajectories["states"], generator)
        log_weights, rewards = self.log_ratios_to_go(trajectories), trajectories["rewards"].double()
        level = self._level(rewards / self.target.alpha + log_weights[:, 0])
        goals = rewards[:, None] + self.target.alpha * log_weights[:, t]
        if self.group_size is None:
            values, goals = self.of_all_processes(values), self.of_all_processes(goals)
            size = len(values)
        groups = [each.view(-1, size, len(t)).transpose(1, 2) for each in (values, goals)]
        return contrastive_energy_loss(groups[0], groups[1], self.target.alpha, level).mean()

    def _level(self, log_weights: Tensor) -> Tensor:
        if bool(self.level.isnan()):
            log_weights = self.of_all_processes(log_weights)
            level = log_weights.logsumexp(dim=0) - math.log(len(log_weights))
            if not bool(level.isfinite()):  # all are forbidden and weigh 0 at any level: wait for a batch that tells
                return torch.zeros_like(level)
            self.level.copy_(level)
        return self.level


def values_together(objective: ValueObjective, states: State, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """v_θ(x_t, t), (B, n), of all trajectories (B, T + 1, ...) at the same n times (n,), and these: a contrast at two
    different ones would be between two constants c(t)."""
    t = objective.as_first_process(objective.times(1, objective.device, generator)[0])
    return objective.evaluate_along(states, t.expand(len(states), -1), generator), t
