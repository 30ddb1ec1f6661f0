"""What `max_batch` cuts in the loop: groups whose losers' predictions would fill the memory, and log-ratios."""

from collections.abc import Callable

import torch
from torch import Tensor

from svlearn.inference.particles import Draws, Particles, Step
from svlearn.inference.parts import Parts
from svlearn.metering import current_max_batch
from svlearn.state import State, concatenate, take
from svlearn.transitions import Transition


def by_groups(
    survive: Callable[[Draws, Tensor], tuple[Particles, Step]], draws: Draws, noise: Tensor, at_once: int
) -> tuple[Particles, Step]:
    """survive(draws, noise), noise (B, ...), of so many groups at once; groups never interact."""
    groups = draws.shape[0]
    if at_once >= groups:
        return survive(draws, noise)
    cuts = [slice(start, min(start + at_once, groups)) for start in range(0, groups, at_once)]
    particles, steps = zip(*(survive(draws.of(cut), noise[cut]) for cut in cuts), strict=True)
    return concatenate(particles), concatenate(steps)


def groups_at_once(parts: Parts, draws: Draws, t: int) -> int:
    """As many groups as fit `max_batch` where the candidates are predicted and most of them lose; else all."""
    (groups, size, copies), limit, value = draws.shape, current_max_batch(), parts.value
    known = draws.values is not None and draws.finished is None
    unread = known or t == parts.num_steps or not value.reads(t)
    unread = unread or (draws.previous is not None and parts.asks_parents(t))
    together = copies == 1 or unread or value.needs_generator
    return groups if limit is None or together else max(1, limit // (size * copies))


def log_ratio(own: Transition, law: Transition, parents: Tensor | None, drawn: State) -> Tensor:
    """log own - log law (N,) of what was drawn from those rows of them (None: one from each), which are not copied
    for all at once."""
    if parents is None:
        return own.log_ratio(law, drawn)
    number = parents.shape[0]
    size = current_max_batch() or number
    cuts = [slice(start, start + size) for start in range(0, number, size)]
    return torch.cat([own[parents[cut]].log_ratio(law[parents[cut]], take(drawn, cut)) for cut in cuts])
