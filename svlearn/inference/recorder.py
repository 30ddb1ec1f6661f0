"""Writes the `History` of a run, and works it out for many steps at once."""

from itertools import groupby

import torch
from torch import Tensor

from svlearn.inference.indices import count_up
from svlearn.inference.log_weights import LogWeights, log_mean
from svlearn.inference.particles import Draws, Particles, Step
from svlearn.inference.resampling import central_moments, ess
from svlearn.inference.samples import History, ScoredCandidates
from svlearn.state import State
from svlearn.targets import check_no_nan

HELD = 2**18  # numbers of a kind that are held until they are worked out: 2 MB


class Recorder:
    """Holds what each step leaves, from `start` on.

    Nothing is computed step by step: an operation on the few numbers of one step takes as long as one on those of
    many, and the figures of a step take dozens. They are worked out at the end, or when `HELD` numbers wait for it.
    """

    def __init__(self, start: int, keep_states: bool, keep_candidates: bool = False):
        self.start, self.keep_states = start, keep_states
        self.candidates: list[ScoredCandidates | None] | None = [] if keep_candidates else None
        self.resampled: list[Tensor | None] = []
        self.ancestors: list[Tensor] = []
        self.states: list[State] = []
        self.waiting: list[tuple[LogWeights, Tensor, Tensor | None]] = []
        self.figures: list[Tensor] = []

    def add(
        self,
        weights: LogWeights,
        log_increments: Tensor,
        log_ratio: Tensor | None,
        resampled: Tensor | None,
        ancestors: Tensor,
        states: State,
    ) -> None:
        """A step: log-weights (B, K) before it, increments (B, K, M) and log p_ref - log q (B · K · M,), None for 0, of
        its candidates, which groups (B,) were resampled (None: none), and the ancestors (B, K) and states (B · K, ...)
        that it kept."""
        ratios = None if log_ratio is None else log_ratio.view(len(log_increments), -1)
        self.waiting.append((weights, log_increments, ratios))
        self.resampled.append(resampled)
        self.ancestors.append(ancestors)
        if self.keep_states:
            check_no_nan(states, self.start + len(self.states))
            self.states.append(states.unflatten(0, ancestors.shape))
        if len(self.waiting) * log_increments.numel() >= HELD:
            self._compute()

    def record(self, draws: Draws, particles: Particles, step: Step) -> None:
        """A step that the loop has made."""
        self.add(draws.weights, step.log_increments, draws.log_ratio, step.resampled, step.ancestors, particles.x)
        if self.candidates is not None:
            shape = step.values.shape
            ratio, done = (None if each is None else each.view(shape) for each in (draws.log_ratio, draws.finished))
            x, kept = draws.x.unflatten(0, shape), particles.log_twists.view(step.ancestors.shape)
            self.candidates.append(ScoredCandidates(x, step.values, step.log_increments, ratio, done, kept))

    def stand_still(self, particles: Particles) -> None:
        """A step in which all are finished: nothing is drawn, and no weight changes."""
        log_weights = particles.log_weights
        own = count_up(log_weights.shape[1], log_weights.device).expand_as(log_weights)
        self.add(particles.weights, torch.zeros_like(log_weights)[:, :, None], None, None, own, particles.x)
        if self.candidates is not None:
            self.candidates.append(None)

    def history(self) -> History:
        """What happened at all steps."""
        self._compute()
        figures = torch.cat(self.figures, dim=1)
        states = tuple(self.states) if self.keep_states else None
        none = torch.zeros_like(figures[:, 0, 0], dtype=torch.bool)
        resampled = torch.stack([none if each is None else each for each in self.resampled], dim=1)
        candidates = None if self.candidates is None else tuple(self.candidates)
        ancestors = tuple(self.ancestors)
        return History(figures[..., 0], resampled, ancestors, states, self.start, figures[..., 1:], candidates)

    def _compute(self) -> None:
        """The figures (B, steps, 6) of the steps that wait, those alike together."""
        for _, steps in groupby(self.waiting, key=lambda step: (step[1].shape, step[2] is None)):
            weights, log_increments, log_ratio = zip(*steps, strict=True)
            weights[-1].read()  # and with it those before
            log_weights = torch.stack([each.read() for each in weights], dim=1)
            ratios = None if log_ratio[0] is None else torch.stack(log_ratio, dim=1)
            self.figures.append(figures(log_weights, torch.stack(log_increments, dim=1), ratios))
        self.waiting = []


def figures(log_weights: Tensor, log_increments: Tensor, log_ratio: Tensor | None) -> Tensor:
    """The ESS of each step of each group, then its `History.spreads`: (B, steps, 6), from (B, steps, K),
    (B, steps, K, M) and (B, steps, K · M)."""
    weighed = log_weights + log_mean(log_increments)
    increments = log_increments.flatten(2)
    effective, share = (ess(each.flatten(0, 1)).view(each.shape[:2]) for each in (weighed, increments))
    (among, _), (variance, third) = (central_moments(each).unbind(dim=2) for each in (weighed, increments))
    ratio = torch.zeros_like(among) if log_ratio is None else central_moments(log_ratio)[..., 0]
    return torch.stack([effective, among, variance, third, share / increments.shape[2], ratio], dim=2)
