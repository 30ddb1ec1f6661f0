"""Policies in the samplers: as proposals they leave Z unbiased at a known cost, as references they are steered."""

import math

import pytest
import torch
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain, Quadratic, QuadraticValue, TableValue
from svlearn.inference import proposals
from svlearn.inference.samplers import ancestral, best_of_n, smc, svdd
from svlearn.policies import Controlled
from svlearn.policies.finetuned import Finetuned
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.transitions import CategoricalTransition
from svlearn.values import PosteriorMean, Zero

ALPHA = 0.7
GAUSSIAN = LinearGaussianChain.random(dim=2, num_steps=5, seed=1)
MARKOV = FiniteMarkovChain.random(num_states=5, num_steps=5, seed=1)
KINDS, VALUES, SAMPLERS = ("controlled", "finetuned"), ("exact", "zero", "wrong"), ("smc", "svdd")

each_kind = pytest.mark.parametrize("kind", KINDS)
each_value = pytest.mark.parametrize("value", VALUES)
each_sampler = pytest.mark.parametrize("name", SAMPLERS)


class TokenChain(Reference):
    """MARKOV, with logits (T, S, S) that are parameters."""

    num_steps = MARKOV.num_steps

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(MARKOV.matrices.log())

    def initial(self, batch_size, *, condition=None, generator=None):
        return MARKOV.initial(batch_size, generator=generator)

    def forward(self, x, t, previous=None):
        return Prediction(CategoricalTransition(self.logits[t, x[:, 0]][:, None]), clean=x)


