"""The best of several lineages of SVDD."""

from collections.abc import Sequence

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.inference.sampler import Sampler
from svlearn.inference.samplers import svdd
from svlearn.inference.selection import Candidates, Selection, Survivors
from svlearn.process import Reference
from svlearn.targets import Target
from svlearn.values.value import Value


class BestLineage(Selection):
    """Each particle chooses among its own candidates; at T the one of the largest reward of the group is kept."""

    def __init__(self, local: Selection):
        self.local = local

    def noise(self, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
        return self.local.noise(shape, generator)

    def __call__(self, candidates: Candidates, noise: Tensor) -> Survivors:
        if not candidates.final:
            return self.local(candidates, noise)
        best = candidates.values.flatten(1).argmax(dim=1, keepdim=True)
        return Survivors(best, torch.zeros_like(candidates.log_weights[:, :1]))


def svdd_best_of_n(
    reference: Reference,
    target: Target,
    value: Value,
    n: int,
    num_candidates: int | Sequence[int] = 10,
) -> Sampler:
    """The sample of the largest reward among the finished candidates of n lineages of `svdd`, whatever alpha is; n
    times its calls. It targets no p*: as n grows, the law runs to the largest reward.

    num_candidates: M of each lineage, or one number per step 0 ... T. Raises ValueError as `svdd`, and for n < 1.
    """
    numbers = list(num_candidates) if isinstance(num_candidates, Sequence) else num_candidates
    one = svdd(reference, target, value, numbers)
    return Sampler(
        reference,
        target,
        one.value,
        BestLineage(one.selection),
        num_particles=integer(n, "n"),
        num_candidates=one.num_candidates,
    )
