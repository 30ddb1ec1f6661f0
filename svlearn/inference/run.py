"""One run of the loop: where it starts, and what it holds on to."""

from typing import Any

import torch
from torch import Tensor

from svlearn.inference import indices
from svlearn.inference.loop import Loop
from svlearn.inference.particles import Draws, Particles
from svlearn.inference.parts import Parts
from svlearn.inference.recorder import Recorder
from svlearn.inference.retained import Retained, check_shape
from svlearn.inference.samples import History
from svlearn.inference.weighing import predict_and_evaluate, values_of, weighed
from svlearn.process import Prediction, draw_initial
from svlearn.progress import progress
from svlearn.state import State, device_of_state, repeat, take


class Run:
    """A pass over B groups.

    retained: a trajectory (B, T + 1, ...) that the first particle of each group follows. keep_states: hold the
    particles of every step; keep_candidates: and all that were scored there.
    """

    def __init__(
        self,
        parts: Parts,
        batch_size: int,
        generator: torch.Generator,
        *,
        retained: State | None = None,
        keep_states: bool = False,
        keep_candidates: bool = False,
        progress: bool = False,
    ):
        self.parts, self.batch_size, self.generator = parts, batch_size, generator
        self.keep_states, self.progress, self.last = keep_states, progress, parts.num_steps
        self.keep_candidates = keep_candidates
        if retained is None:
            self.loop = Loop(parts, parts.selection, generator)
        else:
            check_shape(retained, batch_size, self.last, "retained")
            followed = Retained(retained, parts.num_particles)
            self.loop = Loop(parts, parts.selection.conditional(), generator, followed)

    def from_start(self, condition: Any = None) -> tuple[Particles, History]:
        """Draw x_0, all its candidates, and go on to T."""
        copies = self.parts.num_particles * self.parts.num_candidates[0]
        rows = None if condition is None else repeat(condition, copies)
        if self.parts.start is not None:
            if self.loop.retained is not None:
                raise ValueError("start: expected None to follow a given trajectory, whose x_0 has the law p_0")
            started = self.parts.start.draw(self.batch_size, copies, condition=rows, generator=self.generator)
            return self._go_on(started.x, 0, started.log_ratio, started.values)
        x = draw_initial(self.parts.reference, self.batch_size * copies, condition=rows, generator=self.generator)
        return self._go_on(x, 0)

    def from_states(self, x: State, t: int) -> tuple[Particles, History]:
        """Start all particles of each group at its x_t (B, ...), and go on to T."""
        return self._go_on(repeat(x, self.parts.num_particles), t)

    def _go_on(
        self, x: State, start: int, log_ratio: Tensor | None = None, values: Tensor | None = None
    ) -> tuple[Particles, History]:
        """From the candidates for x_t at the start, with log p_0 - log q_0 and v_0 of them, where a start says so."""
        if self.loop.retained is not None:
            copies = len(x) // (self.batch_size * self.parts.num_particles)
            x = self.loop.retained.put(x, start, None, copies)
        recorder = Recorder(start, self.keep_states, self.keep_candidates)
        steps = progress(range(start, self.last + 1), disable=not self.progress, desc="sampling", leave=False)
        draws = Draws.start(x, self.batch_size, self.parts.num_particles, log_ratio, values)
        return self.loop.run(draws, steps, recorder), recorder.history()

    def step(self, x: State, t: int, prediction: Prediction) -> tuple[State, Tensor]:
        """x_{t+1} of single particles x_t (B, ...), and what the step adds to their log-weights (B,)."""
        loop, start = self.loop, Draws.start(x, self.batch_size, 1)
        here = weighed(self.parts, start, values_of(self.parts, x, t, prediction, self.generator), t)
        particles = Particles(x, prediction, here.log_twists.flatten(), start.weights, here.exponents)
        draws = loop.propose(particles, t + 1)
        values, _ = predict_and_evaluate(self.parts, draws, t + 1, self.generator)
        candidates = weighed(self.parts, draws, values, t + 1)
        noise = loop.selection.noise(candidates.shape, self.generator).to(device_of_state(x))
        survivors = loop.selection(candidates, noise)
        rows = indices.rows(survivors.index, candidates.shape)
        return take(draws.x, rows), survivors.weights(candidates).read().squeeze(1)
