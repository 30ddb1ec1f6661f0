"""Oracles of few paths, all of which can be listed, and policies that are tables."""

import itertools

import torch
from distillation_toys import Table
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain, TokenTree
from svlearn.domains.analytic.texts import text_index
from svlearn.objectives.group_relative_policy_gradient import GroupRelativePolicyGradient, divergence
from svlearn.objectives.policy_objective import log_ratio
from svlearn.policies import Policy
from svlearn.randomness import seeded
from svlearn.transitions import AppendingTransition

ALPHA = 0.7


class TreeTable(Policy):
    """A free logit for each text and next token, beside those of the tree."""

    def __init__(self, tree, scale=0.0):
        super().__init__(tree)
        self.logits = nn.Parameter(
            scale * torch.randn(tree.probs.shape, generator=seeded("cpu", 0), dtype=torch.float64)
        )

    def steer(self, prediction, x, t):
        law = prediction.transition
        rows = torch.where(law.finished, 0, text_index(x, self.reference.num_tokens))
        return AppendingTransition(x, law.log_probs + self.logits[rows], finished=law.finished)

    def trained(self):
        return [self.logits]


def chain():
    return FiniteMarkovChain.random(num_states=2, num_steps=2, seed=3)


def tree():
    """Four texts of up to three tokens, of which 1 ends a text."""
    return TokenTree.random(num_tokens=2, length=3, seed=1, end=1)


def chain_paths(oracle, policy):
    """All 8 paths (8, 3, 1), and log q and log p_ref of each, the first with gradient."""
    paths = torch.tensor(list(itertools.product(range(2), repeat=3)))
    own, others = policy.matrices().log(), oracle.matrices.log()
    start = oracle.initial_probs[paths[:, 0]].log()
    logs = [start + sum(law[t, paths[:, t], paths[:, t + 1]] for t in range(2)) for law in (own, others)]
    return paths[:, :, None], *logs


def tree_paths(oracle, policy):
    """The same of all texts that end."""
    texts, log_probs = oracle.leaves()
    moments = torch.arange(oracle.num_steps + 1)[:, None].expand(-1, len(texts))
    states = torch.stack([oracle.noise(texts, moments[-1], each) for each in moments], dim=1)
    rows = (oracle.probs.log() + policy.logits).log_softmax(dim=1)
    own = torch.zeros(len(texts), dtype=torch.float64)
    for t in range(oracle.num_steps):
        written, moves = states[:, t, -1], states[:, t + 1, -1] > states[:, t, -1]
        nodes = torch.where(moves, text_index(states[:, t], oracle.num_tokens), 0)
        tokens = states[:, t + 1].gather(1, written[:, None].clamp(max=oracle.length - 1))[:, 0]
        own = own + torch.where(moves, rows[nodes, torch.where(moves, tokens, 0)], 0.0)
    return states, own, log_probs


LISTED = {"chain": (chain, Table, chain_paths), "tree": (tree, TreeTable, tree_paths)}


def make(oracle, policy=None, reward=None, **options):
    """An objective of K = 2 by default, in evaluation mode."""
    policy = (TreeTable if isinstance(oracle, TokenTree) else Table)(oracle, 0.5) if policy is None else policy
    settings = {"group_size": 2, "batch_size": 12} | options
    target = oracle.target(ALPHA)
    target = target if reward is None else type(target)(reward, ALPHA)
    return GroupRelativePolicyGradient(oracle, target, policy, **settings).eval()


def judged(objective, states):
    """Trajectories as if the policy had just drawn them."""
    t = torch.arange(objective.reference.num_steps).expand(len(states), -1)
    ratios, kl = (each.detach() for each in objective.step_terms(states, t, [log_ratio, divergence]))
    rewards = objective.target(states[:, -1])
    return objective.judged(
        TensorDict(dict(states=states, rewards=rewards, log_ratios=-ratios, kl=kl), batch_size=[len(states)])
    )


def gradient(objective, batch):
    return torch.autograd.grad(objective.loss(batch, seeded("cpu", 0)), list(objective.policy.trained()))[0]


def expected_gradient(objective, states, log_probs):
    """Of the loss of one group, over all groups that q can draw."""
    total, probs = torch.zeros_like(objective.policy.logits), log_probs.detach().exp()
    for rows in itertools.product(range(len(states)), repeat=objective.group_size):
        rows = torch.tensor(rows)
        total += probs[rows].prod() * gradient(objective, judged(objective, states[rows]))
    return total
