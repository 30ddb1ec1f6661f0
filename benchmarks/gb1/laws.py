"""Laws of samplers on a landscape, exactly: by summing over all that its candidates may be, and not by drawing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from svlearn.domains.sequences.landscape import Landscape
from svlearn.domains.sequences.state_graph import Moves
from svlearn.process import predict
from svlearn.values import Value, evaluate

LOW, STEP, ROWS = -25.0, 0.25, 1024  # of log s, and of states at once


@torch.no_grad()
def tables(landscape: Landscape, value: Value) -> list[Tensor]:
    """What a value says of all states, t = 0 ... T, each (N_t,), reward units; at T it is r."""
    found = []
    for t, level in enumerate(landscape.graph.levels[:-1]):
        parts = [
            evaluate(value, x, t, predict(landscape.reference, x, t) if value.reads(t) else None)
            for x in level.split(4 * ROWS)
        ]
        found.append(torch.cat(parts).double())
    return [*found, landscape.rewards]


def tilted(landscape: Landscape, values: Sequence[Tensor], alpha: float) -> list[Tensor]:
    """The law of moves of `proposals.Exact`: ∝ p_ref(x_{t+1} | x_t) exp(v_{t+1}(x_{t+1})/α)."""
    found = []
    for moves, level, after in zip(landscape.graph.moves, landscape.graph.levels, values[1:], strict=False):
        terms = moves.log_probs + after[moves.targets] / alpha
        found.append(terms - moves.logsumexp(terms, len(level))[moves.sources])
    return found


def svdd(landscape: Landscape, values: Sequence[Tensor], alpha: float, numbers: Sequence[int]) -> list[list[Tensor]]:
    """The laws of moves of `svdd` with M candidates at every step, for each M of `numbers`; values: see `tables`."""
    found: list[list[Tensor]] = [[] for _ in numbers]
    for moves, level, after in zip(landscape.graph.moves, landscape.graph.levels, values[1:], strict=False):
        probs, places = padded(moves, moves.log_probs.exp(), len(level), 0.0)
        twists, _ = padded(moves, after[moves.targets] / alpha, len(level), -torch.inf)
        parts = [kept(*each, numbers) for each in zip(probs.split(ROWS), twists.split(ROWS), strict=True)]
        for laws, gains in zip(found, torch.cat(parts, dim=1), strict=True):
            laws.append(moves.log_probs + gains.flatten()[places].log())
    return found


def kept(probs: Tensor, twists: Tensor, numbers: Sequence[int]) -> Tensor:
    """q(x)/p(x), (len(numbers), N, n): of the one kept, ∝ w = exp(twist), of M draws of p; probs, twists (N, n).

    q(x)/p(x) = M w(x) E[1/(w(x) + Σ w(others))] = M w(x) ∫ exp(-s w(x)) E[exp(-s w)]^(M - 1) ds, s from 0 to ∞; by the
    trapezoidal rule in log s, whose error is far below 1e-6.
    """
    weights = (twists - twists.amax(dim=1, keepdim=True)).exp()
    least = float(torch.where(weights > 0, weights, 1.0).min().log())
    s = torch.arange(LOW, 5.0 - least, STEP, dtype=torch.float64).exp()
    kernel = (-weights[..., None] * s).exp()
    mean = torch.einsum("rn,rns->rs", probs, kernel)
    integrals = torch.stack([s * mean ** (number - 1) for number in numbers], dim=2)  # (N, S, numbers)
    gains = STEP * weights[..., None] * torch.bmm(kernel, integrals)
    return gains.permute(2, 0, 1) * torch.tensor(numbers, dtype=torch.float64)[:, None, None]


def padded(moves: Moves, terms: Tensor, size: int, filling: float) -> tuple[Tensor, Tensor]:
    """Terms (E,) of moves as rows (size, n), a state each, and the places (E,) of the terms among them, flattened."""
    number = torch.bincount(moves.sources, minlength=size)
    starts = number.cumsum(0) - number
    width = int(number.max())
    places = moves.sources * width + torch.arange(len(terms)) - starts[moves.sources]
    rows = torch.full((size * width,), filling, dtype=terms.dtype).scatter(0, places, terms)
    return rows.view(size, width), places


def best_of(landscape: Landscape, number: int) -> Tensor:
    """log q(x_T), (N,), of the best of so many draws of p_ref by reward; among equal ones the first, so each by p."""
    law = landscape.law().exp()
    rewards, groups = landscape.rewards.unique(return_inverse=True)
    share = torch.zeros_like(rewards).index_add(0, groups, law)
    below = share.cumsum(0)
    highest = below**number - (below - share).clamp(min=0.0) ** number
    return torch.where(law > 0, law / share[groups] * highest[groups], 0.0).log()


def total_variation(one: Tensor, other: Tensor) -> float:
    """Between two laws (N,), log-probabilities."""
    return 0.5 * float((one.exp() - other.exp()).abs().sum())


def kl(one: Tensor, other: Tensor) -> float:
    """KL(one || other), nats, of two laws (N,), log-probabilities."""
    return float(torch.where(one > -torch.inf, one.exp() * (one - other), 0.0).sum())
