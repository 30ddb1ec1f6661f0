"""Bounds on log Z: the two expectations by enumeration, their order and their gap on the oracles, and the KLs."""

import itertools
import math

import pytest
import torch
from tensordict import TensorDict

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain, TableValue
from svlearn.evaluation.bounds import normalizer_bounds
from svlearn.inference.proposals import Policy
from svlearn.inference.samplers import ancestral, best_of_n, smc, svdd
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import Learned, Zero

ALPHA, GROUPS = 0.5, 1500
ORACLES = {"markov": FiniteMarkovChain.random(5, 5, seed=1), "gaussian": LinearGaussianChain.random(2, 5, seed=1)}
KINDS = {
    "importance sampling": lambda *parts: smc(*parts, ess_threshold=0),
    "smc": lambda *parts: smc(*parts, resampling="multinomial"),
    "systematic smc": smc,
    "svdd": svdd,
}
each_oracle = pytest.mark.parametrize("name", ORACLES)
each_kind = pytest.mark.parametrize("kind", KINDS)


def policy_of(oracle):
    """Another process with the same initial law, that covers the oracle's."""
    if isinstance(oracle, FiniteMarkovChain):
        return FiniteMarkovChain(oracle.initial_probs, 0.6 * oracle.matrices + 0.4 / 5, oracle.reward.table)
    start = (oracle.initial_mean, oracle.initial_covariance)
    return LinearGaussianChain(*start, 0.8 * oracle.matrices, oracle.offsets, 1.2 * oracle.stds, oracle.reward)


def bounds_of(oracle, sampler, groups=GROUPS, seed=0):
    trajectories = oracle.optimal_trajectories(groups, ALPHA, generator=seeded("cpu", seed, 1))
    return normalizer_bounds(sampler, groups, trajectories=trajectories, generator=seeded("cpu", seed, 2))


def assert_bounds(bounds, log_normalizer):
    assert bounds.lower - 4 * bounds.lower_standard_error <= log_normalizer
    assert log_normalizer <= bounds.upper + 4 * bounds.upper_standard_error
    assert bounds.gap > 4 * bounds.gap_standard_error


@each_oracle
@each_kind
def test_lower_and_upper_enclose_log_z_and_meet_as_the_particles_grow(name, kind):
    oracle = ORACLES[name]
    bounds = {}
    for size in (2, 8, 32):
        sampler = KINDS[kind](oracle, oracle.target(ALPHA), oracle.mean_value(), size)
        bounds[size] = bounds_of(oracle, sampler, seed=size)
        assert_bounds(bounds[size], float(oracle.log_normalizer(ALPHA)))
    for size, more in ((2, 8), (8, 32)):
        error = math.hypot(bounds[size].gap_standard_error, bounds[more].gap_standard_error)
        assert bounds[more].gap < bounds[size].gap - 4 * error
    assert abs(bounds[32].log_normalizer - oracle.log_normalizer(ALPHA)) < 4 * bounds[32].log_normalizer_standard_error


@each_oracle
@pytest.mark.parametrize(
    "more",
    [
        {"num_candidates": 3},
        {"tempering": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]},
        {"proposal": "policy"},
        {"by_value": True, "share": 0.5, "resampling": "stratified"},
        {"ess_threshold": 1.0, "resampling": "residual"},
    ],
    ids=lambda more: "-".join(more),
)
def test_whatever_is_plugged_in(name, more):
    oracle = ORACLES[name]
    if "proposal" in more:
        more = {"proposal": Policy(policy_of(oracle))}
    sampler = smc(oracle, oracle.target(ALPHA), oracle.soft_value(ALPHA), 6, **more)
    assert_bounds(bounds_of(oracle, sampler), float(oracle.log_normalizer(ALPHA)))


def tiny():
    """Two states, two steps: 8 paths."""
    matrices = torch.tensor([[[0.7, 0.3], [0.2, 0.8]], [[0.6, 0.4], [0.1, 0.9]]])
    return FiniteMarkovChain(torch.tensor([0.6, 0.4]), matrices.double(), torch.tensor([0.3, -0.6]))


