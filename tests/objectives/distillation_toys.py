"""A Markov chain and a token tree whose teachers are known, and policies that are tables."""

import itertools
import math

import torch
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.inference.samplers import svdd
from svlearn.objectives.distillation import Distillation
from svlearn.policies import Policy
from svlearn.randomness import seeded
from svlearn.transitions import CategoricalTransition

ALPHA, INF = 0.7, math.inf


class Table(Policy):
    """A free logit for each time, state and next state, beside those of the reference."""

    def __init__(self, chain, scale=0.0):
        super().__init__(chain)
        shape = (chain.num_steps, chain.num_states, chain.num_states)
        self.logits = nn.Parameter(scale * torch.randn(shape, generator=seeded("cpu", 0), dtype=torch.float64))

    def steer(self, prediction, x, t):
        return CategoricalTransition(prediction.transition.log_probs + self.logits[t, x[:, 0]][:, None])

    def trained(self):
        return [self.logits]

    def matrices(self):
        return (self.reference.matrices.log() + self.logits).softmax(dim=-1)


def tiny():
    return FiniteMarkovChain.random(num_states=2, num_steps=2, seed=3)


def markov(rewards=None):
    drawn = FiniteMarkovChain.random(num_states=4, num_steps=4, seed=0)
    return drawn if rewards is None else drawn.with_rewards(torch.tensor(rewards))


def make(oracle, sampler, alpha=ALPHA, scale=0.0, **options):
    settings = dict(learning_rate=5e-2, batch_size=128, num_validation=128) | options
    return Distillation(oracle, oracle.target(alpha), Table(oracle, scale), sampler, **settings)


def exact_teacher(oracle, alpha=ALPHA, num_candidates=2):
    return svdd(oracle, oracle.target(alpha), oracle.soft_value(alpha), num_candidates)


def every_path(oracle):
    """All paths of the tiny chain, (8, 3, 1), and their probabilities under p*, (8,)."""
    paths, best = torch.tensor(list(itertools.product(range(2), repeat=3))), oracle.optimal(ALPHA)
    probs = best.initial_probs[paths[:, 0]]
    for t in range(2):
        probs = probs * best.matrices[t, paths[:, t], paths[:, t + 1]]
    return paths[:, :, None], probs
