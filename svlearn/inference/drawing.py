"""Candidates for the next state: several of each particle from its one law, without copies of that."""

import torch
from torch import Tensor

from svlearn.inference import cuts, indices
from svlearn.inference.particles import Draws, Particles
from svlearn.inference.parts import Parts
from svlearn.inference.retained import Retained
from svlearn.process import Prediction
from svlearn.transitions import Transition


def draw(
    parts: Parts,
    law: Transition,
    prediction: Prediction,
    particles: Particles,
    rows: Tensor | None,
    t: int,
    generator: torch.Generator,
    retained: Retained | None,
) -> Draws:
    """x_t (n · M, ...) ~ law, M = num_candidates[t] of each of these rows (n,) of the particles (None: all), with
    log p_ref - log law; the first of a group is that of the trajectory that is retained.

    prediction: the reference's, of the same rows. The cache of a candidate is that of its particle: nothing of it is
    copied here.
    """
    own, copies, number = prediction.transition, parts.num_candidates[t], len(particles.x if rows is None else rows)
    parents = None if copies == 1 else indices.parents(number, copies, particles.log_twists.device)
    x = law.sample(generator=generator) if parents is None else law.sample_each(parents, generator=generator)
    if retained is not None:
        x = retained.put(x, t, rows, copies)
    log_ratio = None if law is own else cuts.log_ratio(own, law, parents, x)
    if retained is not None and log_ratio is not None:
        retained.check_moves(law, x, log_ratio, t, rows, copies)
    read = t < parts.num_steps and (prediction.has_cache or parts.asks_parents(t))
    previous = prediction if read else None
    values = None if t == parts.num_steps else parts.proposal.values_drawn(parts.value, law, x)
    before = particles.log_twists, particles.weights, particles.exponents
    return Draws(x, log_ratio, *before, previous, parents, values)