def paths_of(chain):
    """All paths, with their probabilities under p_ref and p*."""
    paths = []
    for path in itertools.product(range(2), repeat=3):
        probs = []
        for law in (chain, chain.optimal(ALPHA)):
            probs.append(law.initial_probs[path[0]] * law.matrices[0, path[0], path[1]])
            probs[-1] = float(probs[-1] * law.matrices[1, path[1], path[2]])
        paths.append((path, *probs))
    return paths


def test_both_expectations_by_enumeration_of_two_particles():
    chain = tiny()
    paths = paths_of(chain)
    lower = upper = 0.0
    for (one, p, optimal), (other, q, _) in itertools.product(paths, paths):
        weights = [math.exp(float(chain.reward.table[path[-1]]) / ALPHA) for path in (one, other)]
        lower += p * q * math.log(sum(weights) / 2)
        upper += optimal * q * math.log(sum(weights) / 2)
    sampler = smc(chain, chain.target(ALPHA), chain.soft_value(ALPHA), 2, ess_threshold=0)
    bounds = bounds_of(chain, sampler, groups=20_000)
    assert lower < chain.log_normalizer(ALPHA) < upper
    assert abs(bounds.lower - lower) < 4 * bounds.lower_standard_error < 0.02
    assert abs(bounds.upper - upper) < 4 * bounds.upper_standard_error < 0.02


def test_svdd_by_enumeration_of_two_candidates():
    """E over all pairs of candidates at every step; the upper one keeps the path of p* among them."""
    chain = tiny()
    value = TableValue(torch.tensor([[0.2, -0.1], [-0.3, 0.4]]).double())
    table = torch.cat([value.table, chain.reward.table[None]]) / ALPHA

    def expected(path=None, state=None, t=0):
        """E[Σ_s log of the mean increment of step s = t ... T], from the state kept at t - 1."""
        if t == 3:
            return 0.0
        probs = chain.initial_probs if t == 0 else chain.matrices[t - 1, state]
        before = 0.0 if t == 0 else table[t - 1, state]
        total = 0.0
        for pair in itertools.product(range(2), repeat=2):
            weights = [(table[t, one] - before).exp() for one in pair]
            gain = (sum(weights) / 2).log()
            if path is not None:
                chance = probs[pair[1]] * (pair[0] == path[t])
                total += chance * (gain + expected(path, path[t], t + 1)) if chance > 0 else 0.0
            else:
                shares = [weight / sum(weights) for weight in weights]
                ahead = sum(share * expected(None, one, t + 1) for share, one in zip(shares, pair, strict=True))
                total += probs[pair[0]] * probs[pair[1]] * (gain + ahead)
        return float(total)

    lower, upper = expected(), sum(optimal * expected(path) for path, _, optimal in paths_of(chain))
    bounds = bounds_of(chain, svdd(chain, chain.target(ALPHA), value, 2), groups=20_000)
    assert lower < chain.log_normalizer(ALPHA) < upper
    assert abs(bounds.lower - lower) < 4 * bounds.lower_standard_error < 0.03
    assert abs(bounds.upper - upper) < 4 * bounds.upper_standard_error < 0.03


@pytest.mark.parametrize("kind", ["importance sampling", "smc", "svdd"])
def test_the_kls_of_what_is_drawn_lie_below(kind):
    """KL(q || p*) and KL(p* || q) of x_T, q from many draws; the two sides of the gap sum to it."""
    chain = ORACLES["markov"]
    sampler = KINDS[kind](chain, chain.target(ALPHA), Zero(), 4)
    bounds = bounds_of(chain, sampler)
    log_z = float(chain.log_normalizer(ALPHA))
    drawn = sampler.sample(40_000, generator=seeded("cpu", 3)).draw(generator=seeded("cpu", 4))
    q = torch.bincount(drawn.flatten(), minlength=5).double() / len(drawn)
    p = chain.optimal(ALPHA).marginals()[-1]
    to_target, from_target = ((a * (a / b).log()).sum() for a, b in ((q, p), (p, q)))
    assert 0.01 < to_target <= bounds.kl_to_target(log_z) + 4 * bounds.lower_standard_error
    assert 0.01 < from_target <= bounds.kl_from_target(log_z) + 4 * bounds.upper_standard_error
    assert bounds.kl_to_target(log_z) + bounds.kl_from_target(log_z) == pytest.approx(bounds.gap)
    assert bounds.kl_to_target() + bounds.kl_from_target() == pytest.approx(bounds.gap)
    assert bounds.kl_to_target() == bounds.log_normalizer - bounds.lower


