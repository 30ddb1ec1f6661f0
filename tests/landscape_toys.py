"""A masked diffusion of three letters at three places, small enough to walk through every path by hand."""

import itertools
import math

import torch
from torch import nn

from svlearn.domains.sequences.alphabet import Alphabet
from svlearn.domains.sequences.in_order import InOrder
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.policies import Policy
from svlearn.randomness import seeded

LETTERS, LENGTH = 3, 3
ALPHABET = Alphabet("ABC")


class TableNetwork(nn.Module):
    """Free logits for each of 4^3 states, places and letters."""

    def __init__(self, seed: int, zeros: bool = False):
        super().__init__()
        shape = ((LETTERS + 1) ** LENGTH, LENGTH, LETTERS)
        drawn = torch.randn(shape, generator=seeded("cpu", seed), dtype=torch.float64)
        if zeros:  # at the first place no state may take the first letter
            drawn[:, 0, 0] = -math.inf
        self.logits = nn.Parameter(drawn)

    def forward(self, x, t):
        return self.logits[sum(x[:, place] * (LETTERS + 1) ** place for place in range(LENGTH))]


class TablePolicy(Policy):
    """Another masked diffusion over the same states, as a policy."""

    def __init__(self, reference, other):
        super().__init__(reference)
        self.other = other

    def steer(self, prediction, x, t):
        return self.other(x, t).transition

    def trained(self):
        return self.other.parameters()


class Scores(nn.Module):
    """A reward for each of 27 sequences."""

    def __init__(self, seed: int = 0, forbidden: tuple[int, ...] = ()):
        super().__init__()
        table = torch.randn(LETTERS**LENGTH, generator=seeded("cpu", 7, seed), dtype=torch.float64)
        table[list(forbidden)] = -math.inf
        self.register_buffer("table", table)

    def forward(self, x):
        return self.table[sum(x[:, place] * LETTERS**place for place in range(LENGTH))]


def diffusion(seed: int = 0, order=None, zeros: bool = False) -> MaskedDiffusion | InOrder:
    found = MaskedDiffusion(TableNetwork(seed, zeros), ALPHABET, LENGTH, schedule="one_place").requires_grad_(False)
    return found if order is None else InOrder(found, order)


def paths(reference, start=None):
    """Every way on from a state (all masks for None), and its probability: ((x_t, ..., x_T), p), by multiplication."""
    start = (LETTERS,) * LENGTH if start is None else start
    masked = [place for place in range(LENGTH) if start[place] == LETTERS]
    if not masked:
        return [((start,), 1.0)]
    due, network = masked, getattr(reference, "reference", reference).network
    if isinstance(reference, InOrder):
        due = [next(each for each in reference.order.tolist() if each in masked)]
    laws = network(torch.tensor([start]), None)[0].softmax(dim=1)
    found = []
    for place, letter in itertools.product(due, range(LETTERS)):
        after = (*start[:place], letter, *start[place + 1 :])
        step = float(laws[place, letter]) / len(due)
        found += [((start, *rest), step * p) for rest, p in paths(reference, after) if step > 0]
    return found
