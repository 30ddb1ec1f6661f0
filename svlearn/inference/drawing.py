"""Candidates for the next state: several of each particle from its one law, without copies of that."""

from typing import cast

import torch

from svlearn.inference import cuts, indices
from svlearn.inference.particles import Draws, Particles
from svlearn.inference.parts import Parts
from svlearn.inference.retained import Retained
from svlearn.process import Prediction
from svlearn.transitions import Transition


def draw(
    parts: Parts,
    law: Transition,
    particles: Particles,
    t: int,
    generator: torch.Generator,
    retained: Retained | None,
) -> Draws:
    """x_t (B · K · M, ...) ~ law, num_candidates[t] of each particle, with log p_ref - log law; the first of a group is
    that of the trajectory that is retained. Their cache is that of the particle: nothing of it is copied here."""
    prediction, copies = cast(Prediction, particles.prediction), parts.num_candidates[t]
    own = prediction.transition
    parents = None if copies == 1 else indices.parents(len(particles.x), copies, particles.log_twists.device)
    x = law.sample(generator=generator) if parents is None else law.sample_each(parents, generator=generator)
    if retained is not None:
        x = retained.put(x, t)
    log_ratio = None if law is own else cuts.log_ratio(own, law, parents, x)
    if retained is not None and log_ratio is not None:
        retained.check_moves(law, x, log_ratio, t)
    previous = None if prediction.cache is None or t == parts.num_steps else prediction
    values = None if t == parts.num_steps else parts.proposal.values_drawn(parts.value, law, x)
    before = particles.log_twists, particles.weights, particles.exponents
    return Draws(x, log_ratio, *before, previous, parents, values)