def test_paths_of_its_own_estimate_the_upper_bound():
    """With two particles what a group draws is far from p*; its Z_hat makes up for it."""
    chain = ORACLES["markov"]
    sampler = smc(chain, chain.target(ALPHA), chain.soft_value(ALPHA), 2)
    exact = bounds_of(chain, sampler, groups=6000)
    own = torch.tensor([normalizer_bounds(sampler, 600, generator=seeded("cpu", 9, run)).upper for run in range(15)])
    error = math.hypot(float(own.std()) / math.sqrt(15), exact.upper_standard_error)
    assert abs(float(own.mean()) - exact.upper) < 4 * error < 0.1
    assert exact.upper - float(chain.log_normalizer(ALPHA)) > 0.5


def test_calls_are_counted_and_the_cut_changes_nothing(walk, target, value):
    sampler = smc(walk, target, value, 3)
    whole, cut = (normalizer_bounds(sampler, 5, generator=seeded("cpu", 0), max_batch=limit) for limit in (None, 4))
    assert whole.cost.reference_calls == 2 * 5 * 3 * 4 and whole.cost.reward_calls == 2 * 5 * 3
    assert (whole.lower, whole.upper) == pytest.approx((cut.lower, cut.upper), rel=1e-12)


class Pair(Reference):
    """The random walk with a TensorDict for a state."""

    num_steps = 2

    def initial(self, batch_size, *, condition=None, generator=None):
        return TensorDict({"x": torch.zeros(batch_size, 1)}, [batch_size])

    def forward(self, x, t, previous=None):
        return Prediction(Step(GaussianTransition(x["x"], 1.0)))


class Step(GaussianTransition):
    def __init__(self, law):
        self.law = law

    def sample(self, *, generator=None):
        x = self.law.sample(generator=generator)
        return TensorDict({"x": x}, [len(x)])

    def __getitem__(self, index):
        return Step(self.law[index])


@pytest.mark.parametrize("make", [smc, svdd])
def test_states_that_are_dictionaries(make):
    class OfPair(torch.nn.Module):
        def forward(self, x, t):
            return x["x"].squeeze(1)

    reference, target = Pair(), Target(lambda x: x["x"].squeeze(1), 1.0)
    bounds = normalizer_bounds(make(reference, target, Learned(OfPair()), 8), 400, generator=seeded("cpu", 0))
    assert bounds.lower - 4 * bounds.lower_standard_error < 1.0 < bounds.upper + 4 * bounds.upper_standard_error


def test_a_dead_group_leaves_no_lower_bound():
    chain = tiny().with_rewards(torch.tensor([0.0, -math.inf]))
    bounds = bounds_of(chain, smc(chain, chain.target(ALPHA), Zero(), 2), groups=200)
    log_z = float(chain.log_normalizer(ALPHA))
    assert bounds.lower == -math.inf and math.isnan(bounds.lower_standard_error) and bounds.gap == math.inf
    assert abs(bounds.log_normalizer - log_z) < 4 * bounds.log_normalizer_standard_error
    assert math.isfinite(bounds.upper) and bounds.upper > log_z


def test_what_is_refused(walk, target, value):
    for sampler in (
        ancestral(walk, target),
        best_of_n(walk, target, 3),
        svdd(walk, Target(target.reward, 0), value, 3),
    ):
        with pytest.raises(ValueError, match="sampler: expected one that estimates log Z"):
            normalizer_bounds(sampler, 4)
    with pytest.raises(ValueError, match=r"trajectories: expected shape \(B, 5, ...\), got \(3, 4, 1\)"):
        normalizer_bounds(smc(walk, target, value, 3), 4, trajectories=torch.zeros(3, 4, 1))
