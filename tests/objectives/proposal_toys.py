"""A tiny chain and a proposal of other moves, by enumeration."""

import itertools
import math

import torch
from tensordict import TensorDict
from value_toys import Table, tiny

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.randomness import seeded
from svlearn.values import Learned

ALPHA, INF = 2.0, math.inf


def other_chain(chain):
    """A proposal: the same start, other moves, in eighths, some of which the reference never makes."""
    moves = [[[1, 1, 6], [1, 2, 5], [2, 1, 5]], [[2, 1, 5], [3, 1, 4], [4, 2, 2]]]
    return FiniteMarkovChain(chain.initial_probs, torch.tensor(moves).double() / 8, chain.reward.table)


def paths_of(chain, proposal):
    """Every trajectory (27, 3, 1) with its log-ratios (27, 2), and its probability under the proposal (27,)."""
    paths = torch.tensor(list(itertools.product(range(3), repeat=3)))
    moves = [(paths[:, t], paths[:, t + 1]) for t in range(2)]
    ratios = torch.stack([(chain.matrices[t][m] / proposal.matrices[t][m]).log() for t, m in enumerate(moves)], dim=1)
    probs = chain.initial_probs[paths[:, 0]]
    for t, move in enumerate(moves):
        probs = probs * proposal.matrices[t][move]
    batch = {"states": paths[:, :, None], "rewards": chain.reward(paths[:, 2:]), "log_ratios": ratios}
    return TensorDict(batch, batch_size=[27]), probs


def as_law(batch, probs, unit):
    """The trajectories, each as often as it is likely in units of 1/`unit`: a mean over rows is an expectation."""
    copies = (probs * unit).round().long()
    torch.testing.assert_close(copies / unit, probs, check_dtype=False)
    return batch[torch.arange(len(batch)).repeat_interleave(copies)]


def setting(rewards=(1.0, -2.0, -0.5)):
    """The chain, the law of the proposal as a batch, the chance of x_t there (2, 3), and a random table (2, 3)."""
    chain = tiny(rewards)
    q = other_chain(chain)
    batch, probs = paths_of(chain, q)
    table = torch.randn(2, 3, generator=seeded("cpu", 5), dtype=torch.float64)
    return chain, as_law(batch, probs, 256), q.marginals()[:2], table


def objective_at(family, chain, table, *arguments, **options):
    objective = family(chain, chain.target(ALPHA), Learned(Table(3, 2)), *arguments, **options)
    objective.value.network.table.data.copy_(table)
    return objective
