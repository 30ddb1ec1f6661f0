"""Tokens as soft one-hots: a categorical draw in which a gradient flows, and how far two categorical laws are apart."""

import torch
from torch import Tensor

from svlearn.randomness import uniform


def gumbel_softmax(log_probs: Tensor, temperature: float, generator: torch.Generator | None = None) -> Tensor:
    """softmax((log p + G)/τ), (..., V), of log-probabilities (..., V), G standard Gumbel noise (arXiv 1611.01144).

    Shares of tokens that sum to 1. The largest is a draw of p at every τ; as τ -> 0 it becomes all of them, and the
    variance of the gradient grows with 1/τ. A token of probability 0 has none.
    """
    points = uniform(log_probs.shape, generator, log_probs.device).clamp(min=torch.finfo(torch.float64).tiny)
    noise = -(-points.log()).log()
    return ((log_probs + noise.to(log_probs.dtype)) / temperature).softmax(dim=-1)


def categorical_kl(log_probs: Tensor, others: Tensor) -> Tensor:
    """KL(p || q), (...,), nats, of log-probabilities p and q (..., V); infinite where p has a token that q has not."""
    ratios = torch.where(log_probs > -torch.inf, log_probs - others, 0.0)
    return (log_probs.exp() * ratios).sum(dim=-1)


def relative_entropy(p: Tensor, q: Tensor) -> Tensor:
    """p log(p/q), of probabilities alike in shape, nats; 0 where p is."""
    return torch.where(p > 0, p * (p / q).log(), 0.0)
