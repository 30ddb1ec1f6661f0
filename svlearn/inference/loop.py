"""The one sampling loop: a proposal draws, a value weighs, a selection decides who survives."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor

from svlearn.inference import cuts, drawing, indices, reuse, weighing
from svlearn.inference.finished import draw_moving
from svlearn.inference.particles import Draws, Particles, Step
from svlearn.inference.parts import Parts
from svlearn.inference.recorder import Recorder
from svlearn.inference.retained import Retained
from svlearn.inference.selection import Candidates, Selection
from svlearn.process import Prediction, finished_rows
from svlearn.state import State, device_of_state, take


@dataclass(frozen=True)
class Loop:
    """x_t from x_{t-1}, step by step: propose, weigh, select, record.

    parts: what is plugged in; selection: theirs, or what it says to use where a trajectory is retained.
    """

    parts: Parts
    selection: Selection
    generator: torch.Generator
    retained: Retained | None = None

    def run(self, draws: Draws, steps: Iterable[int], recorder: Recorder) -> Particles:
        """From the candidates for x_t at the first of the steps to the particles x_T that are kept at the last."""
        particles: Particles | None = None
        for t in steps:
            if particles is not None:
                if particles.prediction is None and t < self.parts.num_steps:  # all are finished
                    recorder.stand_still(particles)
                    continue
                draws = self.propose(particles, t)
            noise = self.selection.noise(draws.shape, self.generator).to(device_of_state(draws.x))
            survive = partial(self._weigh_and_select, t)
            particles, step = cuts.by_groups(survive, draws, noise, cuts.groups_at_once(self.parts, draws, t))
            recorder.record(draws, particles, step)
            del draws  # the losers go before others are drawn
        return cast(Particles, particles)

    def _weigh_and_select(self, t: int, draws: Draws, noise: Tensor) -> tuple[Particles, Step]:
        candidates, prediction = self.weigh(draws, t)
        return self.select(candidates, noise, draws, prediction)

    def propose(self, particles: Particles, t: int) -> Draws:
        """x_t ~ q(· | x_{t-1}), num_candidates[t] times for each particle, and log p_ref - log q of each."""

        def draw(x: State, prediction: Prediction, rows: Tensor | None) -> Draws:
            law = self.parts.proposal.transition(x, t - 1, prediction)
            return drawing.draw(self.parts, law, prediction, particles, rows, t, self.generator, self.retained)

        return draw_moving(draw, particles, self.parts.num_candidates[t])

    def weigh(self, draws: Draws, t: int) -> tuple[Candidates, Prediction | None]:
        """What each candidate multiplies the weight of its particle by: its value, r itself at T, over that before; and
        the reference's prediction of the candidates, where the value reads it."""
        values, prediction = weighing.predict_and_evaluate(self.parts, draws, t, self.generator)
        finished = finished_rows(self.parts.reference, draws.x) if t < self.parts.num_steps else None
        return weighing.weighed(self.parts, draws, values, t, self.retained is not None, finished), prediction

    def select(
        self, candidates: Candidates, noise: Tensor, draws: Draws, prediction: Prediction | None
    ) -> tuple[Particles, Step]:
        """Those that survive, each with its weight and the reference's prediction: that of the candidate, or a call."""
        survivors = self.selection(candidates, noise)
        rows = indices.rows(survivors.index, candidates.shape)
        values = (
            take(candidates.values.flatten(), rows) if candidates.final or candidates.finished is not None else None
        )
        x = take(draws.x, rows)
        particles = Particles(
            x,
            reuse.prediction_of_survivors(self.parts, draws, candidates, rows, x, prediction),
            take(candidates.log_twists.flatten(), rows),
            survivors.weights(candidates),
            candidates.exponents,
            values if candidates.final and self.parts.target is not None else None,
            take(candidates.finished, rows),
            values,
        )
        ancestors = indices.ancestors(survivors.index, candidates.shape, candidates.values.device)
        return particles, Step(candidates.log_increments, survivors.resampled, ancestors, candidates.values)
