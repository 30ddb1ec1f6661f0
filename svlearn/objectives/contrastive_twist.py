"""Contrastive twist learning: raise the value where p* goes, lower it where the learned twist sends its samples."""

import math
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.inference.paths import smc_paths
from svlearn.modes import evaluating
from svlearn.objectives.behaviour import DrawnConditions
from svlearn.objectives.contrastive_energy import values_together
from svlearn.objectives.value_objective import ValueObjective
from svlearn.process import Reference
from svlearn.state import concatenate
from svlearn.targets import Target
from svlearn.values.value import Value

POSITIVES = ("weights", "smc")


def contrastive_twist_loss(
    positive_values: Tensor,
    positive_log_weights: Tensor,
    negative_values: Tensor,
    alpha: float,
    negative_log_weights: Tensor | None = None,
) -> Tensor:
    """-E_p*[v_θ/α] + log E_ref[exp(v_θ/α)], (...), nats, float64; its minimiser is v_t up to a constant.

    positive_values (..., P), reward units, of samples that the log-weights (..., P), nats, normalised here, carry to
    p*(x_t); negative_values (..., N) of independent samples that theirs (..., N) carry to p_ref(x_t) (None: they are
    of it). The gradient is that of -E_p*[v_θ/α] + E_π[v_θ/α] with π ∝ p_ref exp(v_θ/α) held fixed: softmax(v_θ/α) over
    the negatives is the gradient of their log-mean-exp. The least loss is -KL(p*(x_t) || p_ref(x_t)).
    """
    weights = torch.zeros_like(negative_values) if negative_log_weights is None else negative_log_weights
    positive = (positive_log_weights.double().softmax(dim=-1) * positive_values.double() / alpha).sum(dim=-1)
    negative = (negative_values.double() / alpha + weights.double().log_softmax(dim=-1)).logsumexp(dim=-1)
    return negative - positive


class ContrastiveTwist(ValueObjective):
    """Fit v_θ(x_t, t) by contrast of p*(x_t) with p_ref exp(v_θ/α); learns v_t up to a constant c(t), reward units.

    positives "weights": each batch is split in two independent halves: one, weighted by softmax(r/α), stands for p*;
    the other, weighted by softmax(v_θ(x_t)/α), for the law of the learned twist; and then the other way round.
    "smc": the whole batch stands for the learned twist; p* is as many particles of a group of SMC with the current
    v_θ, fresh ones whatever the data: for where exp(r/α) is so uneven that few of a batch would weigh anything. Each of
    several processes has a group of its own, and all count alike.
    Both laws are ratios of averages, with a bias of order 1/B. Positives without a finite reward are passed over, and
    so is a batch of a single trajectory.
    The constants cancel in the weights of every sampler with α > 0. `validation/r2` is blind to no constant, so read
    `validation/pearson`.
    num_times: at how many times, drawn uniformly from 0 ... T - 1, the whole batch is looked at (None: every time).
    proposal: see `ValueObjective`. With "weights" the contrast is that of μ exp(v_t/α) with μ exp(v_θ/α), where μ is
    the law of x_t in the batch, as good as p_ref's: positives weigh W_t exp(r/α), W_t = Π_{s >= t} p_ref/q, negatives
    the same. With "smc" negatives weigh Π_{s < t} p_ref/q.
    Raises ValueError for α = 0, unknown positives, and a batch_size below 2; and as `ValueObjective`.
    Source: arXiv 2404.17546, section 4.1.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target,
        value: Value,
        *,
        positives: str = "weights",
        num_times: int | None = None,
        **options: Any,
    ):
        super().__init__(reference, target, value, num_times=num_times, **options)
        if target.alpha == 0:
            raise ValueError("alpha: the soft value needs alpha > 0, got 0")
        if positives not in POSITIVES:
            raise ValueError(f"positives: expected one of {', '.join(POSITIVES)}, got {positives!r}")
        if self.batch_size < 2:
            raise ValueError(f"batch_size: expected at least 2, one positive and one negative, got {self.batch_size}")
        self.positives = positives

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        states, size = trajectories["states"], len(trajectories)
        middle, roles = size // 2, [(0, 1), (1, 0)]  # which of the two parts are positives, and which negatives
        # log-weights as positives, and as negatives: of either law over that of x_t in this batch, whoever drew it
        to_target = self.log_ratios_to_go(trajectories) + trajectories["rewards"].double()[:, None] / self.target.alpha
        to_reference = torch.zeros_like(to_target)
        if self.positives == "smc":  # these are of p*(x_t) as it is, so negatives are weighed for what led to x_t
            with evaluating(self.value):
                process = self.reference
                if self.conditions is not None:
                    process = DrawnConditions(process, self.conditions)
                paths, log_weights = smc_paths(process, self.target, self.value, size, generator=generator)
            states, middle, roles = concatenate([paths, states]), size, [(0, 1)]
            past = torch.cat([to_reference[:, :1], self.log_ratios(trajectories).cumsum(dim=1)[:, :-1]], dim=1)
            to_target = to_reference = torch.cat([log_weights[:, None].expand_as(past), past])
        values, t = values_together(self, states, generator)
        both = [
            [self.of_all_processes(each[part]) for part in (slice(0, middle), slice(middle, None))]
            for each in (values, to_target[:, t], to_reference[:, t])
        ]
        losses = []
        for positive, negative in roles:
            weights = both[1][positive].T, both[2][negative].T
            alive = torch.stack([(each > -math.inf).any(dim=1) for each in weights]).all(dim=0)  # the times at which
            laws = both[0][positive].T[alive], weights[0][alive], both[0][negative].T[alive]
            losses.append(contrastive_twist_loss(*laws, self.target.alpha, weights[1][alive]))
        return torch.cat(losses).mean() if any(len(each) for each in losses) else 0.0 * values.sum()
