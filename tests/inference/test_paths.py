"""Paths of weighted particles: their law is p* of whole trajectories, and they are paths of the reference."""

import math

import pytest
import torch
from inference_toys import kernel
from tensordict import TensorDict

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.inference.paths import sample_paths, smc_paths
from svlearn.inference.sampler import Sampler
from svlearn.inference.samplers import ancestral, best_of_n, smc, svdd
from svlearn.inference.selection import LocalSampling
from svlearn.metering import metered
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import PosteriorMean, Zero

CHAIN = FiniteMarkovChain.random(3, 3, seed=2, zeros=0.3).with_rewards(torch.tensor([1.5, -math.inf, -0.5]))
PLACES = 3 ** torch.arange(4)  # a path of CHAIN as one number below 81


def law_of_paths(chain):
    """The probability of each of the 81 paths."""
    digits = torch.arange(81)[:, None] // PLACES % 3
    law = chain.initial_probs[digits[:, 0]]
    for t in range(3):
        law = law * chain.matrices[t, digits[:, t], digits[:, t + 1]]
    return law


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_weighted_paths_have_the_law_of_the_optimal_trajectories(threshold):
    laws = []
    for seed in range(50):
        paths, log_weights = smc_paths(
            CHAIN, CHAIN.target(1.0), Zero(), 2000, ess_threshold=threshold, generator=seeded("cpu", seed)
        )
        assert paths.shape == (2000, 4, 1)
        index = (paths[:, :, 0] * PLACES).sum(dim=1)
        laws.append(torch.zeros(81).double().index_add(0, index, log_weights.exp()))
    laws = torch.stack(laws)
    law = law_of_paths(CHAIN.optimal(1.0))
    error = laws.std(dim=0) / math.sqrt(50)
    assert bool((laws[:, law == 0] == 0).all())
    assert bool(((laws.mean(dim=0) - law).abs() <= 4 * error + 1e-4).all())  # the bias of a ratio is of order 1/K
    assert error.max() < 0.005


@pytest.mark.parametrize("max_batch", [None, 7])
def test_a_value_that_reads_the_prediction_and_a_limit_on_batches(max_batch):
    oracle = LinearGaussianChain.random(dim=2, num_steps=4, seed=0)
    target = oracle.target(0.5)
    with metered(max_batch) as meter:
        paths, log_weights = smc_paths(oracle, target, PosteriorMean(target), 50, generator=seeded("cpu", 0))
    assert paths.shape == (50, 5, 2) and log_weights.logsumexp(0).item() == pytest.approx(0.0, abs=1e-12)
    assert meter.cost.reference_calls == 50 * 4 and meter.cost.value_calls == 50 * 4
    whole, weights = smc_paths(oracle, target, PosteriorMean(target), 50, generator=seeded("cpu", 0))
    torch.testing.assert_close(paths, whole)
    torch.testing.assert_close(log_weights, weights)


def test_the_value_is_asked_about_the_present_state():
    """The chain counts: x_t = t."""
    chain = FiniteMarkovChain(torch.eye(4)[0], torch.eye(4).roll(1, dims=1).expand(3, 4, 4), torch.zeros(4))
    calls = []

    class Calls(Zero):
        def forward(self, x, t, prediction=None):
            calls.append((x[:, 0].tolist(), t.tolist()))
            return super().forward(x, t)

    paths, _ = smc_paths(chain, chain.target(1.0), Calls(), 2, generator=seeded("cpu", 0))
    assert calls == [([t, t], [t, t]) for t in range(3)]
    assert paths[:, :, 0].tolist() == [[0, 1, 2, 3]] * 2


