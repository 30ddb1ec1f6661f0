"""What the trees of `tree_search` are made of: nodes below their own parents, one call each, caches and paths."""

import gc
import math
import weakref

import pytest
import torch
from inference_toys import BASE, MARKOV
from tensordict import TensorDict

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.inference.paths import sample_paths
from svlearn.inference.tree import TreeRun
from svlearn.inference.tree_search import tree_search
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import MonteCarlo, PosteriorMean

ALPHA, STEPS = 0.6, 5
TARGET = MARKOV.target(ALPHA)
INDEPENDENT = {"widening_factor": 1.0, "widening_exponent": 1.0}


def test_growing_on_from_given_states():
    x = torch.arange(5).repeat(600)[:, None]
    truth = MARKOV.soft_table(ALPHA)[2, x[:, 0]] / ALPHA
    samples = tree_search(MARKOV, TARGET, None, 8, **INDEPENDENT).resume(
        x, 2, generator=seeded("cpu", 5), keep_states=True
    )
    assert samples.cost.reference_calls == 3000 * (1 + 8 * 2)  # x_2 is one node
    assert samples.history.ess.shape == (3000, 4) and samples.history.start == 2
    assert torch.equal(samples.paths()[:, :, 0], x[:, None].expand(-1, 8, -1))
    for state in range(5):
        ratio = (samples.log_normalizer - truth)[x[:, 0] == state].exp()
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(600)


def test_paths_are_those_of_the_reference():
    chain = FiniteMarkovChain.random(5, 4, seed=3, zeros=0.5)
    trajectories = sample_paths(tree_search(chain, chain.target(1.0), None, 30), 40, generator=seeded("cpu", 6))
    paths = trajectories["states"][:, :, 0]
    assert bool((chain.initial_probs[paths[:, 0]] > 0).all())
    for t in range(4):
        assert bool((chain.matrices[t, paths[:, t], paths[:, t + 1]] > 0).all())
    torch.testing.assert_close(chain.reward.table[paths[:, -1]], trajectories["rewards"])
    weights = trajectories["log_weights"].exp().view(40, 30)
    torch.testing.assert_close(weights.sum(dim=1), torch.full((40,), 30.0).double())


class Bands(Reference):
    """Starts far apart from each other, and steps that are small: a child of another's parent would stand out."""

    num_steps = 6

    def initial(self, batch_size, *, condition=None, generator=None):
        return 100 * torch.randn(batch_size, 1, generator=generator, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(x, 0.001))


def test_children_come_from_their_own_parents():
    bands = Bands()
    target = Target(lambda x: torch.cos(1000 * x[:, 0]), 0.5)
    sampler = tree_search(bands, target, None, 40, widening_factor=1.0, widening_exponent=0.4)
    samples = sampler.sample(30, generator=seeded("cpu", 7), keep_states=True)
    assert bool((samples.history.unique_ancestors.diff(dim=1) >= 0).all())
    assert samples.paths()[..., 0].diff(dim=2).abs().max() < 0.01


def test_the_ess_counts_the_nodes_that_the_weights_rest_on():
    samples = tree_search(MARKOV, TARGET, None, 20, widening_factor=1.0).sample(10, generator=seeded("cpu", 7))
    weights, lineage = samples.log_weights.exp(), samples.history.lineage
    for t in range(STEPS + 1):
        mass = torch.zeros_like(weights).scatter_add(1, lineage[:, t], weights)
        torch.testing.assert_close(samples.history.ess[:, t], 1 / mass.square().sum(dim=1))
    assert not samples.history.resampled.any()


def test_every_node_costs_one_call():
    sampler = tree_search(MARKOV, TARGET, MARKOV.soft_value(ALPHA), 40)
    samples = sampler.sample(10, generator=seeded("cpu", 8))
    nodes = samples.history.unique_ancestors  # every node has a leaf below it
    assert samples.cost.reference_calls == samples.cost.value_calls == nodes[:, :-1].sum() < 10 * 40 * STEPS
    assert samples.cost.reward_calls == (samples.log_weights > -math.inf).sum()
    single = tree_search(MARKOV, TARGET, None, 1).sample(10)
    assert single.cost.reference_calls == 10 * STEPS and single.cost.value_calls == 0


@pytest.mark.parametrize("kind", ["none", "posterior mean", "monte carlo"])
def test_max_batch_changes_no_sample(kind):
    target = BASE.target(ALPHA)
    value = {"none": None, "posterior mean": PosteriorMean(target), "monte carlo": MonteCarlo(BASE, target, 2)}[kind]
    sampler = tree_search(BASE, target, value, 9)
    whole = sampler.sample(6, generator=seeded("cpu", 9))
    largest = []
    handle = BASE.register_forward_pre_hook(lambda module, inputs: largest.append(len(inputs[0])))
    cut = sampler.sample(6, generator=seeded("cpu", 9), max_batch=4)
    handle.remove()
    torch.testing.assert_close(cut.states, whole.states, rtol=0, atol=1e-12)
    torch.testing.assert_close(cut.log_weights, whole.log_weights, rtol=0, atol=1e-10)
    assert max(largest) <= 4
    other = sampler.sample(6, generator=seeded("cpu", 10))
    assert not torch.equal(other.states, whole.states)


class Remembering(Reference):
    """State (position, sum of the positions before); its cache is the sum so far, which a wrong parent would spoil."""

    num_steps = 4

    def initial(self, batch_size, *, condition=None, generator=None):
        x = torch.zeros(batch_size, 2)
        return TensorDict({"x": x if condition is None else x + condition[:, None]}, batch_size=[batch_size])

    def forward(self, x, t, previous=None):
        x = x["x"]
        assert (previous is None) == bool((t == 0).all())
        before = x[:, 1] if previous is None else previous.cache
        torch.testing.assert_close(before, x[:, 1])
        mean = torch.stack([x[:, 0], before + x[:, 0]], dim=1)
        return Prediction(Step(mean, torch.tensor([1.0, 0.0])), cache=before + x[:, 0])


class Step(GaussianTransition):
    def sample(self, *, generator=None):
        return TensorDict({"x": super().sample(generator=generator)}, batch_size=[len(self.mean)])


def test_nested_states_caches_and_conditions_follow_the_nodes():
    target = Target(lambda state: -state["x"][:, 0].abs() / 100, 0.5)
    condition = torch.tensor([0.0, 0.0, 500.0])
    samples = tree_search(Remembering(), target, None, 30).sample(3, condition=condition, generator=seeded("cpu", 11))
    assert samples.states.batch_size == (3, 30)
    positions = samples.states["x"][:, :, 0]
    assert (positions[:2].abs() < 50).all() and (positions[2] > 450).all()


def test_finished_trees_are_gone_without_the_collector():
    """They are the largest thing of a run: nothing that lives in a cycle may hold them."""

    grown = []

    class Watched(type(tree_search(MARKOV, TARGET))):
        def _run(self, batch_size, generator, **options):
            forest = TreeRun(self.parts, batch_size, generator, self.widths, self.prior_children, **options)
            grown.append(weakref.ref(forest))
            return forest

    sampler = tree_search(MARKOV, TARGET, None, 6)
    sampler.__class__ = Watched
    collecting = gc.isenabled()
    gc.disable()
    try:
        samples = sampler.sample(3, generator=seeded("cpu", 0), keep_states=True)
        resumed = sampler.resume(torch.zeros(2, 1).long(), 1)
        assert [each() for each in grown] == [None, None] and samples and resumed
    finally:
        if collecting:
            gc.enable()
