"""What every sampler returns."""

from dataclasses import dataclass

import torch
from torch import Tensor

from svlearn.metering import Cost
from svlearn.randomness import resolve_generator
from svlearn.state import State


@dataclass(frozen=True)
class History:
    """What happened by time step: the effective sample size (B, T + 1), in particles, before any resampling of that
    step, and which groups were resampled (B, T + 1)."""

    ess: Tensor
    resampled: Tensor


@dataclass(frozen=True)
class Samples:
    """B groups of K finished particles (K = 1 except for smc and beam_search).

    states (B, K, ...), a TensorDict of batch size (B, K); rewards (B, K), reward units, None without a target;
    log_weights (B, K), nats, normalised inside a group (-inf throughout a group that died); log_normalizer (B,),
    nats, the group's estimate of log Z = log E_ref[exp(r/α)], unbiased in Z, None where the sampler has none;
    cost of the whole run; history by time step.
    """

    states: State
    rewards: Tensor | None
    log_weights: Tensor
    log_normalizer: Tensor | None
    cost: Cost
    history: History

    def draw(self, *, generator: torch.Generator | None = None) -> State:
        """One state per group, (B, ...), by its weights; from a group that died, a uniform one."""
        rows, index = self._draw(generator)
        return self.states[rows, index]

    def draw_with_rewards(self, *, generator: torch.Generator | None = None) -> tuple[State, Tensor]:
        """As `draw`, with the rewards (B,) of the states drawn; raises ValueError without a target."""
        if self.rewards is None:
            raise ValueError("rewards: these samples have none, the sampler was given no target")
        rows, index = self._draw(generator)
        return self.states[rows, index], self.rewards[rows, index]

    def _draw(self, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        weights = self.log_weights.exp()
        weights = torch.where(weights.sum(dim=1, keepdim=True) > 0, weights, torch.ones_like(weights))
        generator = resolve_generator(generator, weights.device)
        index = torch.multinomial(weights, 1, generator=generator).squeeze(1)
        return torch.arange(len(weights), device=weights.device), index