def test_a_group_that_died_says_so():
    target = Target(lambda x: torch.full((len(x),), -math.inf), 1.0)
    _, log_weights = smc_paths(CHAIN, target, Zero(), 5, generator=seeded("cpu", 0))
    assert bool((log_weights == -math.inf).all())


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_paths_of_svdd_have_its_law_step_by_step(alpha):
    """Every step of a lineage, the start included, is the enumerated choice among 2 candidates."""
    table = torch.tensor([[0.3, -0.2, 0.8], [1.0, 0.1, -0.4], [0.2, 0.9, 0.5]], dtype=torch.float64)
    chain = CHAIN.with_rewards(torch.tensor([1.5, -3.0, -0.5]))

    class Table(Zero):
        def forward(self, x, t, prediction=None):
            return table[t, x[:, 0]]

    levels = [*table, chain.reward.table]
    start = kernel(levels[0], 2, alpha)(chain.initial_probs.expand(3, 3))[0]
    moves = [kernel(levels[t + 1], 2, alpha)(chain.matrices[t]) for t in range(3)]
    law = law_of_paths(FiniteMarkovChain(start, torch.stack(moves), chain.reward.table))
    paths = sample_paths(svdd(chain, chain.target(alpha), Table(), 2), 100_000, generator=seeded("cpu", 0))
    index = (paths["states"][:, :, 0] * PLACES).sum(dim=1)
    frequencies = torch.bincount(index, minlength=81).double() / 100_000
    assert bool(((frequencies - law).abs() <= 4.5 * (law * (1 - law) / 100_000).sqrt()).all())
    assert torch.equal(paths["rewards"], chain.reward(paths["states"][:, -1]))
    assert bool((paths["log_weights"] == 0).all())
    assert ("log_normalizer" in paths) == (alpha > 0)


@pytest.mark.parametrize("kind", ["svdd", "smc"])
def test_weighted_by_the_estimates_of_z_the_paths_are_unbiased_for_p_star(kind):
    """With few candidates, a useless value and a reward of -inf: what the group's weights leave biased is corrected."""
    target, size = CHAIN.target(1.0), 40_000
    sampler = svdd(CHAIN, target, Zero(), 2) if kind == "svdd" else smc(CHAIN, target, Zero(), 2, ess_threshold=1.0)
    paths = sample_paths(sampler, size, generator=seeded("cpu", 1))
    weights = (paths["log_weights"] + paths["log_normalizer"]).exp()
    index = (paths["states"][:, :, 0] * PLACES).sum(dim=1)
    scores = torch.zeros(len(paths), 81, dtype=torch.float64).scatter(1, index[:, None], weights[:, None])
    scores = scores.view(size, -1, 81).mean(dim=1)  # the particles of a group depend on each other
    law = law_of_paths(CHAIN.optimal(1.0)) * CHAIN.log_normalizer(1.0).exp()
    rare = law < 0.005  # together, else their standard errors are not to be trusted
    scores, law = (torch.cat([x[..., ~rare], x[..., rare].sum(-1, keepdim=True)], dim=-1) for x in (scores, law))
    error = scores.std(dim=0) / math.sqrt(size)
    assert bool(((scores.mean(dim=0) - law).abs() <= 4.5 * error).all()) and error.max() < 0.01
    biased = torch.zeros(81).double().index_add(0, index, paths["log_weights"].exp()) / len(paths)
    biased = biased / biased.sum()
    assert (biased - law_of_paths(CHAIN.optimal(1.0))).abs().max() > 0.02


