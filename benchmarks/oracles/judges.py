"""Exact judges of what was learned: R² of a value, and the KL between laws of trajectories."""

from dataclasses import dataclass

import torch
from torch import Tensor

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.policies import Policy
from svlearn.process import Reference, predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.state import times
from svlearn.values import Value


@dataclass(frozen=True)
class Truth:
    """The exact value that a family learns, along trajectories of the reference; up to a constant c(t) where it can
    tell no more. alpha: where given, exp(v/α) is compared, which a value far below the others leaves at 0."""

    reference: Reference
    value: Value
    up_to_constant: bool = False
    alpha: float | None = None


@torch.no_grad()
def worst_r2(value: Value, truth: Truth, number: int = 4000) -> float:
    """The least over t of 1 - mean (v - exact)²/Var(exact), on fresh trajectories; not at times of a constant value."""
    states, r2s = roll_out(truth.reference, number, generator=seeded("cpu", 99))["states"], []
    for t in range(truth.reference.num_steps):
        x, moments = states[:, t], torch.full((number,), t)
        exact, guess = truth.value(x, moments), value(x, moments).double()
        if truth.alpha is not None:
            exact, guess = (exact / truth.alpha).exp(), (guess / truth.alpha).exp()
            guess = guess * exact.mean() / guess.mean() if truth.up_to_constant else guess
        elif truth.up_to_constant:
            guess = guess - (guess - exact).mean()
        if exact.var() > 1e-12:
            r2s.append(1 - float((guess - exact).square().mean() / exact.var()))
    return min(r2s)


def path_log_ratio(policy: Policy, states: Tensor) -> Tensor:
    """log q(x_1 ... x_T | x_0) - log p_ref of trajectories (B, T + 1, ...), (B,), nats."""
    total = torch.zeros(len(states), dtype=torch.float64)
    for t in range(policy.num_steps):
        x, prediction = states[:, t], predict(policy.reference, states[:, t], t)
        law = policy.steer(prediction, x, times(t, len(x), x.device))
        total = total + law.log_ratio(prediction.transition, states[:, t + 1])
    return total


def chain_kl(q: FiniteMarkovChain, p: FiniteMarkovChain) -> Tensor:
    """KL of the laws of whole paths, (), nats, of chains that move wherever the other does."""
    laws, kl = q.marginals(), (q.initial_probs * (q.initial_probs / p.initial_probs).log()).sum()
    for law, own, other in zip(laws, q.matrices, p.matrices):
        kl = kl + law @ (own * (own / other).log()).sum(dim=1)
    return kl


def gaussian_kl(mean: Tensor, covariance: Tensor, other_mean: Tensor, other: Tensor) -> float:
    """KL(N(mean, covariance) || N(other_mean, other)), nats."""
    ratio, shift = torch.linalg.solve(other, covariance), mean - other_mean
    spread = ratio.trace() - len(mean) - torch.linalg.slogdet(ratio)[1]
    return float(0.5 * (spread + shift @ torch.linalg.solve(other, shift)))


def squares(offsets: Tensor, matrix: Tensor) -> float:
    """The mean of u'Mu over rows u (B, d)."""
    return float(((offsets @ matrix) * offsets).sum(dim=1).mean())