class Push(nn.Module):
    """A small random network of (x, t)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2)).double()

    def forward(self, x, t):
        return 1.5 * self.layers(torch.cat([x, t[:, None] / 5], dim=1))


class Feedback(nn.Module):
    """g(x, t) = F_t x + c_t."""

    def __init__(self):
        super().__init__()
        draws = torch.randn(2, 5, 2, 2, generator=seeded("cpu", 5), dtype=torch.float64)
        self.matrices, self.offsets = nn.Parameter(0.5 * draws[0]), nn.Parameter(draws[1, :, 0])

    def forward(self, x, t):
        return torch.einsum("bij,bj->bi", self.matrices[t], x) + self.offsets[t]


def finetuned():
    """A copy of the token chain that has moved by about half a nat at every logit, up where the reward is high."""
    policy = Finetuned(TokenChain())
    with torch.no_grad():
        shift = torch.randn(policy.copy.logits.shape, generator=seeded("cpu", 6), dtype=torch.float64)
        policy.copy.logits.add_(0.5 * (shift + MARKOV.reward.table))
    return policy


def setting(kind):
    """The oracle, and a policy that has moved away from it."""
    return (GAUSSIAN, Controlled(GAUSSIAN, Push())) if kind == "controlled" else (MARKOV, finetuned())


def make_value(name, oracle):
    """The wrong one moves by about half a nat, in no direction that the reward knows of."""
    if name != "wrong":
        return oracle.soft_value(ALPHA) if name == "exact" else Zero()
    noise = seeded("cpu", 11)
    if oracle is MARKOV:
        return TableValue(0.5 * ALPHA * torch.randn(5, 5, generator=noise).double())
    bend, zero = 0.1 * torch.eye(2).double(), torch.zeros(()).double()
    tilts = [Quadratic(bend, 0.4 * torch.randn(2, generator=noise).double(), zero) for _ in range(5)]
    return QuadraticValue([tilt.scaled(ALPHA) for tilt in tilts])


def make_sampler(name, reference, target, value, proposal=None):
    if name == "smc":
        return smc(reference, target, value, 16, ess_threshold=0.6, proposal=proposal)
    return svdd(reference, target, value, 8, proposal)


def assert_unbiased(samples, log_normalizer, largest_error=0.05):
    """E[Z_hat] = Z within 4 standard errors, and these are small enough to tell."""
    ratio = (samples.log_normalizer - log_normalizer).exp()
    error = ratio.std() / math.sqrt(len(ratio))
    assert error < largest_error
    assert abs(ratio.mean() - 1) < 4 * error


@each_kind
@each_value
@each_sampler
def test_z_is_unbiased_whatever_the_policy(kind, value, name):
    oracle, policy = setting(kind)
    v, proposal = make_value(value, oracle), proposals.Policy(policy)
    sampler = make_sampler(name, policy.reference, oracle.target(ALPHA), v, proposal)
    place = (KINDS.index(kind), VALUES.index(value), SAMPLERS.index(name))
    samples = sampler.sample(4000, generator=seeded("cpu", 1, *place))
    assert_unbiased(samples, oracle.log_normalizer(ALPHA))


@each_kind
def test_the_policies_have_moved(kind):
    """Else the tests above would pass with the ratio left out: sampled alone, their Z is another."""
    oracle, policy = setting(kind)
    alone = smc(policy, oracle.target(ALPHA), Zero(), 16).sample(4000, generator=seeded("cpu", 2))
    ratio = (alone.log_normalizer - oracle.log_normalizer(ALPHA)).exp()
    assert abs(ratio.mean() - 1) > 8 * ratio.std() / math.sqrt(len(ratio))


def moved(kind):
    """A policy whose own law is an oracle as well."""
    if kind == "controlled":
        network = Feedback()
        variances = GAUSSIAN.stds**2
        matrices = GAUSSIAN.matrices + variances[:, :, None] * network.matrices.detach()
        offsets = GAUSSIAN.offsets + variances * network.offsets.detach()
        start = (GAUSSIAN.initial_mean, GAUSSIAN.initial_covariance)
        own = LinearGaussianChain(*start, matrices, offsets, GAUSSIAN.stds, GAUSSIAN.reward)
        return Controlled(GAUSSIAN, network), own
    policy = finetuned()
    matrices = policy.copy.logits.detach().softmax(dim=-1)
    return policy, FiniteMarkovChain(MARKOV.initial_probs, matrices, MARKOV.reward.table)


@each_kind
@each_value
@each_sampler
def test_as_a_reference_a_policy_is_steered_towards_its_own_target(kind, value, name):
    policy, own = moved(kind)
    v = own.soft_value(ALPHA) if value == "exact" else make_value(value, GAUSSIAN if kind == "controlled" else MARKOV)
    samples = make_sampler(name, policy, own.target(ALPHA), v).sample(4000, generator=seeded("cpu", 3))
    assert_unbiased(samples, own.log_normalizer(ALPHA))


def test_plain_and_best_samples_of_a_policy():
    policy, own = moved("finetuned")
    probs, rewards = own.marginals()[-1], own.reward.table
    below = (rewards[None] < rewards[:, None]).double() @ probs
    number = 50_000
    for sampler, law in (
        (ancestral(policy), probs),
        (best_of_n(policy, own.target(ALPHA), 3), (below + probs) ** 3 - below**3),
    ):
        states = sampler.sample(number, generator=seeded("cpu", 4)).states
        counts = torch.bincount(states.flatten(), minlength=5)
        assert number * law.min() > 20
        assert ((counts - number * law) ** 2 / (number * law)).sum() < 4 + 4 * math.sqrt(8)


@each_kind
@pytest.mark.parametrize(
    ("name", "kept", "scored", "candidates"),
    [("smc", 16, 16, 16), ("svdd", 1, 1, 8), ("svdd with the posterior mean", 1, 8, 8)],
)
def test_what_a_policy_costs(kind, name, kept, scored, candidates):
    """T = 5: one policy call per kept state and step, none of the reference beyond what it takes without a policy."""
    oracle, policy = setting(kind)
    target = oracle.target(ALPHA)
    value = PosteriorMean(target) if "mean" in name else make_value("wrong", oracle)
    costs = [
        make_sampler(name.split()[0], policy.reference, target, value, proposal)
        .sample(10, generator=seeded("cpu", 0))
        .cost
        for proposal in (None, proposals.Policy(policy))
    ]
    assert [cost.policy_calls for cost in costs] == [0, 10 * kept * 5]
    assert [cost.reference_calls for cost in costs] == [10 * scored * 5] * 2
    assert [cost.value_calls for cost in costs] == [10 * candidates * 5] * 2


class Watched(Push):
    """Remembers how many states each call had."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, x, t):
        self.sizes.append(len(x))
        return super().forward(x, t)


