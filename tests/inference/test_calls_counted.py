"""Calls counted are calls seen: every call of a reference, its laws' own included, passes the one gate `predict`."""

import pytest
import torch
from torch import nn

import svlearn as sv
from svlearn.domains.analytic import (
    FiniteMarkovChain,
    GaussianMixtureDDPM,
    GaussianMixtureDiffusion,
    GaussianReference,
    LinearGaussianChain,
    TokenTree,
)
from svlearn.domains.molecules.gdss.reference import GDSS
from svlearn.domains.molecules.gdss.sde import VE, VP
from svlearn.domains.molecules.masked_diffusion import MaskedGraphDiffusion
from svlearn.domains.molecules.transformer import GraphTransformer
from svlearn.inference.paths import sample_paths
from svlearn.metering import metered
from svlearn.process import has
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target


class ToyGDSS(GDSS):
    def __init__(self):
        super().__init__(nn.Identity(), VP(0.1, 1.0), VE(0.2, 1.0), torch.ones(3).double(), 2, num_steps=4)

    def scores(self, x, t):
        return {name: -x[name] for name in ("x", "adj")}


class Pull(nn.Module):
    def forward(self, x, t):
        return -0.1 * x


def graphs():
    """Of one to four atoms, in ten steps: by simulation the calls of a sample rise with the square of the steps."""
    return MaskedGraphDiffusion(GraphTransformer(num_atoms=4, width=16, pair_width=16, depth=1), torch.ones(4))


REFERENCES = {
    "token tree": lambda: TokenTree.random(3, 4, seed=1),
    "token tree with an end": lambda: TokenTree.random(3, 4, seed=2, end=0),
    "Markov chain": lambda: FiniteMarkovChain.random(4, 4, seed=0),
    "linear-Gaussian chain": lambda: LinearGaussianChain.random(2, 4, seed=0),
    "Gaussian reference": lambda: GaussianReference(2, torch.ones(4), 0.5 * torch.ones(4), 1.0),
    "mixture": lambda: GaussianMixtureDiffusion.rtb_toy(4),
    "mixture by DDPM": lambda: GaussianMixtureDDPM(GaussianMixtureDiffusion.rtb_toy(4)),
    "GDSS": ToyGDSS,
    "masked graphs": graphs,
    "controlled": lambda: sv.policies.Controlled(LinearGaussianChain.random(2, 4, seed=0), Pull()),
    "fine-tuned": lambda: sv.policies.Finetuned(graphs()),
}


def total(x):
    leaves = [x] if isinstance(x, torch.Tensor) else [leaf for leaf in x.values() if leaf.dtype != torch.bool]
    return sum(leaf.double().flatten(1).sum(dim=1) for leaf in leaves).tanh()


def values_of(reference, target):
    values = {"zero": sv.values.Zero(), "by simulation": sv.values.MonteCarlo(reference, target, 2)}
    x = reference.initial(2, generator=seeded("cpu", 0))
    prediction = reference(x, torch.zeros(2).long())
    if prediction.clean is not None:
        values["posterior mean"] = sv.values.PosteriorMean(target)
    if prediction.clean_law is not None:
        values["several posterior samples"] = sv.values.PosteriorMean(target, num_samples=3)
    return values


def runs_of(reference):
    """Every way to sample it, by name: a call that returns the cost."""
    target = Target(total, 0.5)
    for name, value in values_of(reference, target).items():
        yield f"svdd, {name}", lambda value=value: sv.svdd(reference, target, value, 3)
        yield f"smc, {name}", lambda value=value: sv.smc(reference, target, value, 3)
        yield f"tree search, {name}", lambda value=value: sv.tree_search(reference, target, value, 5)
        if has(reference, "noise"):
            yield (
                f"refine, {name}",
                lambda value=value: sv.refine(sv.smc(reference, target, value, 2), 2, 2, "particle_gibbs"),
            )
    yield "beam search", lambda: sv.beam_search(reference, target, sv.values.Zero(), 2, 2)
    value = values_of(reference, target).get("posterior mean")
    x = reference.initial(1)
    if value is not None and isinstance(x, torch.Tensor) and x.is_floating_point():
        yield "guidance", lambda: sv.guidance(reference, target, value, at="state")


class Spy:
    """How many states the processes were given: a policy as well as the reference that it asks, but not a process that
    is another one in other words (vectors of graphs, the copy that is fine-tuned)."""

    def __init__(self, reference):
        self.num_states = 0
        for module in reference.modules():
            calls_another = any(isinstance(child, sv.Reference) for child in module.children())
            if isinstance(module, sv.Reference) and (not calls_another or isinstance(module, sv.policies.Controlled)):
                module.register_forward_hook(self.look)

    def look(self, module, inputs, prediction):
        self.num_states += len(inputs[0])


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("max_batch", [None, 4])
def test_calls_counted_are_calls_seen(name, max_batch):
    reference = REFERENCES[name]().eval()
    runs = list(runs_of(reference))
    spy = Spy(reference)
    for run, make in runs:
        sampler = make()  # looks once whether the reference has noise, which is no cost of a sample
        spy.num_states = 0
        cost = sampler.sample(3, generator=seeded("cpu", 1), max_batch=max_batch).cost
        assert spy.num_states == cost.reference_calls > 0, run


@pytest.mark.parametrize("name", ["controlled", "fine-tuned"])
def test_a_policy_s_own_calls_are_counted_apart(name):
    """As a proposal: the reference once a kept state, and the policy as often, in whatever module its calls arrive."""
    policy = REFERENCES[name]().eval()
    reference, target = policy.reference, Target(total, 0.5)
    own = policy.network if name == "controlled" else policy.copy
    sampler = sv.smc(reference, target, sv.values.Zero(), 3, proposal=sv.proposals.Policy(policy))
    sizes, spy = [], Spy(reference)
    own.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    cost = sampler.sample(3, generator=seeded("cpu", 1)).cost
    assert (spy.num_states, sum(sizes)) == (cost.reference_calls, cost.policy_calls) == (9 * reference.num_steps,) * 2


def test_paths_and_roll_outs_too():
    tree = TokenTree.random(3, 4, seed=1)
    target, spy = Target(total, 0.5), Spy(tree)
    sampler = sv.svdd(tree, target, sv.values.PosteriorMean(target, num_samples=3), 3)
    for call in (lambda: sample_paths(sampler, 3), lambda: roll_out(tree, 5, target=target)):
        spy.num_states = 0
        with metered() as meter:
            call()
        assert spy.num_states == meter.cost.reference_calls > 0
