"""A value of several values that distrusts what these do not agree on: their mean less their spread."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import real
from svlearn.values.combined import Combined
from svlearn.values.value import Value


class LowerBound(Combined):
    """v_t(x_t) = mean_k v^k_t(x_t) - β std_k v^k_t(x_t), (B,), reward units, of n values of one estimand.

    std² = Σ_k (v^k - mean)²/(n - 1). For n networks of the same kind, each trained from its own initial weights on rows
    of its own: the largest of M candidates by one network is one that this network overrates (the optimiser's curse),
    and where the others disagree on it there is reason to doubt it. β = 0 is their mean, which halves the squared
    error of each with two that err independently, and a negative β explores. Weights of samplers are right whatever
    the value is. It costs n networks a call, counted as one.
    Raises ValueError for fewer than two values and a β that is no finite number, TypeError for what is no `Value`.
    Source: a lower confidence bound over bootstrapped networks, arXiv 1602.04621 (members) and 2005.13239 (pessimism).
    """

    def __init__(self, values: Sequence[Value], beta: float = 1.0):
        if len(values) < 2:
            raise ValueError(f"values: expected at least two Values, got {len(values)}")
        super().__init__(**{f"values[{place}]": value for place, value in enumerate(values)})
        self.beta = real(beta, "beta")

    def arguments(self) -> dict[str, Any]:
        """What the constructor took, for a checkpoint."""
        return {"values": list(self.values), "beta": self.beta}

    def combine(self, said: Sequence[Tensor]) -> Tensor:
        values = torch.stack([*said])
        variance = values.var(dim=0)
        spread = torch.where(variance > 0, variance, 1.0).sqrt()  # of a root of 0 there is no gradient
        return values.mean(dim=0) - self.beta * torch.where(variance > 0, spread, 0.0)