@each_kind
@each_sampler
def test_max_batch_changes_nothing(kind, name):
    oracle, policy = setting(kind)
    v, proposal = make_value("wrong", oracle), proposals.Policy(policy)
    sampler = make_sampler(name, policy.reference, oracle.target(ALPHA), v, proposal)
    whole, cut = (sampler.sample(6, generator=seeded("cpu", 0), max_batch=size) for size in (None, 5))
    assert torch.allclose(whole.states, cut.states, atol=1e-12)
    assert torch.allclose(whole.log_weights, cut.log_weights, atol=1e-12)
    assert torch.allclose(whole.log_normalizer, cut.log_normalizer, atol=1e-12)
    assert whole.cost.policy_calls == cut.cost.policy_calls


def test_max_batch_cuts_the_calls_of_the_network():
    network = Watched()
    proposal = proposals.Policy(Controlled(GAUSSIAN, network))
    smc(GAUSSIAN, GAUSSIAN.target(ALPHA), Zero(), 6, proposal=proposal).sample(2, max_batch=5)
    assert network.sizes == [5, 5, 2] * 5


def test_a_policy_that_is_the_reference_weighs_as_none():
    for policy in (Finetuned(TokenChain()), Finetuned(Gaussian(), 1)):
        target = MARKOV.target(ALPHA) if isinstance(policy.reference, TokenChain) else GAUSSIAN.target(ALPHA)
        runs = [
            smc(policy.reference, target, Zero(), 4, proposal=proposal).sample(20, generator=seeded("cpu", 0))
            for proposal in (None, proposals.Policy(policy))
        ]
        assert torch.equal(runs[0].states, runs[1].states)
        assert torch.equal(runs[0].log_weights, runs[1].log_weights)


class Gaussian(Reference):
    """GAUSSIAN with its mean from linear layers."""

    num_steps = GAUSSIAN.num_steps

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2).double() for _ in range(self.num_steps))
        for layer, matrix, offset in zip(self.layers, GAUSSIAN.matrices, GAUSSIAN.offsets):
            layer.load_state_dict({"weight": matrix, "bias": offset})

    def initial(self, batch_size, *, condition=None, generator=None):
        return GAUSSIAN.initial(batch_size, generator=generator)

    def forward(self, x, t, previous=None):
        law = GAUSSIAN(x, t).transition
        law.mean = self.layers[int(t[0])](x)
        return Prediction(law)


@each_sampler
def test_z_is_unbiased_with_adapters(name):
    policy = Finetuned(Gaussian(), 1)
    with torch.no_grad():
        for parameter in policy.trained():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=seeded("cpu", 8), dtype=torch.float64))
    sampler = make_sampler(name, policy.reference, GAUSSIAN.target(ALPHA), Zero(), proposals.Policy(policy))
    assert_unbiased(sampler.sample(4000, generator=seeded("cpu", 9)), GAUSSIAN.log_normalizer(ALPHA))


def test_a_control_of_another_shape_is_refused():
    proposal = proposals.Policy(Controlled(GAUSSIAN, Flat()))
    with pytest.raises(ValueError, match=r"network: expected shape \(8, 2\), as the state, got \(8,\)"):
        smc(GAUSSIAN, GAUSSIAN.target(ALPHA), Zero(), 4, proposal=proposal).sample(2)


class Flat(nn.Module):
    def forward(self, x, t):
        return x.sum(dim=1)


def test_what_is_no_process_is_refused():
    with pytest.raises(TypeError, match="policy: expected a Reference, got Push"):
        proposals.Policy(Push())
