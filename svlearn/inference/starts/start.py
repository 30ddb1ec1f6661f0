"""What every start is, and what it hands to the loop."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from svlearn.process import Reference
from svlearn.state import State
from svlearn.targets import Target
from svlearn.values.value import Value


@dataclass(frozen=True)
class Started:
    """x_0 (N, ...) of B groups, side by side; log_ratio (N,), nats, float64, what stands for log p_0 - log q_0: inside
    each group E[mean of exp(log_ratio) f(x_0)] = E_p0[f(x_0)] for any f; values (N,), v_0 of the sampler's own value,
    float64, None where it has not been asked."""

    x: State
    log_ratio: Tensor
    values: Tensor | None = None


class Start(ABC):
    """Draws x_0 of whole groups. A subclass writes `draw`."""

    def bind(self, reference: Reference, target: Target | None, value: Value) -> "Start":
        """The start as a sampler of these uses it; raises ValueError where it cannot serve them."""
        return self

    @abstractmethod
    def draw(self, batch_size: int, copies: int, *, condition: Any, generator: torch.Generator) -> Started:
        """`copies` states for each of `batch_size` groups; condition: as many rows as states, or None."""
