"""Distributional policy gradient: the mass-covering KL(p* || q), by importance weights."""

import math
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.objectives.policy_objective import PolicyObjective
from svlearn.policies import Policy
from svlearn.process import Reference
from svlearn.targets import Target


def weighted_likelihood_loss(log_ratios: Tensor, log_weights: Tensor) -> Tensor:
    """-mean exp(log_weights) Σ_t log q(x_{t+1}|x_t), () up to a constant, of trajectories (B, T).

    log_ratios (B, T): log q - log p_ref, with gradient; log_weights (B,): of each trajectory towards p*, fixed.
    """
    return -(log_weights.exp() * log_ratios.sum(dim=1)).mean()


class DistributionalPolicyGradient(PolicyObjective):
    """Minimise KL(p*(x_{0:T}) || q(x_{0:T})) over the steps of q (arXiv 2012.11635, GDC/DPG; 2206.00761).

    Trajectories of q weigh w = exp(r/α - log q/p_ref - c), with c an estimate of log Z from the first batch, kept:
    E_q[w] = Z e^-c whatever q is, so the gradient is that of the KL times this one constant, unbiased at every batch
    size, which weights normalised inside the batch are not. r = -inf is legal. Stored trajectories are taken as those
    of the reference, w = exp(r/α - c), or weighed by their "log_ratios" (B, T), log p_ref - log q of who drew them.
    The fixed point of a class that holds p*'s transitions is p*'s own.
    """

    log_scale: Tensor

    def __init__(self, reference: Reference, target: Target, policy: Policy, **options: Any):
        super().__init__(reference, target, policy, **options)
        self.register_buffer("log_scale", torch.full((), math.nan, dtype=torch.float64))

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        log_ratios = self.log_ratios(trajectories["states"])
        return weighted_likelihood_loss(log_ratios, self.log_weights(trajectories, log_ratios.detach()))

    def log_weights(self, trajectories: TensorDict, log_ratios: Tensor) -> Tensor:
        """log w, (B,), nats, of trajectories with their log q - log p_ref (B, T)."""
        own = trajectories["own"].to(log_ratios.dtype)
        log_weights = trajectories["rewards"].double() / self.target.alpha - own * log_ratios.sum(dim=1)
        if "log_ratios" in trajectories:
            log_weights = log_weights + trajectories["log_ratios"].double().sum(dim=1)
        if bool(self.log_scale.isnan()):
            first = self.of_all_processes(log_weights)
            estimate = first.logsumexp(dim=0) - math.log(len(first))
            if not bool(estimate.isfinite()):
                raise ValueError("reward: every trajectory of the first batch is -inf; give a larger batch_size")
            self.log_scale.copy_(estimate)
        return log_weights - self.log_scale

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        """As they come, with "own" (B,): whether the policy drew them, or, for stored ones, the reference."""
        trajectories = super()._trajectories(batch, size, generator).copy()
        whose = torch.full_like(trajectories["rewards"], not isinstance(batch, TensorDict), dtype=torch.bool)
        return trajectories.set("own", whose)
