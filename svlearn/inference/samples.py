"""What every sampler returns."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from svlearn.metering import Cost
from svlearn.randomness import draw_by, resolve_generator
from svlearn.state import State
from svlearn.targets import NonFiniteError


@dataclass(frozen=True)
class ScoredCandidates:
    """All candidates of a step, those that lost too, in groups of K particles with M candidates each.

    states x_t (B, K, M, ...); values (B, K, M): v_t, or r at T, reward units; log_increments (B, K, M), nats, float64:
    what each multiplies the weight of its particle by; log_ratio (B, K, M), nats: log p_ref - log q of each, None where
    p_ref drew them; finished (B, K, M): copies of a particle that was finished before, None where none was; log_twists
    (B, K), nats, float64: λ_t v_t/α of the particles that were kept.
    """

    states: State
    values: Tensor
    log_increments: Tensor
    log_ratio: Tensor | None
    finished: Tensor | None
    log_twists: Tensor


@dataclass(frozen=True)
class History:
    """What happened by time step, from `start` (0, unless the run was resumed) to T.

    ess (B, T + 1): the effective sample size, in particles, before any resampling of that step; resampled (B, T + 1):
    which groups were. For each t, ancestors (B, K): the places, among the particles at t - 1, that those kept at t
    come from (at the start their own); states: x_t (B, K, ...), where they were asked for.
    spreads (B, T + 1, 5), nats to their power: the variance of the log-weights in a group before any resampling; of
    what the step's candidates multiply the weight of their particle by the variance and the third central moment, in
    logarithms, and the effective share; the variance of log p_ref - log q among them. Weights of 0 are left out.
    candidates: all that were scored at each t, of `Sampler.sample_candidates`.
    A step in which all particles were finished, and nothing ran, stands there as one that changed nothing, its
    candidates None.
    """

    ess: Tensor
    resampled: Tensor
    ancestors: tuple[Tensor, ...] = ()
    states: tuple[State, ...] | None = None
    start: int = 0
    spreads: Tensor | None = None
    candidates: tuple[ScoredCandidates | None, ...] | None = None

    @property
    def lineage(self) -> Tensor:
        """The places (B, T + 1, K), at each time, of the ancestors of the finished particles."""
        last = self.ancestors[-1]
        places = [torch.arange(last.shape[1], device=last.device).expand_as(last)]
        for ancestors in reversed(self.ancestors[1:]):
            places.append(ancestors.gather(1, places[-1]))
        return torch.stack(places[::-1], dim=1)

    @property
    def unique_ancestors(self) -> Tensor:
        """How many distinct ancestors the finished particles have at each time, (B, T + 1)."""
        ordered = self.lineage.sort(dim=2).values
        return 1 + (ordered[:, :, 1:] != ordered[:, :, :-1]).sum(dim=2)


@dataclass(frozen=True)
class Samples:
    """B groups of K finished particles (K = 1 except for smc and beam_search).

    states (B, K, ...), a TensorDict of batch size (B, K); rewards (B, K), reward units, None without a target;
    log_weights (B, K), nats, normalised inside a group (-inf throughout a group that died); log_normalizer (B,),
    nats, the group's estimate of log Z = log E_ref[exp(r/α)], unbiased in Z (of tree_search only consistent), None
    where the sampler has none; cost of the whole run; history by time step.
    """

    states: State
    rewards: Tensor | None
    log_weights: Tensor
    log_normalizer: Tensor | None
    cost: Cost
    history: History

    def draw(self, *, generator: torch.Generator | None = None) -> State:
        """One state per group, (B, ...), by its weights; from a group that died, a uniform one."""
        rows, index = self.draw_places(generator)
        return self.states[rows, index]

    def draw_with_rewards(self, *, generator: torch.Generator | None = None) -> tuple[State, Tensor]:
        """As `draw`, with the rewards (B,) of the states drawn; raises ValueError without a target."""
        if self.rewards is None:
            raise ValueError("rewards: these samples have none, the sampler was given no target")
        rows, index = self.draw_places(generator)
        return self.states[rows, index], self.rewards[rows, index]

    def paths(self) -> State:
        """x_0 ... x_T of every finished particle, (B, K, T + 1, ...); survivors of one particle share its early states.

        Weighted by `log_weights` they target what the samples do, as whole trajectories. Raises ValueError unless the
        sampler was told keep_states=True.
        """
        states = self.history.states
        if states is None:
            raise ValueError("history.states: expected those of every step, got None; sample with keep_states=True")
        lineage = self.history.lineage
        rows = torch.arange(len(lineage), device=lineage.device)[:, None]
        return torch.stack([x[rows, lineage[:, k]] for k, x in enumerate(states)], dim=2)

    def draw_places(self, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The groups 0 ... B - 1 and the place (B,) in each of the particle that `draw` takes, by weight.

        Raises ValueError, with the group, for log-weights that are NaN or inf.
        """
        weights = self.log_weights.exp()
        if not math.isfinite(weights.sum().item()):
            group = int((~weights.isfinite().all(dim=1)).nonzero()[0])
            raise NonFiniteError(
                f"log_weights: expected numbers, got {self.log_weights[group].tolist()} in group {group}"
            )
        weights = torch.where(weights.sum(dim=1, keepdim=True) > 0, weights, torch.ones_like(weights))
        generator = resolve_generator(generator, weights.device)
        index = draw_by(weights, 1, generator).squeeze(1)
        return torch.arange(len(weights), device=weights.device), index
