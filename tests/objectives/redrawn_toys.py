"""A small process of tokens whose laws are linear in soft one-hots."""

import torch
from torch import nn

from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.transitions import CategoricalTransition


class Redrawn(Reference):
    """Two places of three tokens, redrawn at each step by logits that are linear in what the other place was."""

    def __init__(self, num_steps=1, soft=True):
        super().__init__()
        self.num_steps, self.soft = num_steps, soft
        self.weight = nn.Parameter(torch.randn(3, 3, generator=seeded("cpu", 1), dtype=torch.float64))

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 2, dtype=torch.long)

    def forward(self, x, t, previous=None):
        x = x.flip(1)
        if x.is_floating_point() and self.soft:
            return Prediction(CategoricalTransition(x @ self.weight))
        return Prediction(CategoricalTransition(self.weight[x]))
