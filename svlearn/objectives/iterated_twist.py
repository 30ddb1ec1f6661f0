"""Iterated twists: SMC with the present twist draws what the next one is fitted to, by maximum likelihood."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer
from svlearn.inference.proposals import Exact
from svlearn.inference.samplers import smc
from svlearn.objectives.trust_region import TrustRegion
from svlearn.objectives.twist_rounds import TwistedLaw, twisted_paths
from svlearn.objectives.value_objective import ROWS, ValueObjective
from svlearn.process import Reference
from svlearn.state import take
from svlearn.targets import Target
from svlearn.values.value import Value


def twisted_likelihood_loss(now: Tensor, later: Tensor, ahead: Tensor, log_weights: Tensor) -> Tensor:
    """-E_W[later - now] + log E_W[exp(ahead - now)], (...), nats, float64: minus the log-likelihood of pairs.

    now = v_t(x_t)/α, later = v_{t+1}(x_{t+1})/α and ahead = log E_ref[exp(v_{t+1}/α) | x_t], each (..., B), of B moves
    that the log-weights (..., B), nats, normalised here, weigh. The law of pairs is
    μ(x_t) p_ref(x_{t+1} | x_t) exp((v_{t+1}(x_{t+1}) - v_t(x_t))/α) up to a constant, μ that of the weighed x_t: at a
    minimum over v_t its own marginal in x_t is μ, which asks for v_t = α ahead up to one constant, and the rest is the
    likelihood of x_{t+1} given x_t. exp(ahead) may be an unbiased estimate; E_W are averages over the batch, whose
    logarithm has a bias of order 1/B. Moves of weight 0 are passed over, whatever their `later`. The least loss is
    -KL of the pairs' law from μ p_ref.
    """
    log_weights = log_weights.double().log_softmax(dim=-1)
    gain = torch.where(log_weights > -math.inf, later - now, 0.0)
    return (log_weights + ahead - now).logsumexp(dim=-1) - (log_weights.exp() * gain).sum(dim=-1)


class IteratedTwist(ValueObjective):
    """Rounds of twisted SMC, each of which fits v_θ to its own trajectories; learns v_t up to c(t), reward units.

    Every `inner_steps` steps begin a round: groups of SMC with v_θ as it is draw `round_size` trajectories, with
    weights w towards p*. In the law q_i of the round, twisted by v^i, log w is -Σ_t ρ_t with the residuals
    ρ_t = v^i_t/α - log E_ref[exp(v^i_{t+1}/α) | x_t] since the group was last resampled. Batches of them, weighed by
    w^β, then fit the twisted law of each step: the loss is `twisted_likelihood_loss`, mean over times, with (1 - β) ρ_t
    added to `ahead`. Its minimiser v has the residuals (1 - β) ρ_t, and its law is ∝ q_i^(1-β) p*^β, the law nearest
    to p* within KL <= trust_region of q_i, nats; β is the largest such, 1 once p* is inside. So the error of log q
    shrinks by 1 - β a round, and where v is the soft value nothing moves. Logs `train/beta`, `train/kl`, `train/ess`.

    A likelihood of x_{t+1} given x_t alone would leave v_{t+1} a constant of its own for the siblings of every x_t,
    and the weights of SMC would be wrong by it. Here v_t(x_t) is contrasted with what follows from it over all x_t of
    a batch, down from v_T = r; so only constants c(t) are free, which cancel in the weights of every sampler with
    α > 0. `validation/r2` is blind to no constant, so read `validation/pearson`.

    num_candidates: M. Of so many moves of p_ref a particle chooses one in SMC, and so many stand for p_ref in the
    loss. At β = 1 all is unbiased in M; below, ρ_t is a logarithm of an average, and the law that a round aims at is
    off by (1 - β) times a term of order 1/M. limit: where above 0, all outcomes of a step are summed in their place,
    and SMC has the proposal `Exact`: at most so many, at a value call each, or one look where the value defines
    `of_outcomes`, but at T a call of the reward each. A trajectory of a round takes twice as many calls of the reward
    as there are such moves, in SMC and for E_ref[exp(r/α) | x_{T-1}]; one that is stored or validated as many.
    num_particles, ess_threshold: those of `smc`; `round_size` is a multiple of num_particles.
    num_times: at how many times, drawn uniformly from 0 ... T - 1, the whole batch is looked at (None: every time).

    Weights have mean 1 in each group, a bias of order 1/num_particles, so that groups of all `conditions`, of which
    each has one, count the same. A checkpoint holds the round's trajectories, so a resumed run goes on amid a round.
    Stored trajectories, of the reference or with "log_ratios", may be given to `fit` in their place: they weigh
    exp(r/α) p_ref/q, and β is 1.

    Raises ValueError for α = 0, numbers out of range, a `proposal`, and a reference of which no step has noise; as
    `proposals.Exact` for a limit that a step exceeds; and as `ValueObjective`.
    Source: TRI-TSMC, arXiv 2605.25123, in whose place of a normalised law of tokens stands that of pairs.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target,
        value: Value,
        *,
        num_particles: int = 64,
        num_candidates: int = 8,
        ess_threshold: float = 0.5,
        limit: int = 0,
        trust_region: float = 0.5,
        round_size: int = 4096,
        inner_steps: int = 100,
        num_times: int | None = None,
        **options: Any,
    ):
        super().__init__(reference, target, value, num_times=num_times, **options)
        if self.proposal is not None:
            raise ValueError("proposal: expected None, for SMC with the present twist draws the trajectories")
        num_particles, limit = integer(num_particles, "num_particles", 2), integer(limit, "limit", 0)
        num_candidates = integer(num_candidates, "num_candidates")
        if integer(round_size, "round_size") % num_particles:
            raise ValueError(f"round_size: expected a multiple of num_particles = {num_particles}, got {round_size}")
        proposal = Exact(value, limit) if limit else None
        own = 1 if limit else num_candidates
        parts: dict[str, Any] = dict(ess_threshold=ess_threshold, proposal=proposal, num_candidates=own)
        self.sampler = smc(reference, target, value, num_particles, **parts)
        self.law = TwistedLaw(reference, target, value, num_candidates, limit)
        self.region = TrustRegion(trust_region, round_size, inner_steps)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":  # a checkpoint, where there is one, is read after this
            self.region.leave()

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """Of "states" and "rewards"; of a round with "log_weights", "last" and "annealing" (B, T)."""
        log_weights = trajectories.get("log_weights", None)
        if log_weights is None:
            rewards = trajectories["rewards"].double() / self.target.alpha
            log_weights = rewards + self.log_ratios(trajectories).sum(dim=1)
        rows = (log_weights > -math.inf).nonzero()[:, 0]
        trajectories, log_weights = take(trajectories, rows), log_weights[rows]
        times = self.as_first_process(self.times(1, self.device, generator)[0]).unique().tolist()
        parts = self._moves(trajectories, times, generator) if len(trajectories) else self._no_moves(times)
        rows = torch.stack([each.double() for each in parts]).permute(2, 1, 0)  # in one, so that all have a gradient
        now, later, ahead = self.of_all_processes(rows).permute(2, 1, 0)
        log_weights = self.of_all_processes(log_weights)
        alive = (ahead > -math.inf).any(dim=1)  # else no candidate at T - 1 could be
        losses = twisted_likelihood_loss(now[alive], later[alive], ahead[alive], log_weights)
        return losses.mean() if len(losses) else 0.0 * now.sum()

    def _moves(
        self, trajectories: TensorDict, times: Sequence[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """now, later and ahead, each (n, B), at these times."""
        moves = self.law.along(trajectories, times, generator, trajectories.get("last", None))
        self.watch("value", moves.now)
        ahead = moves.ahead
        if "annealing" in trajectories:
            ahead = ahead + torch.stack([trajectories["annealing"][:, t] for t in times])
        return moves.now, moves.later, ahead

    def _no_moves(self, times: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """The same of no trajectories; a gradient of 0 reaches the value."""
        nothing = 0.0 * torch.stack([each.double().sum() for each in self.value.parameters()]).sum()
        return (nothing.expand(len(times), 0),) * 3

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        if isinstance(batch, TensorDict) or not self.training:
            return super()._trajectories(batch, size, generator)

        def draw(number: int) -> TensorDict:
            groups = number // self.sampler.num_particles
            rows = self.draw_conditions(groups, generator)
            return twisted_paths(self.sampler, self.law, groups, generator, rows)

        piece = max(1, ROWS // self.sampler.num_particles) * self.sampler.num_particles  # are drawn at once
        place: dict[str, Any] = dict(step=self.global_step, gather=self.of_all_processes)
        drawn = self.region.batch(draw, piece, size, generator, **place)
        self.log_dict({f"train/{name}": getattr(self.region, name) for name in ("beta", "kl", "ess")})
        return self._tempered(drawn)

    def _tempered(self, drawn: TensorDict) -> TensorDict:
        """Trajectories of the round as the loss reads them, at its β."""
        beta = self.region.beta
        own = {"log_weights": beta * drawn["log_weight"], "annealing": (1 - beta) * drawn["residuals"]}
        return drawn.exclude("log_weight", "residuals").update(own)
