"""The one sampling loop: a proposal draws, a value weighs, a selection decides who survives."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from svlearn.inference.proposals import FromReference, Proposal
from svlearn.inference.resampling import ess
from svlearn.inference.samples import History, Samples
from svlearn.inference.selection import Candidates, Selection
from svlearn.metering import Cost, metered
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import device_of, resolve_generator
from svlearn.state import State, device_of_state, repeat, take
from svlearn.targets import Target
from svlearn.values.value import Value, Zero, evaluate


@dataclass(frozen=True)
class Proposed:
    """Candidates that nobody has weighed yet, flat over groups and particles (N = B · K · M).

    x (N, ...); log_ratio (N,), log p_ref - log q, float64; and of the particle that each comes from: its value (N,)
    and its prediction, None at the start.
    """

    x: State
    log_ratio: Tensor
    values_before: Tensor
    previous: Prediction | None


@dataclass(frozen=True)
class Particles:
    """The kept states of a step, flat over groups (N = B · K).

    x (N, ...); values (N,), v_t(x_t), r at T; prediction, None at T; log_weights (B, K), float64; ancestors (B, K):
    the places in their groups of the particles that they come from.
    """

    x: State
    values: Tensor
    prediction: Prediction | None
    log_weights: Tensor
    ancestors: Tensor


class Sampler:
    """Groups of particles that are proposed, weighed and selected step by step.

    The named samplers (`svdd`, `smc`, ...) fill in the parts:

    proposal       who draws x_{t+1}: q(· | x_t)
    value, target  how good a candidate is: v_{t+1}(x_{t+1}), and r(x_T) itself at T
    selection      who survives
    num_particles  K particles to a group; num_candidates M candidates to a particle, one number per step 0 ... T

    log w_0 = v_0(x_0)/α; log w_{t+1} = log w_t + (v_{t+1}(x_{t+1}) - v_t(x_t))/α + log p_ref - log q, in float64.
    The reference is called once per kept state, and once per candidate where the value reads its prediction; the
    survivor's prediction is then reused.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target | None,
        value: Value,
        selection: Selection,
        *,
        proposal: Proposal | None = None,
        num_particles: int = 1,
        num_candidates: list[int] | None = None,
        estimates_normalizer: bool = False,
    ):
        self.reference, self.target, self.value, self.selection = reference, target, value, selection
        self.proposal = FromReference() if proposal is None else proposal
        self.num_particles = num_particles
        self.num_candidates = [1] * (reference.num_steps + 1) if num_candidates is None else num_candidates
        self.estimates_normalizer = estimates_normalizer

    @torch.no_grad()
    def sample(
        self,
        batch_size: int,
        *,
        condition: Any = None,
        generator: torch.Generator | None = None,
        progress: bool = False,
        max_batch: int | None = None,
        keep_states: bool = False,
    ) -> Samples:
        """Draw `batch_size` groups.

        condition: batch_size rows of what the samples are conditioned on; a row serves its whole group.
        generator: the same seed on the same machine gives the same samples. progress: show a bar over steps.
        max_batch: at most so many states in one network call; the noise does not depend on it.
        keep_states: hold the particles of every step, so that `Samples.paths` can trace them back.
        Raises ValueError for an empty batch, and where a reward or a value is NaN (with the step and the index).
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size: expected an integer of at least 1, got {batch_size!r}")
        if condition is not None and len(condition) != batch_size:
            raise ValueError(f"condition: expected {batch_size} rows, one a group, got {len(condition)}")
        generator = resolve_generator(generator, device_of(self.reference))
        effective, resampled, ancestors, states = [], [], [], []
        with metered(max_batch) as meter:
            proposed = self._start(batch_size, condition, generator)
            log_weights = proposed.log_ratio.new_zeros(batch_size, self.num_particles)
            for t in tqdm(range(self.reference.num_steps + 1), disable=not progress, desc="sampling", leave=False):
                particles, spread, due = self._survive(proposed, log_weights, t, generator)
                effective.append(spread)
                resampled.append(due)
                ancestors.append(particles.ancestors)
                log_weights = particles.log_weights
                if keep_states:
                    states.append(particles.x.unflatten(0, log_weights.shape))
                if particles.prediction is not None:  # at T there is none
                    proposed = self._propose(particles, particles.prediction, t + 1, generator)
        by_time = torch.stack(effective, dim=1), torch.stack(resampled, dim=1)
        history = History(*by_time, tuple(ancestors), tuple(states) if keep_states else None)
        return self._finish(particles, history, meter.cost)

    @torch.no_grad()
    def move(
        self, x: State, t: int, prediction: Prediction, *, generator: torch.Generator | None = None
    ) -> tuple[State, Tensor]:
        """The step of single particles from the given states x_t (N, ...) of any law, t = 0 ... T - 1.

        Returns x_{t+1} (N, ...) and log w_{t+1} - log w_t (N,), nats, float64, -inf where no candidate was possible.
        prediction: the reference's, of x_t. Raises ValueError for a sampler whose particles compete in groups.
        """
        if self.num_particles != 1:
            raise ValueError(f"num_particles: expected 1 to move given states, got groups of {self.num_particles}")
        generator = resolve_generator(generator, device_of(self.reference))
        values = self._values(x, t, prediction, generator)
        log_weights = torch.zeros(len(x), 1, dtype=torch.float64, device=values.device)
        particles = Particles(x, values, prediction, log_weights, ancestors=log_weights.long())
        proposed = self._propose(particles, prediction, t + 1, generator)
        candidates, _ = self._judge(proposed, log_weights, t + 1, generator)
        survivors = self.selection(candidates, generator)
        return proposed.x[_flat(survivors.index, candidates)], survivors.log_weights.squeeze(1)

    def _start(self, batch_size: int, condition: Any, generator: torch.Generator) -> Proposed:
        copies = self.num_particles * self.num_candidates[0]
        given = {} if condition is None else {"condition": repeat(condition, copies)}
        x = self.reference.initial(batch_size * copies, generator=generator, **given)
        nothing = torch.zeros(len(x), dtype=torch.float64, device=device_of_state(x))
        return Proposed(x, nothing, nothing, None)

    def _propose(self, particles: Particles, prediction: Prediction, t: int, generator: torch.Generator) -> Proposed:
        """Draw the candidates for x_t from the particles at t - 1."""
        law = self.proposal.transition(particles.x, t - 1, prediction)
        parents = repeat(torch.arange(len(particles.x), device=particles.values.device), self.num_candidates[t])
        previous = prediction[parents]
        if law is prediction.transition:
            x = previous.transition.sample(generator=generator)
            log_ratio = torch.zeros(len(x), dtype=torch.float64, device=particles.values.device)
        else:
            proposals = law[parents]
            x = proposals.sample(generator=generator)
            log_ratio = previous.transition.log_ratio(proposals, x)
        return Proposed(x, log_ratio, particles.values[parents], previous)

    def _survive(
        self, proposed: Proposed, log_weights: Tensor, t: int, generator: torch.Generator
    ) -> tuple[Particles, Tensor, Tensor]:
        """Weigh the candidates for x_t, keep the survivors, and see that each has its prediction.

        Also returns the ESS (B,) before the selection, and whether a group was resampled (B,).
        """
        x, final = proposed.x, t == self.reference.num_steps
        candidates, prediction = self._judge(proposed, log_weights, t, generator)
        survivors = self.selection(candidates, generator)
        index = _flat(survivors.index, candidates)
        if prediction is not None:
            prediction = prediction[index]
        elif not final:
            prediction = predict(self.reference, x[index], t, take(proposed.previous, index))
        values, copies = candidates.values.flatten()[index], self.num_candidates[t]
        particles = Particles(x[index], values, prediction, survivors.log_weights, survivors.index // copies)
        mean_increments = candidates.log_increments.logsumexp(dim=2) - math.log(copies)
        return particles, ess(log_weights + mean_increments), survivors.resampled

    def _judge(
        self, proposed: Proposed, log_weights: Tensor, t: int, generator: torch.Generator
    ) -> tuple[Candidates, Prediction | None]:
        """Weigh the candidates for x_t; also returns the reference's prediction of them, where the value reads it."""
        prediction = None
        if self.value.needs_prediction and t < self.reference.num_steps:
            prediction = predict(self.reference, proposed.x, t, proposed.previous)
        values = self._values(proposed.x, t, prediction, generator)
        return self._weigh(proposed, values, log_weights, t), prediction

    def _values(self, x: State, t: int, prediction: Prediction | None, generator: torch.Generator) -> Tensor:
        """v_t(x), or r(x) at T (0 where there is no target), (N,)."""
        if t < self.reference.num_steps:
            return evaluate(self.value, x, t, prediction, generator=generator)
        return evaluate(Zero(), x, t) if self.target is None else self.target(x)

    def _weigh(self, proposed: Proposed, values: Tensor, log_weights: Tensor, t: int) -> Candidates:
        shape = (*log_weights.shape, self.num_candidates[t])
        increments = torch.zeros(shape, dtype=torch.float64, device=values.device)
        if self.target is not None and self.target.alpha > 0:
            gains = (values.double() - proposed.values_before) / self.target.alpha
            increments = (gains + proposed.log_ratio).view(shape)
        return Candidates(values.view(shape), increments, log_weights, final=t == self.reference.num_steps)

    def _finish(self, particles: Particles, history: History, cost: Cost) -> Samples:
        batch_size, size = particles.log_weights.shape
        log_sum = particles.log_weights.logsumexp(dim=1, keepdim=True)
        alive = log_sum > -math.inf
        if self.estimates_normalizer and not bool(alive.any()):
            died = int((history.ess > 0).sum(dim=1).max())
            raise ValueError(
                f"every group died, the last at t = {died} of {self.reference.num_steps}: all its particles have "
                "reward or proposal ratio -inf; use more particles, a value that looks ahead, or a larger alpha"
            )
        return Samples(
            states=particles.x.unflatten(0, (batch_size, size)),
            rewards=None if self.target is None else particles.values.view(batch_size, size),
            log_weights=particles.log_weights - torch.where(alive, log_sum, 0.0),
            log_normalizer=(log_sum - math.log(size)).squeeze(1) if self.estimates_normalizer else None,
            cost=cost,
            history=history,
        )


def _flat(places: Tensor, candidates: Candidates) -> Tensor:
    """Places (B, K') among the K · M candidates of each group as rows of all candidates, (B · K',)."""
    batch_size, size, copies = candidates.values.shape
    groups = torch.arange(batch_size, device=places.device)[:, None] * (size * copies)
    return (places + groups).flatten()
