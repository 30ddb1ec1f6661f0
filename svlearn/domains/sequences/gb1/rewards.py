"""Rewards of the measured landscape: the fitness itself, and its logarithm."""

from pathlib import Path

import torch
from torch import Tensor, nn

from svlearn.arguments import real
from svlearn.domains.sequences.alphabet import PROTEIN
from svlearn.domains.sequences.gb1.protein import LENGTH
from svlearn.domains.sequences.gb1.table import read_measurements, variant_index

UNMEASURED = 0.0  # nobody saw them survive: no sampler is to be paid for what was not measured
FLOOR = 0.01


class Fitness(nn.Module):
    """r(x) = the measured fitness, (B,), in units of the wild type's, 0 to 8.76, of variants (B, 4) of token ids.

    It is the growth of a variant in the selection over that of the wild type, measured for 149,361 of the 160,000
    variants (Wu et al. 2016, eLife 5, e16965); the other 10,639 score `unmeasured`, 0, as a dead one.
    Of soft one-hots (B, 4, N >= 20), floats, it is Σ_x Π_i one_hot[i, x_i] r(x): its gradient at a variant is, place by
    place, the reward of every substitution.
    path: as for `read_measurements`. Raises as that, and ValueError for states that hold a mask.
    """

    table: Tensor
    reads_one_hot = True

    def __init__(self, path: str | Path | None = None, unmeasured: float = UNMEASURED):
        super().__init__()
        unmeasured = real(unmeasured, "unmeasured", least=0)
        self.register_buffer("table", read_measurements(path).landscape(unmeasured))

    def forward(self, x: Tensor) -> Tensor:
        if x.is_floating_point():
            return self._expected(x[..., : PROTEIN.size])
        if bool((x == PROTEIN.mask).any()):
            row = int((x == PROTEIN.mask).any(dim=1).nonzero()[0])
            raise ValueError(f"x: expected finished variants, got one with a mask at index {row}")
        return self.table[variant_index(x)]

    def _expected(self, weights: Tensor) -> Tensor:
        """The mean reward of letters drawn place by place by weights (B, 4, 20), which need not sum to 1."""
        found = self.table.to(weights.dtype).view(PROTEIN.size, -1)
        found = weights[:, 0] @ found
        for place in range(1, LENGTH):
            found = torch.einsum("bv,bvr->br", weights[:, place], found.view(len(weights), PROTEIN.size, -1))
        return found.squeeze(1)


class LogFitness(Fitness):
    """r(x) = log max(fitness, floor), (B,), nats: p*(x) ∝ p_ref(x) max(fitness, floor)^(1/alpha).

    floor: 0.01 of the wild type's, below which the assay counts noise: half of all variants lie under 0.005, a fifth at
    0 exactly. So r is from -4.6 to 2.2, that of the wild type 0, and a soft target needs alpha > 0. Raises ValueError
    for a floor that is not above 0; and as `Fitness`.
    """

    def __init__(self, path: str | Path | None = None, floor: float = FLOOR, unmeasured: float = UNMEASURED):
        super().__init__(path, unmeasured)
        self.floor = real(floor, "floor", above=0)
        self.table = self.table.clamp(min=self.floor).log()
