"""A reward that computes with gradients of its own accord: no objective keeps its graphs, and samplers detach it."""

import pytest
import torch
from control_toys import LinearInX
from forward_toys import denoiser
from redrawn_toys import Redrawn
from torch import nn
from value_toys import QuadraticInX

from svlearn import objectives
from svlearn.domains.analytic import GaussianReference, LinearGaussianChain, QuadraticReward
from svlearn.inference import samplers
from svlearn.inference.proposals import Guided
from svlearn.objectives import Objective
from svlearn.objectives.fit import fit
from svlearn.policies import Controlled, Finetuned
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.values import Learned, MonteCarlo, PosteriorMean, Zero

NOISED = GaussianReference.ornstein_uhlenbeck(2, 3, correlation=0.7)


class Eager(nn.Module):
    """A quadratic, through a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(self, x):
        with torch.enable_grad():
            return -self.weight * (x - 1).square().sum(dim=1)


class EagerInTokens(Eager):
    """The same of the number of tokens 0, in one-hots."""

    reads_one_hot = True

    def forward(self, x):
        one_hot = x if x.is_floating_point() else nn.functional.one_hot(x, 3).double()
        return super().forward(one_hot[..., 0])


def chain():
    eye, steps = torch.eye(2, dtype=torch.float64), NOISED.scales[:, None, None]
    law = steps * eye, torch.zeros(3, 2), NOISED.stds
    return LinearGaussianChain(torch.zeros(2), NOISED.variances[0], *law, QuadraticReward(eye, torch.ones(2)))


OPTIONS = {
    "ContrastiveTwist": {},
    "IteratedTwist": {"num_particles": 4, "round_size": 8},
    "Distillation": {"replay": 0.5},
    "PathConsistency": {"replay": 0.5, "shared_start": 2, "variant": "log_variance"},
    "ProximalPolicyGradient": {"num_minibatches": 2},
    "SoftQIteration": {"num_next": 2},
    "TargetScoreMatching": {"levels": NOISED.noise_levels(), "log_reference": NOISED.log_reference},
}
KINDS = {name: getattr(objectives, name) for name in objectives.__all__}
NAMES = [name for name, kind in KINDS.items() if issubclass(kind, Objective) and kind is not Objective]
LEARN_VALUES = {"ContrastiveEnergy", "ContrastiveTwist", "IteratedTwist", "MonteCarloRegression", "SoftQIteration"}
LEARN_VALUES |= {"TemporalDifference"}


def held(module):
    """All tensors that an objective or its parts hold, in whatever they keep them."""
    for each in module.modules():
        for thing in vars(each).values():
            yield from _tensors(thing)


def _tensors(thing):
    if isinstance(thing, torch.Tensor):
        yield thing
    elif hasattr(thing, "values") and callable(thing.values) and not isinstance(thing, nn.Module):
        for each in thing.values():
            yield from _tensors(each)


@pytest.mark.filterwarnings("ignore:reference. not memoryless")
@pytest.mark.parametrize("name", NAMES)
def test_every_objective_trains_with_it_and_keeps_no_graph(name):
    reference, target = chain(), Target(Eager(), 1.0)
    options = dict(OPTIONS.get(name, {}), batch_size=8)
    if name == "GumbelSoftmaxControl":  # of tokens alone
        reference, target = Redrawn(2), Target(EagerInTokens(), 1.0)
        part = Finetuned(reference)
        objective = objectives.GumbelSoftmaxControl(reference, target, part, **options)
    elif name == "ForwardProcessPolicy":  # of what predicts x_T
        reference = denoiser()
        part = Finetuned(reference)
        objective = objectives.ForwardProcessPolicy(reference, target, part, **options)
    elif name in LEARN_VALUES:
        part = Learned(QuadraticInX(2, 3))
        objective = getattr(objectives, name)(reference, target, part, **options)
    else:
        part = Controlled(reference, LinearInX(2, 3))
        if name == "Distillation":
            options["sampler"] = samplers.svdd(reference, target, PosteriorMean(target), 2)
        objective = getattr(objectives, name)(reference, target, policy=part, **options)
    before = [each.detach().clone() for each in part.parameters()]
    fit(objective, max_steps=3, enable_progress_bar=False)
    assert any(not torch.equal(own, old) for own, old in zip(part.parameters(), before, strict=True))
    learned = {id(each) for each in objective.parameters()} | {id(target.reward.weight)}
    assert [each for each in held(objective) if each.requires_grad and id(each) not in learned] == []
    assert target.reward.weight.grad is None and target.reward.weight.requires_grad


def test_rewards_of_samplers_and_roll_outs_do_not_require_a_gradient():
    reference, target = chain(), Target(Eager(), 1.0)
    free = PosteriorMean(target)
    made = [
        samplers.ancestral(reference, target),
        samplers.best_of_n(reference, target, 3),
        samplers.svdd(reference, target, free, 3),
        samplers.svdd(reference, target, Zero(), 3, Guided(free)),
        samplers.smc(reference, target, MonteCarlo(reference, target, 2), 3),
        samplers.guidance(reference, target, free),
        samplers.beam_search(reference, target, free, 2, 2),
    ]
    for sampler in made:
        samples = sampler.sample(2)
        for part in (samples.states, samples.rewards, samples.log_weights):
            assert not part.requires_grad and part.grad_fn is None
    drawn = roll_out(reference, 3, target=target)
    assert not any(each.requires_grad for each in drawn.values())
