"""The extension kit: every part of the package passes it."""

import sys
from pathlib import Path

import pytest
import torch
from causal_toys import STEPS, CausalToy
from kit_toys import Cached, Prompted, Walk, normal
from tensordict import TensorDict
from torch import nn
from tracked_device import tracked

import svlearn as sv
from svlearn.domains.analytic import (
    ComponentReward,
    CorrelatedGaussian,
    FinishedTexts,
    FiniteMarkovChain,
    GaussianMixture,
    GaussianMixtureDDPM,
    GaussianMixtureDiffusion,
    GaussianMixtureTransition,
    GaussianReference,
    LinearGaussianChain,
    TokenTree,
    double_well,
    gmm40,
)
from svlearn.domains.analytic.conditional import ConditionalOracle
from svlearn.domains.molecules import rewards as molecules
from svlearn.domains.molecules.masked_diffusion import MaskedGraphDiffusion
from svlearn.domains.molecules.transformer import GraphTransformer
from svlearn.objectives.exploration import EpsilonMixture
from svlearn.policies import Controlled, Finetuned
from svlearn.schedules import cosine_schedule
from svlearn.testing import check_reference, check_reward, check_transition, check_value
from svlearn.transitions import (
    AppendingTransition,
    CategoricalTransition,
    FieldTransition,
    GaussianTransition,
    ListedTransition,
    MaskedTransition,
    MixtureTransition,
)
from svlearn.values import Ensemble, Learned, MonteCarlo, PosteriorMean, Switch, Zero
from svlearn.values.at_steps import AtSteps

sys.path.insert(0, str(Path(__file__).parent / "domains/molecules/gdss"))
from gdss_toys import GaussianGDSS

CHAIN = FiniteMarkovChain.random(4, 4, seed=1)
LINE = LinearGaussianChain.random(2, 4, seed=1)
TREE = TokenTree.random(3, 2, seed=0)
PLANE = GaussianMixture(torch.tensor([1.0, 2.0]), normal(2, 2), 0.3 + normal(2, 2, seed=1).abs())
DIFFUSION = GaussianMixtureDiffusion(PLANE, cosine_schedule(4, 0.1), ComponentReward(PLANE, torch.tensor([1.0, 0.0])))


class Network(nn.Module):
    def __init__(self, out=None):
        super().__init__()
        self.layer, self.out = nn.Linear(3, out or 1).double(), out

    def forward(self, x, t):
        values = self.layer(torch.cat([x, t[:, None] / 4], dim=1)).tanh()
        return values.squeeze(1) if self.out is None else values