@pytest.mark.parametrize(
    ("sampler", "kept"),
    [
        (lambda chain, target: ancestral(chain), 1),
        (lambda chain, target: best_of_n(chain, target, 4), 1),
        (lambda chain, target: svdd(chain, target, Zero(), [3, 1, 2, 4]), 1),
        (lambda chain, target: smc(chain, target, Zero(), 6, ess_threshold=1.0), 6),
    ],
)
def test_paths_end_where_the_samples_do_and_every_move_is_possible(sampler, kept):
    sampler = sampler(CHAIN, CHAIN.target(1.0))
    samples = sampler.sample(50, generator=seeded("cpu", 0), keep_states=True)
    paths = samples.paths()
    assert paths.shape == (50, kept, 4, 1) and torch.equal(paths[:, :, -1], samples.states)
    for t in range(3):
        assert bool((CHAIN.matrices[t, paths[:, :, t, 0], paths[:, :, t + 1, 0]] > 0).all())
    assert len(samples.history.ancestors) == len(samples.history.states) == 4
    again = sampler.sample(50, generator=seeded("cpu", 0))
    assert torch.equal(again.states, samples.states) and again.history.states is None
    assert all(map(torch.equal, again.history.ancestors, samples.history.ancestors))
    with pytest.raises(ValueError, match="sample with keep_states=True"):
        again.paths()
    flat = sample_paths(sampler, 50, generator=seeded("cpu", 0))
    assert torch.equal(flat["states"], paths.flatten(0, 1)) and len(flat) == 50 * kept
    assert ("rewards" in flat) == (sampler.target is not None)


def test_lineages_by_hand():
    """Three particles that carry their number; the second of two resamplings keeps the first alone."""
    chain = LinearGaussianChain.random(dim=1, num_steps=2, seed=0)
    samples = smc(chain, chain.target(1.0), Zero(), 3).sample(1, generator=seeded("cpu", 0), keep_states=True)
    numbers = tuple(torch.tensor([[[10.0 * t + k] for k in range(3)]]) for t in range(3))
    ancestors = (torch.tensor([[0, 1, 2]]), torch.tensor([[2, 2, 0]]), torch.tensor([[1, 2, 2]]))
    history = type(samples.history)(samples.history.ess, samples.history.resampled, ancestors, numbers)
    traced = type(samples)(samples.states, None, samples.log_weights, None, samples.cost, history).paths()
    assert traced[0, :, :, 0].tolist() == [[2, 11, 20], [0, 12, 21], [0, 12, 22]]


def test_candidates_of_a_particle_have_it_as_their_ancestor():
    """Two particles of three candidates each: a local selection keeps both lineages."""
    options = dict(num_particles=2, num_candidates=[3] * 4)
    samples = Sampler(CHAIN, CHAIN.target(1.0), Zero(), LocalSampling(), **options).sample(
        40, generator=seeded("cpu", 0), keep_states=True
    )
    assert all(row.tolist() == [[0, 1]] * 40 for row in samples.history.ancestors)
    assert torch.equal(samples.paths(), torch.stack(samples.history.states, dim=2))


class Pairs(Reference):
    """A random walk whose state is a TensorDict of two parts."""

    num_steps = 2

    def initial(self, batch_size, *, condition=None, generator=None):
        x = torch.randn(batch_size, 2, generator=generator)
        return TensorDict({"x": x, "fixed": x.sum(dim=1)}, batch_size=[batch_size])

    def forward(self, x, t, previous=None):
        return Prediction(PairStep(x))


class PairStep(GaussianTransition):
    def __init__(self, x):
        super().__init__(x["x"], 1.0)
        self.fixed = x["fixed"]

    def sample(self, *, generator=None):
        return TensorDict({"x": super().sample(generator=generator), "fixed": self.fixed}, batch_size=[len(self.fixed)])

    def __getitem__(self, index):
        return PairStep(TensorDict({"x": self.mean, "fixed": self.fixed}, batch_size=[len(self.fixed)])[index])


def test_paths_of_states_of_several_parts():
    target = Target(lambda x: x["x"].sum(dim=1), 1.0)
    paths = sample_paths(smc(Pairs(), target, Zero(), 5, ess_threshold=1.0), 7, generator=seeded("cpu", 0))["states"]
    assert paths.batch_size == (35, 3) and paths["x"].shape == (35, 3, 2)
    assert bool((paths["fixed"] == paths["fixed"][:, :1]).all())  # no path changes its lineage on the way
    torch.testing.assert_close(paths["fixed"][:, 0], paths["x"][:, 0].sum(dim=1))
