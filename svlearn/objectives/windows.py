"""A window of steps that are trained, and how it moves."""

import torch
from torch import Tensor

from svlearn.arguments import integer

MOVES = ("progressive", "random", "frozen")


class Window:
    """`size` consecutive steps of the T, which go on at 0 after T - 1 (arXiv 2507.21802, where they end at T).

    moves: "progressive": from 0 on by one step every `every` iterations; in T moves each step is met equally often.
    "random": to a uniform place each time. "frozen": at 0. Raises ValueError for numbers out of range and other names.
    """

    def __init__(self, size: int, num_steps: int, moves: str = "progressive", every: int = 1):
        if moves not in MOVES:
            raise ValueError(f"window_moves: expected one of {', '.join(MOVES)}, got {moves!r}")
        self.size, self.num_steps = integer(size, "window", 1, num_steps), num_steps
        self.moves, self.every = moves, integer(every, "window_every")

    def times(self, iteration: int, generator: torch.Generator) -> Tensor:
        """The steps, (size,), long, of this iteration."""
        device = generator.device
        first = torch.zeros((), dtype=torch.long, device=device)
        if self.moves == "progressive":
            first = first + iteration // self.every
        elif self.moves == "random":
            first = torch.randint(self.num_steps, (), generator=generator, device=device)
        return (first + torch.arange(self.size, device=device)) % self.num_steps
