"""A small alphabet with a denoiser that is a table: everything about it can be enumerated."""

import itertools

import torch
from torch import Tensor, nn

from svlearn.domains.sequences.alphabet import Alphabet
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion

ABC = Alphabet("abc")
LENGTH = 4


class TableDenoiser(nn.Module):
    """Random logits (4^L, L, V) of every state, float64; counts the states it is called for."""

    reads_time = False

    def __init__(self, seed: int = 0, size: int = 3, length: int = LENGTH):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        states = (size + 1) ** length
        self.table = nn.Parameter(torch.randn(states, length, size, generator=generator, dtype=torch.float64))
        self.register_buffer("radix", (size + 1) ** torch.arange(length), persistent=False)
        self.size, self.calls = size, 0

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        self.calls += len(x)
        if not x.is_floating_point():
            return self.table[(x * self.radix).sum(dim=1)]
        weights = x.new_ones(len(x), 1)
        for place in range(x.shape[1]):  # multilinear in the one-hots
            weights = (x[:, place, :, None] * weights[:, None, :]).flatten(1)
        return (weights.to(self.table.dtype) @ self.table.flatten(1)).unflatten(1, self.table.shape[1:])


class TimedDenoiser(TableDenoiser):
    """Reads the time as well."""

    reads_time = True

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        return super().forward(x, moments) * (1 + moments)[:, None, None].double()


def toy(schedule: str = "log_linear", num_steps: int | None = None, **options) -> MaskedDiffusion:
    return MaskedDiffusion(TableDenoiser(), ABC, LENGTH, num_steps, schedule, **options).eval().requires_grad_(False)


def all_states(size: int = 4, length: int = LENGTH) -> Tensor:
    """Every sequence of ids 0 ... size - 1."""
    return torch.tensor(list(itertools.product(range(size), repeat=length)))


def rewards(x: Tensor) -> Tensor:
    """A reward with interactions, float64, of tokens (B, L)."""
    places = torch.arange(1, x.shape[1] + 1)
    return ((x == 1) * places).sum(dim=1).double() / 3 - 1.5 * (x[:, 0] == x[:, -1]).double()
