"""Oracles: processes with a reward whose soft values, log Z and p* are known exactly, in float64."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import real
from svlearn.process import Reference
from svlearn.state import State
from svlearn.targets import Target
from svlearn.values.value import Value


class Oracle(Reference):
    """A reference that carries its reward, with the exact answers of p*(x_T) ∝ p_ref(x_T) exp(r(x_T)/α).

    Numbers are 0-dim float64 tensors, in nats. Where an alpha is asked for, it must be > 0, else ValueError.
    """

    reward: Callable[[State], Tensor]

    def target(self, alpha: float) -> Target:
        """The target of this oracle's reward."""
        return Target(self.reward, alpha)

    @abstractmethod
    def soft_value(self, alpha: float) -> Value:
        """v_t(x) = α log E[exp(r(x_T)/α) | x_t = x], t = 0 ... T, reward units."""

    @abstractmethod
    def mean_value(self) -> Value:
        """v'_t(x) = E[r(x_T) | x_t = x], t = 0 ... T, reward units."""

    @abstractmethod
    def log_normalizer(self, alpha: float) -> Tensor:
        """log Z = log E_ref[exp(r(x_T)/α)]."""

    @abstractmethod
    def optimal_kl(self, alpha: float) -> Tensor:
        """KL(p* || p_ref) = E_p*[r/α] - log Z, of x_T and of whole trajectories alike."""

    @abstractmethod
    def best_elbo(self, alpha: float) -> Tensor:
        """max over policies q that keep p_0 of E_q[r(x_T)/α] - KL(q || p_ref); at most log Z."""

    @abstractmethod
    def mutual_information(self) -> Tensor:
        """I(x_0; x_T) under p_ref: 0 means that the reference is memoryless."""

    @abstractmethod
    def optimal_trajectories(
        self, batch_size: int, alpha: float, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Exact draws of p*(x_0, ..., x_T), (B, T + 1, ...)."""


def unconditional(condition: Any, process: Reference) -> None:
    """Raise TypeError for a condition: the process has one start p_0, and would draw from it whatever is given."""
    if condition is not None:
        raise TypeError(
            f"condition: expected None, as {type(process).__name__} starts from one law of x_0, got a "
            f"{type(condition).__name__}; a ConditionalOracle of several takes the number of one a row, and a class of "
            "your own whatever its `initial` reads"
        )


def positive(alpha: float) -> float:
    """Return it, or raise where it is no finite number above 0."""
    return real(alpha, "alpha", above=0)


def double(tensor: Tensor | float, shape: tuple[int, ...], name: str) -> Tensor:
    """A float64 copy of exactly that shape, which shares no memory with another oracle; else ValueError."""
    tensor = torch.as_tensor(tensor, dtype=torch.float64).clone()
    if tensor.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {tuple(tensor.shape)}")
    return tensor
