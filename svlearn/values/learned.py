"""A value that a network has learned: it reads (x, t) alone, so a candidate that loses costs no reference call."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from svlearn.process import Prediction
from svlearn.state import State
from svlearn.values.value import Value


class Learned(Value):
    """v_t(x_t) = network(x, t), (B,), reward units, of states (B, ...) at t (B,) in 0 ... T - 1.

    A network with a method of_outcomes(x, t, prediction) says with it, as `Value.of_outcomes` does, what v_{t+1} of all
    outcomes of a step is, such as one number for each next token. Raises TypeError for what is no module.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        if not isinstance(network, nn.Module):
            raise TypeError(f"network: expected a torch.nn.Module, got {type(network).__name__}")
        self.network = network

    def forward(
        self, x: State, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        return self.network(x, t)

    def of_outcomes(self, x: State, t: Tensor, prediction: Prediction) -> Tensor:
        of_outcomes = cast(Callable[..., Tensor], self.network.of_outcomes)
        return of_outcomes(x, t, prediction)

    def defines(self, method: str) -> bool:
        if method == "of_outcomes":
            network = self.network
            return network.defines(method) if isinstance(network, Value) else hasattr(network, method)
        return super().defines(method)
