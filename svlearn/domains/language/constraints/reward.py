"""A grammar as a reward: 0 in the language, -inf outside."""

import math

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import expect
from svlearn.domains.language.constraints.grammar import Grammar


class Constraint:
    """r(x) = 0 where the continuation of x is in the language, else -inf, (B,), of finished texts (B,).

    A text that has ended, by an end token or a stop string or as its buffer is full, has to match as a whole. For sums
    with other rewards, `Target({Constraint(grammar): 1.0, sentiment: 2.0}, alpha=1.0)`; alone, a grammar is the
    predicate of `targets.constraint(grammar)`.
    Raises TypeError for what is no Grammar.
    """

    def __init__(self, grammar: Grammar):
        self.grammar = expect(grammar, Grammar, "grammar")

    def __call__(self, x: TensorDict) -> Tensor:
        return torch.where(self.grammar(x), 0.0, -math.inf)

    @property
    def name(self) -> str:
        return self.grammar.name
