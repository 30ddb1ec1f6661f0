"""Samplers of texts that end, and their sizes."""

from svlearn.domains.analytic import TokenTree
from svlearn.inference.proposals import Exact, Policy
from svlearn.inference.samplers import smc, svdd
from svlearn.inference.tempering import Adaptive, Schedule
from svlearn.process import Reference

ALPHA, K, M, T = 0.6, 4, 3, 5
TREE = TokenTree.random(3, T, seed=2, end=0)


class Unending(Reference):
    """The same process, which does not say what is finished."""

    num_steps = T

    def initial(self, batch_size, *, condition=None, generator=None):
        return TREE.initial(batch_size, generator=generator)

    def forward(self, x, t, previous=None):
        return TREE(x, t)


SAMPLERS = {
    "svdd": lambda *parts: svdd(*parts, M),
    "svdd, tempered": lambda *parts: svdd(*parts, M, tempering=Schedule([0.0, 0.3, 0.5, 0.7, 0.9, 1.0])),
    "svdd, exact proposal": lambda *parts: svdd(*parts, M, Exact(parts[2])),
    "smc": lambda *parts: smc(*parts, K, 0.9),
    "smc, always resampled": lambda *parts: smc(*parts, K, 1.0),
    "smc, tempered": lambda *parts: smc(*parts, K, 0.9, tempering=Adaptive(0.8)),
    "smc, in part": lambda *parts: smc(*parts, 6, 0.9, by_value=True, share=0.5),
    "smc, exact proposal": lambda *parts: smc(*parts, K, 0.9, proposal=Exact(parts[2])),
    "smc, policy": lambda *parts: smc(*parts, K, 0.9, proposal=Policy(TREE.optimal(1.5))),
    "nested": lambda *parts: smc(*parts, K, 0.9, num_candidates=M),
}
