"""Chains as the leaves of one state, and the losses of policies there."""

import torch
from control_toys import ALPHA
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import LinearGaussianChain
from svlearn.policies import Controlled
from svlearn.process import Prediction, Reference
from svlearn.targets import Target
from svlearn.transitions import FieldTransition

EXACT = dict(rtol=1e-10, atol=1e-12)
OTHER = LinearGaussianChain.random(dim=2, num_steps=8, seed=5)
ONE, TWO = "one", ("inner", "two")


class SideBySide(Reference):
    """Chains as leaves of one state, with a label and a number that no step changes."""

    def __init__(self, chains):
        super().__init__()
        self.chains, self.num_steps = chains, next(iter(chains.values())).num_steps

    def initial(self, batch_size, *, condition=None, generator=None):
        return self.state({name: chain.initial(batch_size, generator=generator) for name, chain in self.chains.items()})

    def state(self, leaves):
        size = len(next(iter(leaves.values())))
        x = TensorDict({"label": torch.arange(size), "number": torch.linspace(0.1, 1, size)}, [size])
        for name, leaf in leaves.items():
            x[name] = leaf
        return x

    def forward(self, x, t, previous=None):
        return Prediction(FieldTransition({name: each(x[name], t).transition for name, each in self.chains.items()}, x))

    def reward(self, x):
        return sum(chain.reward(x[name]) for name, chain in self.chains.items())


class OnLeaves(nn.Module):
    """A network for each leaf."""

    def __init__(self, networks):
        super().__init__()
        self.names, self.networks = list(networks), nn.ModuleList(networks.values())

    def forward(self, x, t):
        return {name: network(x[name], t) for name, network in zip(self.names, self.networks, strict=True)}


def beside(kind, plain, **options):
    """An objective like `plain`, on its chain as one leaf of a state."""
    reference = SideBySide({ONE: plain.reference})
    policy = Controlled(reference, OnLeaves({ONE: plain.policy.network}))
    inner = plain.target.reward
    return kind(reference, Target(lambda x: inner(x[ONE]), ALPHA), policy, **options)


def leaves(batch, reference):
    """Trajectories of a chain as those of its leaf."""
    states = torch.stack([reference.state({ONE: x}) for x in batch["states"].unbind(dim=1)], dim=1)
    more = {} if "noise" not in batch else {"initial": states[:, 0], "noise": batch["noise"]}
    return TensorDict({"states": states, **more}, [len(states)])
