"""A value that a network has learned: it reads (x, t) alone, so a candidate that loses costs no reference call."""

import torch
from torch import Tensor, nn

from svlearn.process import Prediction
from svlearn.state import State
from svlearn.values.value import Value


class Learned(Value):
    """v_t(x_t) = network(x, t), (B,), reward units, of states (B, ...) at t (B,) in 0 ... T - 1."""

    def __init__(self, network: nn.Module):
        super().__init__()
        if not isinstance(network, nn.Module):
            raise TypeError(f"network: expected a torch.nn.Module, got {type(network).__name__}")
        self.network = network

    def forward(
        self, x: State, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        return self.network(x, t)
