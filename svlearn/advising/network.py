"""A network for a value of states that are one tensor, where the user brings none."""

import math
from typing import Any

import torch
from torch import Tensor, nn

MOST_INPUTS = 8192
MOST_TOKENS = 256


class Perceptron(nn.Module):
    """f(x, t) = m + s · NN(x, t), (B,), of floats (B, ...), standardised, or of tokens (B, ...), as one-hots.

    A perceptron of two hidden layers that an embedding of t shifts. num_inputs: numbers in a state; num_tokens: V for
    tokens 0 ... V - 1, 0 for floats; num_steps: T; width: of the hidden layers. The buffers, m and s among them, are
    those of the states and the rewards that `fitted_to` saw; 0 and 1 before.
    """

    location: Tensor
    scale: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, num_inputs: int, num_steps: int, num_tokens: int = 0, width: int = 128):
        super().__init__()
        self.hyperparameters: dict[str, Any] = dict(
            num_inputs=num_inputs, num_steps=num_steps, num_tokens=num_tokens, width=width
        )
        self.num_tokens = num_tokens
        self.register_buffer("location", torch.zeros(num_inputs))
        self.register_buffer("scale", torch.ones(num_inputs))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))
        self.moments = nn.Embedding(num_steps, width)
        self.first = nn.Linear(num_inputs * max(1, num_tokens), width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        hidden = nn.functional.silu(self.first(self._inputs(x)) + self.moments(t))
        hidden = nn.functional.silu(self.second(hidden))
        return self.mean + self.spread * self.last(hidden).squeeze(1)

    def _inputs(self, x: Tensor) -> Tensor:
        flat = x.reshape(len(x), -1)
        if not self.num_tokens:
            return (flat.to(self.location.dtype) - self.location) / self.scale
        tokens = flat.clamp(max=self.num_tokens - 1)
        return nn.functional.one_hot(tokens, self.num_tokens).to(self.location.dtype).flatten(1)

    @classmethod
    def fitted_to(cls, states: Tensor, rewards: Tensor) -> "Perceptron | None":
        """One for trajectories (N, T + 1, ...) of these rewards (N,), in their units; None where the states are neither
        floats nor few tokens, or are too large for a perceptron."""
        points = states.reshape(len(states) * states.shape[1], -1)
        tokens = 0
        if not points.is_floating_point():
            tokens = int(points.max()) + 1
            if int(points.min()) < 0 or tokens > MOST_TOKENS:
                return None
        if points.shape[1] * max(1, tokens) > MOST_INPUTS:
            return None
        network = cls(points.shape[1], states.shape[1] - 1, tokens)
        if not tokens:
            spread = points.double().std(dim=0)
            network.location.copy_(points.double().mean(dim=0))
            network.scale.copy_(torch.where(spread > 0, spread, 1.0))
        spread = rewards.double().std()
        network.mean.copy_(rewards.double().mean())
        network.spread.copy_(spread if math.isfinite(spread) and spread > 0 else torch.ones(()))
        return network
