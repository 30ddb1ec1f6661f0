"""Networks and policies for the oracles of the leaderboard: some can hold the answer, one is plain."""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from svlearn.domains.analytic import FiniteMarkovChain, TokenTree
from svlearn.domains.analytic.texts import num_texts, text_index
from svlearn.policies import Policy
from svlearn.process import Prediction
from svlearn.transitions import CategoricalTransition, Transition


class QuadraticInX(nn.Module):
    """A free quadratic for each time: it can hold every value of a linear-Gaussian chain."""

    def __init__(self, dim: int, num_steps: int):
        super().__init__()
        self.matrices = nn.Parameter(torch.zeros(num_steps, dim, dim, dtype=torch.float64))
        self.vectors = nn.Parameter(torch.zeros(num_steps, dim, dtype=torch.float64))
        self.constants = nn.Parameter(torch.zeros(num_steps, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        bent = torch.einsum("bij,bj->bi", self.matrices[t], x)
        return ((bent + self.vectors[t]) * x).sum(dim=1) + self.constants[t]


class LinearInX(nn.Module):
    """g(x, t) = W_t x + b_t: it can hold the best control of a linear-Gaussian chain."""

    def __init__(self, dim: int, num_steps: int):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(num_steps, dim, dim, dtype=torch.float64))
        self.biases = nn.Parameter(torch.zeros(num_steps, dim, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.einsum("bij,bj->bi", self.weights[t], x) + self.biases[t]


class MLP(nn.Module):
    """A plain network on (x/scale, one-hot of t), float32, that starts at 0; (B,) where `outputs` is None."""

    def __init__(self, dim: int, num_steps: int, outputs: int | None, width: int, depth: int, scale: float = 1.0):
        super().__init__()
        widths = [dim + num_steps, *[width] * depth]
        layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.SiLU())]
        last = nn.Linear(width, 1 if outputs is None else outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(*layers, last)
        self.num_steps, self.scalar, self.scale = num_steps, outputs is None, scale

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        place = nn.functional.one_hot(t, self.num_steps).float()
        out = self.body(torch.cat([x.float() / self.scale, place], dim=1))
        return out.squeeze(1) if self.scalar else out


class Table(nn.Module):
    """A free number for each time and state of a Markov chain."""

    def __init__(self, num_steps: int, num_states: int):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(num_steps, num_states, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.table[t, x[:, 0]]


class TextTable(nn.Module):
    """A free number for each unfinished text of a token tree."""

    def __init__(self, num_tokens: int, length: int):
        super().__init__()
        self.num_tokens = num_tokens
        self.table = nn.Parameter(torch.zeros(num_texts(num_tokens, length - 1), dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.table[text_index(x, self.num_tokens)]


class TablePolicy(Policy):
    """Free logits beside the reference's, for each time, state and next state of a Markov chain."""

    def __init__(self, reference: FiniteMarkovChain):
        super().__init__(reference)
        self.logits = nn.Parameter(torch.zeros_like(reference.matrices))

    def steer(self, prediction: Prediction, x: Tensor, t: Tensor) -> Transition:
        return CategoricalTransition(prediction.transition.log_probs + self.logits[t, x[:, 0]][:, None])

    def trained(self) -> Iterable[nn.Parameter]:
        return [self.logits]


class TextPolicy(Policy):
    """Free logits beside the reference's, for each unfinished text and next token of a token tree."""

    def __init__(self, reference: TokenTree):
        super().__init__(reference)
        self.logits = nn.Parameter(torch.zeros_like(reference.probs))

    def steer(self, prediction: Prediction, x: Tensor, t: Tensor) -> Transition:
        law = prediction.transition
        nodes = torch.where(law.finished, 0, text_index(x, self.reference.num_tokens))
        return law.tilt(self.logits[nodes])

    def trained(self) -> Iterable[nn.Parameter]:
        return [self.logits]