REFERENCES = {
    "walk": Walk,
    "cached": Cached,
    "chain": lambda: CHAIN,
    "linear": lambda: LINE,
    "tree": lambda: TREE,
    "mixture": lambda: DIFFUSION,
    "ddpm": lambda: GaussianMixtureDDPM(DIFFUSION),
    "brownian": lambda: GaussianReference.brownian(2, 3),
    "masked graphs": lambda: MaskedGraphDiffusion(GraphTransformer(4, 16, 16, 1), torch.ones(4)),
    "causal": lambda: CausalToy(starts=range(STEPS)),
    "causal, uncached": lambda: CausalToy(cached=False),
    "gdss": lambda: GaussianGDSS(4),
    "controlled": lambda: Controlled(LINE, Network(2)),
    "finetuned": lambda: Finetuned(Walk()),
    "explored": lambda: EpsilonMixture(Controlled(LINE, Network(2)), 0.3),
    "optimal": lambda: CHAIN.optimal(0.7),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_every_reference_and_policy_of_the_package_passes(name):
    check_reference(REFERENCES[name]().eval(), num_draws=400)


def test_an_oracle_with_a_condition_passes():
    reference = ConditionalOracle([LINE, LinearGaussianChain.random(2, 4, seed=2)])
    condition = torch.tensor([0, 1, 1, 0])
    check_reference(reference, condition=condition, num_draws=400)
    check_value(PosteriorMean(reference.target(0.7)), reference, condition=condition)
    check_reward(reference.reward, reference, condition=condition)


def test_a_condition_that_is_a_leaf_passes():
    check_reference(Prompted(), condition=torch.arange(4.0)[:, None], num_draws=400)


def test_a_reference_of_another_device_passes():
    with tracked() as device:
        check_reference(Walk().to(device), num_draws=200)


TEXTS = TREE.initial(3)
TRANSITIONS = {
    "gaussian": lambda: (GaussianTransition(normal(3, 2), 0.5), normal(3, 2, seed=1)),
    "gaussian of numbers": lambda: (GaussianTransition(normal(3), normal(3, seed=1).abs()), normal(3)),
    "gaussian in single": lambda: (GaussianTransition(normal(3, 1).float(), 0.3), normal(3, 1).float()),
    "partly a dirac": lambda: (GaussianTransition(normal(3, 2), torch.tensor([[0.0, 0.5]])), normal(3, 2, seed=1)),
    "categorical": lambda: (CategoricalTransition(normal(3, 2, 4)), torch.zeros(3, 2, dtype=torch.long)),
    "listed": lambda: (ListedTransition(normal(3, 5, 2), normal(3, 5, seed=1)), None),
    "listed twice": lambda: (ListedTransition(torch.tensor([[1, 2, 1], [0, 0, 3]]), normal(2, 3)), None),
    "mixture": lambda: (
        MixtureTransition([CategoricalTransition(normal(3, 2, 3, seed=s)) for s in range(2)], [0.3, 0.7]),
        None,
    ),
    "mixture of gaussians": lambda: (
        MixtureTransition([GaussianTransition(normal(3, 1, seed=s), 0.5 + s) for s in range(2)], normal(3, 2).abs()),
        None,
    ),
    "fields": lambda: (
        FieldTransition(
            {"x": GaussianTransition(normal(3, 2), 0.5), "n": CategoricalTransition(normal(3, 1, 3))},
            TensorDict({"kept": normal(3, 2), "x": normal(3, 2), "n": torch.zeros(3, 1).long()}, batch_size=[3]),
        ),
        None,
    ),
    "correlated": lambda: (
        CorrelatedGaussian(normal(3, 2), torch.linalg.qr(normal(3, 2, 2))[0], normal(3, 2, seed=1).abs() + 0.1),
        None,
    ),
    "analytic mixture": lambda: (
        GaussianMixtureTransition(normal(3, 4), normal(3, 4, 2, seed=1), 0.3 + normal(3, 4, 2, seed=2).abs()),
        normal(3, 2),
    ),
    "masked": lambda: (
        MaskedTransition(torch.tensor([[3, 3, 1], [0, 3, 3]]), normal(2, 3, 3), 3, number=1),
        torch.tensor([[3, 3, 1], [0, 3, 3]]),
    ),
    "masked, by chance": lambda: (
        MaskedTransition(torch.tensor([[3, 3, 1], [0, 3, 3]]), normal(2, 3, 3), 3, probability=0.4),
        None,
    ),
    "appending": lambda: (
        AppendingTransition(torch.tensor([[1, 0, 0, 1], [2, 0, 0, 1]]), normal(2, 3), end=2),
        None,
    ),
    "next token": lambda: (TREE(TEXTS, torch.zeros(3, dtype=torch.long)).transition, None),
    "finished texts": lambda: (FinishedTexts(TREE, TEXTS), None),
}


@pytest.mark.parametrize("name", TRANSITIONS)
def test_every_transition_of_the_package_passes(name):
    law, x = TRANSITIONS[name]()
    check_transition(law, x, num_draws=1000)


TARGET = LINE.target(0.7)
VALUES = {
    "zero": lambda: (Zero(), LINE),
    "learned": lambda: (Learned(Network()), LINE),
    "posterior mean": lambda: (PosteriorMean(TARGET), LINE),
    "of samples": lambda: (PosteriorMean(CHAIN.target(0.7), num_samples=3), CHAIN),
    "simulated": lambda: (MonteCarlo(LINE, TARGET, 2), LINE),
    "simulated, by budget": lambda: (MonteCarlo(LINE, TARGET, budget=4), LINE),
    "switch": lambda: (Switch(Learned(Network()), PosteriorMean(TARGET), 2), LINE),
    "at steps": lambda: (AtSteps(PosteriorMean(TARGET), [1, 3]), LINE),
    "ensemble": lambda: (Ensemble([Learned(Network()), PosteriorMean(TARGET)], torch.rand(4, 2)), LINE),
    "exact, linear": lambda: (LINE.soft_value(0.7), LINE),
    "mean, linear": lambda: (LINE.mean_value(), LINE),
    "exact, chain": lambda: (CHAIN.soft_value(0.7), CHAIN),
    "exact, texts": lambda: (TREE.soft_value(0.7), TREE),
    "exact, mixture": lambda: (DIFFUSION.soft_value(1.0), DIFFUSION),
}


@pytest.mark.parametrize("name", VALUES)
def test_every_value_of_the_package_passes(name):
    check_value(*VALUES[name]())


REWARDS = {
    "quadratic": lambda: (LINE.reward, LINE),
    "table": lambda: (CHAIN.target(1.0), CHAIN),
    "texts": lambda: (TREE.reward, TREE),
    "components": lambda: (DIFFUSION.reward, DIFFUSION),
    "mixture density": lambda: (gmm40().target(GaussianReference.brownian(2, 3)), GaussianReference.brownian(2, 3)),
    "well": lambda: (double_well(1, 2.0, 2).target(GaussianReference.brownian(2, 3)), GaussianReference.brownian(2, 3)),
    "weighted": lambda: (sv.Target({LINE.reward: 0.5, CHAIN.reward.__class__(torch.ones(4)): 0.0}, 1.0), LINE),
    "drug-likeness": lambda: (molecules.QED(), REFERENCES["masked graphs"]().eval()),
}


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_of_the_package_pass(name):
    check_reward(*REWARDS[name]())
