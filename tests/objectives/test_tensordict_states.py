"""Objectives on TensorDict states: a chain in the form of a graph teaches bit by bit what the chain itself does."""

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from tensordict import TensorDict
from torch import nn
from value_toys import Table, markov

from svlearn.inference import proposals
from svlearn.objectives import (
    ContrastiveEnergy,
    ContrastiveTwist,
    DistributionalPolicyGradient,
    GroupRelativePolicyGradient,
    IteratedTwist,
    MonteCarloRegression,
    PathConsistency,
    PolicyGradient,
    ProximalPolicyGradient,
    SoftQIteration,
    TemporalDifference,
)
from svlearn.objectives.fit import fit
from svlearn.objectives.policy_objective import PolicyObjective
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference
from svlearn.rollouts import RolloutData, collect
from svlearn.targets import Target
from svlearn.transitions import CategoricalTransition, Transition
from svlearn.values import Learned

ALPHA = 2.0


def graph(tokens):
    """The tokens (B, 1) of a chain as a graph of one node, with what hangs on it."""
    edges = TensorDict({"kind": nn.functional.one_hot(tokens, 5).float()}, batch_size=[len(tokens)])
    return TensorDict({"nodes": tokens, "edges": edges}, batch_size=[len(tokens)])


def nodes(x):
    return x["nodes"] if isinstance(x, TensorDict) else x


class Moves(Transition):
    def __init__(self, law):
        self.law = law

    def sample(self, *, generator=None):
        return graph(self.law.sample(generator=generator))

    def log_prob(self, x_next):
        return self.law.log_prob(x_next["nodes"])

    def log_ratio(self, other, x_next):
        return self.law.log_ratio(other.law, x_next["nodes"])

    def __getitem__(self, index):
        return Moves(self.law[index])


class Graphs(Reference):
    def __init__(self, chain):
        super().__init__()
        self.chain, self.num_steps = chain, chain.num_steps

    def initial(self, batch_size, *, condition=None, generator=None):
        return graph(self.chain.initial(batch_size, generator=generator))

    def forward(self, x, t, previous=None):
        return Prediction(Moves(self.chain(x["nodes"], t).transition))


class OfNodes(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x, t):
        return self.network(nodes(x), t)


class Tilted(Policy):
    """Free logits beside those of the chain, of graphs or of tokens."""

    def __init__(self, reference):
        super().__init__(reference)
        self.logits = nn.Parameter(torch.zeros(6, 5, 5, dtype=torch.float64))

    def steer(self, prediction, x, t):
        law = prediction.transition.law if isinstance(x, TensorDict) else prediction.transition
        tilted = CategoricalTransition(law.log_probs + self.logits[t, nodes(x)[:, 0]][:, None])
        return Moves(tilted) if isinstance(x, TensorDict) else tilted

    def trained(self):
        return [self.logits]


def setting(as_graph):
    chain, _ = markov()
    reference = Graphs(chain) if as_graph else chain
    return reference, Target(lambda x: chain.reward(nodes(x)), ALPHA)


def make(family, as_graph, options):
    reference, target = setting(as_graph)
    policy, value = Tilted(reference), Learned(OfNodes(Table(5, 6)))
    if family is PathConsistency:
        parts = dict(policy=policy) | ({} if "shared_start" in options else {"value": value})
    else:
        parts = dict(policy=policy) if issubclass(family, PolicyObjective) else dict(value=value)
    if options.get("proposal"):
        with torch.no_grad():
            policy.logits.copy_(torch.linspace(-1, 1, 150).view(6, 5, 5))
        options = options | {"proposal": proposals.Policy(policy)}
    return family(reference, target, **parts, batch_size=32, num_validation=32, learning_rate=0.05, **options)


def parameters(objective):
    return [each.detach().clone() for each in objective.trained().parameters()]


@pytest.mark.parametrize(
    ("family", "options"),
    [
        (MonteCarloRegression, dict(estimand="soft")),
        (MonteCarloRegression, dict(estimand="soft", proposal=True)),
        (SoftQIteration, dict()),
        (SoftQIteration, dict(num_next=2)),
        (TemporalDifference, dict()),
        (ContrastiveTwist, dict()),
        (ContrastiveTwist, dict(positives="smc")),
        (ContrastiveEnergy, dict(num_times=2)),
        (IteratedTwist, dict(num_particles=4, round_size=32, num_candidates=2)),
        (PolicyGradient, dict()),
        (DistributionalPolicyGradient, dict()),
        (PathConsistency, dict(variant="subtrajectory", replay=0.5, exploration=0.25, replay_size=64)),
        (PathConsistency, dict(variant="log_variance", shared_start=2, replay=0.5, replay_size=64)),
    ],
)
def test_graphs_teach_what_their_tokens_do(family, options):
    trained = []
    for as_graph in (False, True):
        objective = make(family, as_graph, options)
        before = parameters(objective)
        fit(objective, max_steps=4, limit_val_batches=1, val_check_interval=2, enable_progress_bar=False)
        trained.append(parameters(objective))
        assert all(not torch.equal(*pair) for pair in zip(before, trained[-1], strict=True))
    assert all(torch.equal(*pair) for pair in zip(*trained, strict=True))


@pytest.mark.parametrize("family", [MonteCarloRegression, PathConsistency])
def test_stored_graphs_teach_what_stored_tokens_do(family, tmp_path):
    trained = []
    for as_graph in (False, True):
        reference, target = setting(as_graph)
        path = tmp_path / str(as_graph)
        collect(reference, 96, path, target=target, progress=False)
        data = RolloutData(path, batch_size=32, validation_fraction=0.0)
        trained.append(parameters(fit(make(family, as_graph, {}), max_steps=3, data=data, enable_progress_bar=False)))
    assert all(torch.equal(*pair) for pair in zip(*trained, strict=True))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (PathConsistency, dict(variant="detailed", replay=0.5, replay_size=64)),
        (
            PathConsistency,
            dict(variant="log_variance", shared_start=2, trust_region=0.5, replay_size=64, inner_steps=6),
        ),
        (GroupRelativePolicyGradient, dict(group_size=4, kl="sampled", window=2, num_minibatches=3)),
        (ProximalPolicyGradient, dict(num_times=2, num_minibatches=3)),
    ],
)
def test_kept_graphs_survive_a_checkpoint(kind, options, tmp_path):
    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=3, save_top_k=-1)
    quiet = dict(max_steps=6, enable_progress_bar=False)
    whole = fit(make(kind, True, options), callbacks=[keep], enable_checkpointing=True, **quiet)
    (middle,) = tmp_path.glob("*step=3.ckpt")
    resumed = fit(make(kind, True, options), ckpt_path=str(middle), **quiet)
    assert all(torch.equal(*pair) for pair in zip(parameters(whole), parameters(resumed), strict=True))
