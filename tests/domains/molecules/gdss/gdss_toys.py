"""GDSS with the exact score of a Gaussian data law, for which every marginal, x̂_T and Z is known; in float64."""

import torch
from torch import nn

from svlearn.domains.molecules.gdss.reference import GDSS
from svlearn.domains.molecules.gdss.sde import VE, VP
from svlearn.domains.molecules.graph import pair_mask, to_dense

ZINC = {"x": VP(0.1, 1.0), "adj": VE(0.2, 1.0)}
MEANS, STDS = {"x": 0.4, "adj": -0.3}, {"x": 0.7, "adj": 0.5}


class GaussianGDSS(GDSS):
    """Every feature of a node is N(0.4, 0.7²), every edge N(-0.3, 0.5²), independent; graphs of 1 to 4 nodes."""

    def __init__(self, num_steps=10, sdes=ZINC, max_nodes=4, num_features=2, **options):
        weights = torch.ones(max_nodes, dtype=torch.float64)
        super().__init__(nn.Identity(), sdes["x"], sdes["adj"], weights, num_features, num_steps=num_steps, **options)

    def marginal(self, name, level):
        """The mean and the variance of what is free at a level of the forward SDE."""
        part = self.parts[name]
        scale, std = part.scale[level], part.std[level]
        return scale * MEANS[name], scale**2 * STDS[name] ** 2 + std**2

    def scores(self, x, t):
        scores = {}
        for name in ("x", "adj"):
            mean, variance = (each[:, None, None] for each in self.marginal(name, t // self.steps_a_level))
            scores[name] = (mean - x[name]) / variance * self.exists(name, x["mask"])
        return scores

    @staticmethod
    def exists(name, mask):
        return mask[:, :, None].double() if name == "x" else to_dense(pair_mask(mask), mask.shape[1]).double()


def symmetric(batch_size, nodes, generator=None):
    """Random symmetric matrices without a diagonal, (B, N, N), float64."""
    upper = torch.randn(batch_size, nodes, nodes, generator=generator, dtype=torch.float64).triu(1)
    return upper + upper.transpose(1, 2)
