"""Masked states over leaves and over one tensor."""

import torch

from svlearn.randomness import seeded
from svlearn.transitions import FieldTransition, MaskedTransition

MASK, V, DOUBLE = 4, 4, torch.float64
LEAVES = ("nodes", "edges")


def law(x, num_nodes, num_edges, seed=0):
    """k of each leaf's places, or the probability of each where the number is a float."""
    generator, laws = seeded("cpu", seed), {}
    for name, number in zip(LEAVES, (num_nodes, num_edges)):
        logits = torch.randn(1, 3, V, generator=generator, dtype=DOUBLE).expand(len(x), -1, -1)
        which = {"probability" if isinstance(number, float) else "number": number}
        laws[name] = MaskedTransition(x[name], logits, MASK, **which)
    return FieldTransition(laws, x)
