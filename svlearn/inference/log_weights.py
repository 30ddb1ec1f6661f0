"""The particles' log-weights, worked out when somebody reads them."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import cast

import torch
from torch import Tensor


class LogWeights:
    """Log-weights (B, K), nats, float64, that may wait for `read`.

    Where only the end needs them, as in SVDD, a step notes the increments of its candidates and no more; those of many
    steps are worked out at once, for the operations on few numbers of one step take as long as those on many.
    """

    def __init__(self, known: Tensor):
        self.shape = known.shape
        self._known: Tensor | None = known
        self._before: LogWeights | None = None
        self._increments: Tensor | None = None

    def times_mean(self, log_increments: Tensor) -> "LogWeights":
        """Each weight times the mean of M, log w + log (1/M) Σ exp(increment), of increments (B, K, M)."""
        after = LogWeights.__new__(LogWeights)
        after.shape, after._known, after._before, after._increments = self.shape, None, self, log_increments
        return after

    def read(self) -> Tensor:
        """The log-weights (B, K)."""
        steps: list[LogWeights] = []
        here = self
        while here._known is None:
            steps.append(here)
            here = cast(LogWeights, here._before)
        known = here._known
        for _, alike in groupby(reversed(steps), key=lambda step: cast(Tensor, step._increments).shape):
            waiting = list(alike)
            factors = log_mean(torch.stack([cast(Tensor, step._increments) for step in waiting]))
            sums = torch.cat([known[None], factors]).cumsum(dim=0)
            for step, own in zip(waiting, sums[1:].unbind(), strict=True):
                step._known, step._before, step._increments = own, None, None
            known = sums[-1]
        return known

    def __getitem__(self, groups: slice) -> "LogWeights":
        return LogWeights(self.read()[groups])

    @classmethod
    def cat(cls, parts: Sequence["LogWeights"]) -> "LogWeights":
        return cls(torch.cat([part.read() for part in parts]))


def log_mean(log_increments: Tensor) -> Tensor:
    """log (1/M) Σ exp(increment), nats, over the last dimension."""
    return log_increments.logsumexp(dim=-1) - math.log(log_increments.shape[-1])
