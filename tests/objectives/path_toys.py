"""Tables as value and policy of Markov chains, chains on which x_0 decides much, and laws by enumeration."""

import torch
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.objectives.path_consistency import PathConsistency
from svlearn.policies import Policy
from svlearn.transitions import CategoricalTransition
from svlearn.values import Learned

ALPHA = 2.0
EXACT = torch.float64


class Table(nn.Module):
    """One free number for each time and state of a Markov chain."""

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(table.clone())

    def forward(self, x, t):
        return self.table[t, x[:, 0]]


class TablePolicy(Policy):
    """p_ref with free logits added, for each time, state and next state."""

    def __init__(self, reference, logits=None):
        super().__init__(reference)
        zeros = torch.zeros(reference.num_steps, reference.num_states, reference.num_states, dtype=EXACT)
        self.table = nn.Parameter(zeros if logits is None else logits)

    def steer(self, prediction, x, t):
        return CategoricalTransition(prediction.transition.log_probs + self.table[t, x[:, 0]][:, None])

    def trained(self):
        return [self.table]

    def chain(self):
        """The policy as an oracle, so that its laws are exact."""
        matrices = (self.reference.matrices.log() + self.table.detach()).softmax(dim=2)
        return FiniteMarkovChain(self.reference.initial_probs, matrices, self.reference.reward.table)


def markov(initial_probs=None, num_states=5, num_steps=6):
    """A few states that mostly stay where they are, so that v_0 varies."""
    drawn = FiniteMarkovChain.random(num_states=num_states, num_steps=num_steps, seed=0)
    start = drawn.initial_probs if initial_probs is None else initial_probs
    return FiniteMarkovChain(start, drawn.matrices, drawn.reward.table)


def spread():
    """Three states that mostly stay, with rewards so far apart that x_0 decides most."""
    chain = markov(num_states=3, num_steps=2)
    stay = 0.8 * torch.eye(3, dtype=EXACT) + 0.2 * chain.matrices
    return FiniteMarkovChain(chain.initial_probs, stay, [-8.0, 0.0, 8.0])


def fixed_start():
    return markov(torch.eye(5, dtype=EXACT)[2])


def exact_parts(oracle, alpha):
    """Soft value and optimal policy of a Markov chain, as trainable tables."""
    table = oracle.soft_table(alpha)
    return Learned(Table(table[:-1])), TablePolicy(oracle, (table[1:] / alpha)[:, None].expand_as(oracle.matrices))


def gap(oracle, chain, alpha):
    """best_elbo - ELBO of a chain of the same start, nats: E_p0 KL(q || p*), by dynamic programming."""
    marginals, divergence = chain.marginals(), 0.0
    for law, own, old in zip(marginals[:-1], chain.matrices, oracle.matrices, strict=True):
        divergence += law @ torch.where(own > 0, own * (own / old).log(), 0.0).sum(dim=1)
    return oracle.best_elbo(alpha) - (marginals[-1] @ oracle.reward.table / alpha - divergence)


def every_path(num_states, num_steps, target, start=None):
    """All trajectories of a Markov chain once, (S^(T + 1), T + 1, 1): the uniform law, which no policy has drawn."""
    axes = [torch.arange(num_states)] * (num_steps + 1)
    states = torch.cartesian_prod(*axes)[..., None]
    if start is not None:
        states = states[states[:, 0, 0] == start]
    return TensorDict({"states": states, "rewards": target(states[:, -1])}, batch_size=[len(states)])


def path_law(chain, states):
    """The probability of each path (N, T + 1) of tokens, (N,)."""
    law = chain.initial_probs[states[:, 0]]
    for t in range(chain.num_steps):
        law = law * chain.matrices[t, states[:, t], states[:, t + 1]]
    return law


def make(oracle, variant="trajectory", value="table", policy="table", alpha=ALPHA, **options):
    tables = {"table": Learned(Table(torch.zeros(oracle.num_steps, oracle.num_states, dtype=EXACT)))}
    policies = {"table": TablePolicy(oracle)}
    value, policy = tables.get(value, value), policies.get(policy, policy)
    return PathConsistency(oracle, oracle.target(alpha), value, policy, variant, **options)


def minimise(loss, parameters, steps=200):
    """To the bottom of a deterministic loss."""
    optimizer = torch.optim.LBFGS(parameters, max_iter=steps, line_search_fn="strong_wolfe", tolerance_change=1e-16)

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
