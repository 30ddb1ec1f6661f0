"""The one sampling loop: a proposal draws, a value weighs, a selection decides who survives."""

from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from svlearn.inference import indices
from svlearn.inference.log_weights import LogWeights
from svlearn.inference.overlap import predict_and_value
from svlearn.inference.parts import Parts
from svlearn.inference.recorder import Recorder
from svlearn.inference.retained import check_moves, check_shape
from svlearn.inference.samples import History
from svlearn.inference.selection import Candidates
from svlearn.metering import current_max_batch
from svlearn.process import Prediction, draw_initial, predict
from svlearn.progress import progress
from svlearn.state import State, concatenate, device_of_state, repeat, take, times
from svlearn.targets import check_no_nan
from svlearn.transitions import Transition
from svlearn.values.value import Zero, evaluate


@dataclass(frozen=True)
class Proposed:
    """Candidates that nobody has weighed yet, flat over groups and particles (N = B · K · M).

    x (N, ...); log_ratio (N,), log p_ref - log q, None where q is p_ref; log_twists (B · K,) of the particles that they
    come from, nats, float64; previous: the prediction (N rows) for the particle of each, None at the start and where it
    carries no cache.
    """

    x: State
    log_ratio: Tensor | None
    log_twists: Tensor
    previous: Prediction | None

    def of(self, particles: slice) -> "Proposed":
        """Those that come from these particles."""
        copies = len(self.x) // len(self.log_twists)
        cut = slice(particles.start * copies, particles.stop * copies)
        own = self.log_twists[particles]
        return Proposed(take(self.x, cut), take(self.log_ratio, cut), own, take(self.previous, cut))


@dataclass(frozen=True)
class Particles:
    """The kept states of a step, flat over groups (N = B · K).

    x (N, ...); rewards (N,), r(x_T) at T, None before and without a target; log_twists (N,), λ_t v_t/α, nats, float64;
    prediction, None at T; weights (B, K) and exponents λ_t (B,), float64; and what happened in this step: the
    log_increments (B, K, M) of its candidates, whether a group was resampled (B,), None where none was, and the places
    (B, K) that the particles had a step before.
    """

    x: State
    rewards: Tensor | None
    log_twists: Tensor
    prediction: Prediction | None
    weights: LogWeights
    exponents: Tensor
    log_increments: Tensor
    resampled: Tensor | None
    ancestors: Tensor

    @property
    def log_weights(self) -> Tensor:
        return self.weights.read()

    @classmethod
    def cat(cls, parts: list["Particles"]) -> "Particles":
        return cls(*(concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))


