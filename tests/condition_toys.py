"""Oracles whose condition shifts the start and the reward, and what can hold their values and policies exactly."""

import torch
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import ConditionalOracle, FiniteMarkovChain, LinearGaussianChain, QuadraticReward
from svlearn.policies import Policy
from svlearn.transitions import CategoricalTransition, FieldTransition

ALPHA = 1.0
EXACT = torch.float64


def gaussian_by_class(num_steps=4):
    """Three linear-Gaussian chains of one dynamics: x_0 around -1.5, 0 and 1.5, rewards that pull elsewhere."""
    base = LinearGaussianChain.random(2, num_steps, seed=3)
    parts = (base.initial_covariance, base.matrices, base.offsets, base.stds)
    bend = base.reward.matrix
    return ConditionalOracle(
        [
            LinearGaussianChain(
                base.initial_mean + 1.5 * (c - 1),
                *parts,
                QuadraticReward(bend, base.reward.vector + torch.tensor([0.8, -0.6]).double() * (c - 1), 0.5 * c),
            )
            for c in range(3)
        ]
    )


def markov_by_class(num_states=4, num_steps=4, kind=FiniteMarkovChain):
    """Three Markov chains of one dynamics, that mostly stay: each starts elsewhere, and is paid for something else."""
    drawn = FiniteMarkovChain.random(num_states, num_steps, seed=0)
    starts = 0.1 + 2 * torch.eye(num_states, dtype=EXACT)[:3]
    rewards = drawn.reward.table + torch.tensor([[1.0, 0, 0, -1], [0, -1, 1, 0], [-0.6, 1.4, 0.4, 2.4]]).double()
    starts = starts / starts.sum(dim=1, keepdim=True)
    return ConditionalOracle([kind(start, drawn.matrices, reward) for start, reward in zip(starts, rewards)])


class TableByClass(nn.Module):
    """One free number for each condition, time and state."""

    def __init__(self, oracle):
        super().__init__()
        chain = oracle.oracles[0]
        shape = (len(oracle.oracles), chain.num_steps, chain.num_states)
        self.table = nn.Parameter(torch.zeros(shape, dtype=EXACT))

    def forward(self, x, t):
        return self.table[x["condition"], t, x["x"][:, 0]]


class PolicyByClass(Policy):
    """p_ref with free logits added, for each condition, time, state and next state."""

    def __init__(self, reference):
        super().__init__(reference)
        chain = reference.oracles[0]
        shape = (len(reference.oracles), chain.num_steps, chain.num_states, chain.num_states)
        self.table = nn.Parameter(torch.zeros(shape, dtype=EXACT))

    def steer(self, prediction, x, t):
        logits = self.table[x["condition"], t, x["x"][:, 0]][:, None]
        law = CategoricalTransition(prediction.transition.laws["x"].log_probs + logits)
        return FieldTransition({"x": law}, x)

    def trained(self):
        return [self.table]

    def lost(self, alpha):
        """best ELBO - ELBO given each condition, nats, (C,), by dynamic programming: E_p0 KL(q || p*)."""
        gaps = []
        for oracle, logits in zip(self.reference.oracles, self.table.detach()):
            matrices = (oracle.matrices.log() + logits).softmax(dim=2)
            law, divergence = oracle.initial_probs, 0.0
            for own, old in zip(matrices, oracle.matrices):
                divergence += law @ (own * (own / old).log()).sum(dim=1)
                law = law @ own
            gaps.append(oracle.best_elbo(alpha) - (law @ oracle.reward.table / alpha - divergence))
        return torch.stack(gaps)


def grid(oracle):
    """Every state under every condition, (C · S,)."""
    chain = oracle.oracles[0]
    c, x = torch.cartesian_prod(torch.arange(len(oracle.oracles)), torch.arange(chain.num_states)).T
    return TensorDict({"x": x[:, None], "condition": c}, batch_size=[len(c)])


class Reversible(FiniteMarkovChain):
    """The chain with its exact reversal: p(x_s | x_t) ∝ p(x_s) p(x_t | x_s)."""

    def reversal(self, earlier, later):
        joint = torch.diag(self.marginals()[earlier])
        for matrix in self.matrices[earlier:later]:
            joint = joint @ matrix
        return (joint / joint.sum(dim=0)).T


class ReversibleByClass(ConditionalOracle):
    def noise(self, x, t_from, t_to, *, generator=None):
        """Each row goes back as its own oracle does."""
        rows = torch.stack([each.reversal(int(t_to[0]), int(t_from[0])) for each in self.oracles])
        drawn = torch.multinomial(rows[x["condition"], x["x"][:, 0]], 1, generator=generator)
        return x.clone().set("x", drawn)


def reversible_by_class():
    """The Markov chains with their exact forward process."""
    return ReversibleByClass(list(markov_by_class(kind=Reversible).oracles))
