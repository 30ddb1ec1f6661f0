"""Texts of at most L tokens as the nodes of a tree: their numbering, and tables over them."""

import torch
from torch import Tensor, nn

from svlearn.process import Prediction
from svlearn.transitions import append
from svlearn.values.value import Value


class TextReward(nn.Module):
    """r(x) = table[the place of x in the tree], (B,), of texts (B, L + 1); table (N,), in the order of `prefixes`."""

    table: Tensor

    def __init__(self, table: Tensor, num_tokens: int):
        super().__init__()
        self.num_tokens = num_tokens
        self.register_buffer("table", torch.as_tensor(table, dtype=torch.float64).clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.table[text_index(x, self.num_tokens)]


class TextValue(Value):
    """v(x) = table[the place of x in the tree], (B,), reward units; at t < T at least `floor`."""

    table: Tensor

    def __init__(self, table: Tensor, num_tokens: int, floor: float):
        super().__init__()
        self.num_tokens, self.floor = num_tokens, floor
        self.register_buffer("table", table)

    def forward(
        self, x: Tensor, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        values = self.table[text_index(x, self.num_tokens)]
        return torch.where(t < x.shape[1] - 1, values.clamp(min=self.floor), values)


def num_texts(num_tokens: int, length: int) -> int:
    """How many texts have at most `length` tokens; 0 for -1."""
    return sum(num_tokens**written for written in range(length + 1))


def prefixes(num_tokens: int, length: int, device: torch.device | None = None) -> list[Tensor]:
    """All texts of 0, 1, ... L tokens as states (V^l, L + 1), long, each level in the order of its tokens.

    Their concatenation numbers the tree: the children of text n are n V + 1 ... n V + V.
    """
    levels = [torch.full((1, length + 1), num_tokens, device=device)]
    levels[0][:, -1] = 0
    for _ in range(length):
        tokens = torch.arange(num_tokens, device=levels[0].device).repeat(len(levels[-1]))
        levels.append(append(levels[-1].repeat_interleave(num_tokens, dim=0), tokens))
    return levels


def text_index(x: Tensor, num_tokens: int) -> Tensor:
    """The place of each text (B, L + 1) in the tree, (B,): n(x token) = n(x) V + 1 + token, from n(empty) = 0."""
    index = torch.zeros_like(x[:, 0])
    for place in range(x.shape[1] - 1):
        index = torch.where(place < x[:, -1], index * num_tokens + 1 + x[:, place], index)
    return index