class Run:
    """One pass of the loop over B groups.

    retained: a trajectory (B, T + 1, ...) that the first particle of each group follows. keep_states: hold the
    particles of every step.
    """

    def __init__(
        self,
        parts: Parts,
        batch_size: int,
        generator: torch.Generator,
        *,
        retained: State | None = None,
        keep_states: bool = False,
        progress: bool = False,
    ):
        self.parts, self.batch_size, self.generator, self.retained = parts, batch_size, generator, retained
        self.keep_states, self.progress = keep_states, progress
        self.last = parts.reference.num_steps
        if retained is not None:
            check_shape(retained, batch_size, self.last, "retained")
        self.selection = parts.selection if retained is None else parts.selection.conditional()

    def from_start(self, condition: Any = None) -> tuple[Particles, History]:
        """Draw x_0, all its candidates, and go on to T."""
        copies = self.parts.num_particles * self.parts.num_candidates[0]
        given = None if condition is None else repeat(condition, copies)
        x = draw_initial(self.parts.reference, self.batch_size * copies, condition=given, generator=self.generator)
        return self._loop(x, 0, self.parts.num_candidates[0])

    def from_states(self, x: State, t: int) -> tuple[Particles, History]:
        """Start all particles of each group at its x_t (B, ...), and go on to T."""
        return self._loop(repeat(x, self.parts.num_particles), t, 1)

    def step(self, x: State, t: int, prediction: Prediction) -> tuple[State, Tensor]:
        """x_{t+1} of single particles x_t (B, ...), and what the step adds to their log-weights (B,)."""
        start, weights, exponents = self._unweighed(x)
        values = self._values(x, t, prediction)
        here = self._weigh(start, values, weights, exponents, t)
        proposed = self._propose(x, here.log_twists.flatten(), prediction, t + 1)
        candidates, _ = self._judge(proposed, weights, here.exponents, t + 1)
        survivors = self.selection(candidates, self._noise(candidates.shape, exponents.device))
        log_weights = survivors.weights(candidates).read()
        return take(proposed.x, self._rows(survivors.index, candidates)), log_weights.squeeze(1)

    def _loop(self, x: State, start: int, copies: int) -> tuple[Particles, History]:
        proposed, weights, exponents = self._unweighed(self._retain(x, start))
        recorder = Recorder(start, self.keep_states)
        for t in progress(range(start, self.last + 1), disable=not self.progress, desc="sampling", leave=False):
            particles = self._survive(proposed, weights, exponents, t, copies)
            happened = particles.log_increments, proposed.log_ratio, particles.resampled, particles.ancestors
            recorder.add(weights, *happened, particles.x)
            del proposed  # the losers go before others are drawn
            weights, exponents = particles.weights, particles.exponents
            if particles.prediction is not None:  # at T there is none
                copies = self.parts.num_candidates[t + 1]
                drawn_from = particles.x, particles.log_twists, particles.prediction
                proposed = self._propose(*drawn_from, t + 1)  # noqa: F841 - read in the next step
        return particles, recorder.history()

    def _unweighed(self, x: State) -> tuple[Proposed, LogWeights, Tensor]:
        """States as candidates, and the log-weights (B, K) and exponents (B,) before anything was weighed: all 0."""
        size = self.batch_size, self.parts.num_particles
        nothing = torch.zeros(size, dtype=torch.float64, device=device_of_state(x))
        return Proposed(x, None, nothing.flatten(), None), LogWeights(nothing), nothing.new_zeros(self.batch_size)

    def _retain(self, x: State, t: int) -> State:
        """Put the given trajectory in the place of the first candidate of every group."""
        if self.retained is not None:
            x = x.clone()  # a law may have drawn what is already held elsewhere, as of a state that stays
            x[:: len(x) // self.batch_size] = self.retained[:, t]
        return x

    def _propose(self, x: State, log_twists: Tensor, prediction: Prediction, t: int) -> Proposed:
        """Draw the candidates for x_t from the particles at t - 1, with their log-twists and predictions."""
        own, copies = prediction.transition, self.parts.num_candidates[t]
        law = self.parts.proposal.transition(x, t - 1, prediction)
        previous = None if prediction.cache is None else prediction
        parents: Tensor | None = None
        if copies == 1:
            drawn = self._retain(law.sample(generator=self.generator), t)
        else:
            parents = indices.parents(log_twists.shape[0], copies, log_twists.device)
            drawn = self._retain(law.sample_each(parents, generator=self.generator), t)
        log_ratio = None if law is own else self._log_ratio(own, law, parents, drawn)
        if self.retained is not None and log_ratio is not None:
            check_moves(law, drawn, log_ratio, t, (self.batch_size, self.parts.num_particles))
        return Proposed(drawn, log_ratio, log_twists, take(previous, parents))

    @staticmethod
    def _log_ratio(own: Transition, law: Transition, parents: Tensor | None, drawn: State) -> Tensor:
        """log own - log law (N,) of what was drawn from those rows of them (None: one from each), which are not copied
        for all at once."""
        if parents is None:
            return own.log_ratio(law, drawn)
        number = parents.shape[0]
        size = current_max_batch() or number
        cuts = [slice(start, start + size) for start in range(0, number, size)]
        return torch.cat([own[parents[cut]].log_ratio(law[parents[cut]], take(drawn, cut)) for cut in cuts])

    def _survive(self, proposed: Proposed, weights: LogWeights, exponents: Tensor, t: int, copies: int) -> Particles:
        """The survivors of the candidates for x_t.

        Where the losers' predictions would fill the memory, as many groups are served at a time as fit `max_batch`.
        """
        value, (groups, size), limit = self.parts.value, weights.shape, current_max_batch()
        noise = self._noise((groups, size, copies), exponents.device)
        together = copies == 1 or t == self.last or not value.reads(t) or value.needs_generator
        at_once = groups if limit is None or together else max(1, limit // (size * copies))
        if at_once >= groups:
            return self._select(proposed, noise, weights, exponents, t)
        parts = []
        for start in range(0, groups, at_once):
            cut = slice(start, start + at_once)
            some = proposed.of(slice(start * size, cut.stop * size))
            parts.append(self._select(some, noise[cut], weights[cut], exponents[cut], t))
        return concatenate(parts)

    def _select(self, proposed: Proposed, noise: Tensor, weights: LogWeights, exponents: Tensor, t: int) -> Particles:
        """Weigh the candidates, keep the survivors, and see that each has its prediction."""
        candidates, prediction = self._judge(proposed, weights, exponents, t)
        survivors = self.selection(candidates, noise)
        proposal, copies, rows = self.parts.proposal, candidates.shape[2], self._rows(survivors.index, candidates)
        finished = t == self.last and self.parts.target is not None
        x = take(proposed.x, rows)
        if t < self.last and (prediction is None or (proposal.needs_gradient and copies > 1)):
            prediction = proposal.predict(self.parts.reference, x, t, take(proposed.previous, rows))
        elif prediction is not None:
            prediction = take(proposal.keep(prediction), rows)
        return Particles(
            x,
            take(candidates.values.flatten(), rows) if finished else None,
            take(candidates.log_twists.flatten(), rows),
            prediction,
            survivors.weights(candidates),
            candidates.exponents,
            candidates.log_increments,
            survivors.resampled,
            self._ancestors(survivors.index, candidates),
        )

    def _judge(
        self, proposed: Proposed, weights: LogWeights, exponents: Tensor, t: int
    ) -> tuple[Candidates, Prediction | None]:
        """Weigh the candidates for x_t; also returns the reference's prediction of them, where the value reads it."""
        value, x, prediction = self.parts.value, proposed.x, None
        if t == self.last or not value.reads(t):
            values = self._values(x, t, None)
        else:
            size = x.shape[0]
            once, moments = size == weights.shape.numel(), times(t, size, device_of_state(x))
            call = self.parts.proposal.predict if once else predict  # a loser needs nothing but its value
            look = partial(call, self.parts.reference)
            if value.asynchronous:
                prediction, values = predict_and_value(look, value, x, moments, proposed.previous)
            else:
                prediction = look(x, moments, proposed.previous)
                values = evaluate(value, x, moments, prediction, generator=self.generator)
        return self._weigh(proposed, values, weights, exponents, t), prediction

    def _values(self, x: State, t: int, prediction: Prediction | None) -> Tensor:
        """v_t(x), or r(x) at T (0 where there is no target), (N,)."""
        if t < self.last:
            return evaluate(self.parts.value, x, t, prediction, generator=self.generator)
        if self.parts.target is not None:
            return self.parts.target(x)
        check_no_nan(x, t)
        return evaluate(Zero(), x, t)

    def _weigh(self, proposed: Proposed, values: Tensor, weights: LogWeights, exponents: Tensor, t: int) -> Candidates:
        """Groups of candidates with what each multiplies the weight of its particle by; exponents λ_{t-1} (B,)."""
        target, final = self.parts.target, t == self.last
        batch_size, size = weights.shape
        values, before = values.view(batch_size, size, -1), proposed.log_twists.view(batch_size, size, 1)
        if proposed.log_ratio is not None:
            before = before - proposed.log_ratio.view(values.shape)
        if target is None or target.alpha == 0:
            increments = twists = torch.zeros_like(values, dtype=torch.float64)
        else:
            twists = values.double() / target.alpha
            if self.parts.tempering is not None:
                given = (t, exponents, weights.read(), -before.expand_as(twists), twists)
                exponents = torch.ones_like(exponents) if final else self.parts.tempering(*given)
                twists = exponents[:, None, None] * twists
            increments = twists - before
        retained = self.retained is not None
        return Candidates(values, increments, weights, twists, exponents, t, final, retained, proposed.x)

    def _noise(self, shape: tuple[int, int, int], device: torch.device) -> Tensor:
        """What the selection draws, wherever the generator lies."""
        return self.selection.noise(shape, self.generator).to(device)

    def _rows(self, places: Tensor | None, candidates: Candidates) -> Tensor | None:
        """Places (B, K') among the K · M candidates of each group as rows of all candidates, (B · K',)."""
        batch_size, size, copies = candidates.shape
        if places is None:
            return None
        return (places + indices.firsts(batch_size, size * copies, places.device)).flatten()

    def _ancestors(self, places: Tensor | None, candidates: Candidates) -> Tensor:
        """The particles (B, K') that the candidates at these places were drawn from."""
        batch_size, size, copies = candidates.shape
        if places is None or size == 1:
            return indices.count_up(size, candidates.values.device).expand(batch_size, size)
        return places if copies == 1 else places // copies
