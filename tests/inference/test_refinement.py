"""Refinement: its law by round, by enumeration; particle Gibbs leaves p* as it is; depth, cost and history."""

import math
from itertools import pairwise

import pytest
import torch
from tensordict import TensorDict

from svlearn.domains.analytic import FiniteMarkovChain, TableValue
from svlearn.evaluation import compare as comparison
from svlearn.inference.proposals import Exact
from svlearn.inference.refinement import refine
from svlearn.inference.samplers import ancestral, beam_search, smc, svdd
from svlearn.inference.tree_search import tree_search
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import Zero


class Reversible(FiniteMarkovChain):
    """The chain with its exact reversal: p(x_s | x_t) ∝ p(x_s) p(x_t | x_s); it notes the times asked for."""

    def reversal(self, earlier, later):
        """p(x_earlier | x_later), (S, S), a row for each x_later."""
        joint = torch.diag(self.marginals()[earlier])
        for matrix in self.matrices[earlier:later]:
            joint = joint @ matrix
        return (joint / joint.sum(dim=0)).T

    def noise(self, x, t_from, t_to, *, generator=None):
        self.depths = [*getattr(self, "depths", []), (int(t_from[0]), int(t_to[0]))]
        return torch.multinomial(self.reversal(int(t_to[0]), int(t_from[0]))[x[:, 0]], 1, generator=generator)


BASE = FiniteMarkovChain.random(5, 5, seed=1)
CHAIN = Reversible(BASE.initial_probs, BASE.matrices, BASE.reward.table)
ALPHA, GROUPS = 0.6, 20_000
TARGET, OPTIMAL, PLAIN = CHAIN.target(ALPHA), CHAIN.optimal(ALPHA), CHAIN.marginals()[-1]
LAW = OPTIMAL.marginals()[-1]
EXACT = CHAIN.soft_value(ALPHA)
WRONG = TableValue(ALPHA * torch.randn(5, 5, generator=torch.Generator().manual_seed(2)).double())
START = ancestral(CHAIN, TARGET)
# draws from p*(. | x_t) exactly: the proposal is the optimal step
PERFECT = smc(CHAIN, TARGET, EXACT, 2, 1.0, proposal=Exact(EXACT))


def chi_square(samples, law):
    """Pearson's, of one state a group drawn by its weights, in standard deviations off its degrees of freedom."""
    states = samples.draw(generator=seeded("cpu", 99))[:, 0]
    counts, expected = torch.bincount(states, minlength=5), len(states) * law
    assert expected.min() > 10
    return (((counts - expected) ** 2 / expected).sum() - 4) / math.sqrt(8)


def total_variation(law):
    return 0.5 * (law - LAW).abs().sum()


def kernel(depth):
    """The law of x_T' given x_T when x_T is noised by `depth` steps and goes on by p*, (S, S)."""
    step = CHAIN.reversal(5 - depth, 5)
    for matrix in OPTIMAL.matrices[5 - depth :]:
        step = step @ matrix
    return step


@pytest.mark.parametrize("depth", [1, 3])
def test_with_a_perfect_sampler_every_round_has_its_enumerated_law(depth):
    law, distances = PLAIN, [total_variation(PLAIN)]
    for rounds in (1, 2, 3):
        law = law @ kernel(depth)
        distances.append(total_variation(law))
        samples = refine(PERFECT, rounds, depth, start=START).sample(GROUPS, generator=seeded("cpu", depth, rounds))
        assert chi_square(samples, law) < 4
        assert torch.allclose(samples.log_weights.exp(), torch.tensor(0.5).double())
    assert distances[0] > 0.5 and all(after < 0.85 * before for before, after in pairwise(distances))
    torch.testing.assert_close(LAW @ kernel(depth), LAW)


@pytest.mark.parametrize(("value", "size"), [("wrong", 2), ("wrong", 5), ("exact", 2), ("zero", 2)])
def test_particle_gibbs_leaves_the_target_as_it_is(value, size):
    v = {"wrong": WRONG, "exact": EXACT, "zero": Zero()}[value]
    drawn = torch.multinomial(LAW, GROUPS, replacement=True, generator=seeded("cpu", 5))[:, None]
    refinement = refine(smc(CHAIN, TARGET, v, size, 1.0), 3, 2, "particle_gibbs")
    samples = refinement.improve(drawn, generator=seeded("cpu", 6))
    assert abs(chi_square(samples, LAW)) < 4
    assert (samples.draw(generator=seeded("cpu", 99)) != drawn).double().mean() > 0.03


def test_replacing_by_few_particles_of_a_wrong_value_does_not():
    drawn = torch.multinomial(LAW, GROUPS, replacement=True, generator=seeded("cpu", 5))[:, None]
    samples = refine(smc(CHAIN, TARGET, WRONG, 2, 1.0), 3, 2).improve(drawn, generator=seeded("cpu", 6))
    assert chi_square(samples, LAW) > 20


@pytest.mark.parametrize(
    ("keep", "all_rounds", "left"), [("replace", (1, 2, 4), 0.2), ("particle_gibbs", (1, 2, 4, 8), 0.03)]
)
def test_the_law_moves_towards_the_target_by_round(keep, all_rounds, left):
    """From p_ref; every inequality has about five standard errors of its distances (0.008 at most) to spare.

    "replace" stops at about 0.136, for eight particles are no infinite number: after four rounds it is at 0.149.
    """
    sampler, distances = smc(CHAIN, TARGET, Zero(), 8), [total_variation(PLAIN)]
    for rounds in all_rounds:
        samples = refine(sampler, rounds, 2, keep, start=START).sample(4000, generator=seeded("cpu", rounds))
        weights = samples.log_weights.exp().flatten() / 4000
        distances.append(total_variation(torch.zeros(5).double().index_add(0, samples.states.flatten(), weights)))
    assert all(after < 0.9 * before for before, after in pairwise(distances))
    assert distances[-1] < left


@pytest.mark.parametrize(("depth", "steps"), [(1, 1), (5, 5), (1.0, 5), (0.4, 2), (0.01, 1)])
def test_depth_is_in_steps_or_a_share(depth, steps):
    for keep, depths in (
        ("replace", [(5, 5 - steps)] * 2),
        ("particle_gibbs", [(t, t - 1) for t in range(5, 5 - steps, -1)] * 2),
    ):
        CHAIN.depths = []
        samples = refine(smc(CHAIN, TARGET, Zero(), 2), 2, depth, keep).sample(3, generator=seeded("cpu", 0))
        assert CHAIN.depths == depths
        assert samples.history.start == 5 - steps and samples.history.ess.shape == (3, steps + 1)


def test_the_retained_trajectory_is_the_noised_old_sample():
    refinement = refine(smc(CHAIN, TARGET, Zero(), 3), 1, 3, "particle_gibbs")
    x = torch.arange(5)[:, None]
    samples = refinement.improve(x, generator=seeded("cpu", 0), keep_states=True)
    paths = samples.paths()
    assert paths.shape == (5, 3, 4, 1) and torch.equal(paths[:, 0, -1], x)
    assert bool((paths[:, :, 0] == paths[:, :1, 0]).all())  # all start at the same x_t


def test_history_cost_and_what_is_returned():
    sampler, rounds, depth = smc(CHAIN, TARGET, WRONG, 4), 3, 2
    samples = refine(sampler, rounds, depth, start=START).sample(50, generator=seeded("cpu", 1))
    assert samples.states.shape == (50, 4, 1) and samples.log_normalizer is None
    assert samples.history.rewards.shape == (50, rounds + 1)
    last = (samples.log_weights.exp() * samples.rewards).sum(dim=1)
    torch.testing.assert_close(samples.history.rewards[:, -1], last)
    first = START.sample(50, generator=seeded("cpu", 1))
    torch.testing.assert_close(samples.history.rewards[:, 0], first.rewards[:, 0])
    assert samples.cost.reference_calls == 50 * 5 + rounds * 50 * 4 * depth
    assert samples.cost.reward_calls == 50 + rounds * 50 * 4
    improved = refine(sampler, 1, depth).improve(torch.arange(5)[:, None], generator=seeded("cpu", 2))
    torch.testing.assert_close(improved.history.rewards[:, 0], CHAIN.reward.table)
    assert improved.cost.reference_calls == 5 * 4 * depth and improved.cost.reward_calls == 5 + 5 * 4


def test_the_mean_reward_of_groups_that_died():
    chain = Reversible(BASE.initial_probs, BASE.matrices, torch.tensor([-math.inf, 0.0, 1.0, 0.5, 0.2]))
    sampler = smc(chain, chain.target(1.0), Zero(), 2)
    rewards = refine(sampler, 2, 2, start=ancestral(chain, chain.target(1.0))).sample(500).history.rewards
    assert not rewards.isnan().any()
    dead = (rewards == -math.inf).double().mean(dim=0)
    assert dead[0] > 0.1 and dead[2] < dead[0]


@pytest.mark.parametrize("keep", ["replace", "particle_gibbs"])
def test_max_batch_changes_no_sample(keep):
    refinement = refine(smc(CHAIN, TARGET, WRONG, 4, 1.0), 2, 3, keep)
    whole, again = (refinement.sample(6, generator=seeded("cpu", 3), max_batch=limit) for limit in (None, 5))
    assert torch.equal(whole.states, again.states) and torch.equal(whole.log_weights, again.log_weights)


@pytest.mark.parametrize(
    "make",
    [
        lambda: svdd(CHAIN, TARGET, EXACT, 4),
        lambda: svdd(CHAIN, CHAIN.target(0.0), CHAIN.mean_value(), 4),
        lambda: beam_search(CHAIN, TARGET, CHAIN.mean_value(), 2, 3),
        lambda: tree_search(CHAIN, TARGET, EXACT, 6),
    ],
)
def test_any_sampler_may_refine(make):
    samples = refine(make(), 4, 0.4, start=START).sample(400, generator=seeded("cpu", 4))
    mean = samples.history.rewards.mean(dim=0)
    assert bool((mean.diff() > 0).all()) and mean[-1] > mean[0] + 0.5


class Pair(Reference):
    """TensorDict states: a walk that is the reversal of its noise, and a tag that never changes, the condition."""

    num_steps = 3

    def initial(self, batch_size, *, condition=None, generator=None):
        tag = torch.zeros(batch_size) if condition is None else condition
        return TensorDict({"x": torch.randn(batch_size, 1, generator=generator), "tag": tag}, batch_size=[batch_size])

    def forward(self, x, t, previous=None):
        return Prediction(Along(0.8 * x["x"], 0.6, x))

    def noise(self, x, t_from, t_to, *, generator=None):
        kept = (0.8 ** (t_from - t_to))[:, None]
        noise = torch.randn(x["x"].shape, generator=generator)
        return x.clone().update({"x": kept * x["x"] + (1 - kept**2).sqrt() * noise})


class Along(GaussianTransition):
    def __init__(self, mean, std, state):
        super().__init__(mean, std)
        self.state = state

    def sample(self, *, generator=None):
        return self.state.clone().update({"x": super().sample(generator=generator)})

    def __getitem__(self, index):
        return Along(self.mean[index], self.std[index], self.state[index])


@pytest.mark.parametrize("keep", ["replace", "particle_gibbs"])
def test_nested_states_keep_their_parts_and_condition(keep):
    pair = Pair()
    target = Target(lambda state: state["x"].squeeze(1), 0.5)
    refinement = refine(smc(pair, target, Zero(), 6), 3, 2, keep, start=ancestral(pair, target))
    tags = torch.arange(300.0)
    samples = refinement.sample(300, condition=tags, generator=seeded("cpu", 5))
    assert samples.states.batch_size == (300, 6)
    assert torch.equal(samples.states["tag"], tags[:, None].expand(-1, 6))
    assert samples.history.rewards[:, -1].mean() > 1.0  # p* is N(2, 1)


def test_it_stands_in_a_comparison():
    table = comparison.compare({"refined": refine(smc(CHAIN, TARGET, Zero(), 4), 2, 2)}, 20).table
    assert table.loc["refined", "reference_calls_per_sample"] == 4 * 5 + 2 * 4 * 2


BAD = {
    "a sampler": (lambda: refine(CHAIN, 2), TypeError, "sampler: expected a Sampler, got Reversible"),
    "no rounds": (lambda: refine(START, 0), ValueError, "num_rounds: expected an integer of at least 1, got 0"),
    "too deep": (
        lambda: refine(START, 1, 6),
        ValueError,
        r"depth: expected 1 to 5 steps or a share in \(0, 1\], got 6",
    ),
    "a share": (lambda: refine(START, 1, 1.5), ValueError, "depth: expected 1 to 5 steps"),
    "no depth": (lambda: refine(START, 1, 0.0), ValueError, "depth: expected 1 to 5 steps"),
    "a way to keep": (lambda: refine(START, 1, 1, "best"), ValueError, "keep: expected one of replace, particle_gibbs"),
    "no noise": (
        lambda: refine(ancestral(BASE, TARGET), 1),
        TypeError,
        r"a forward process, got FiniteMarkovChain without noise\(\)",
    ),
    "no target": (lambda: refine(ancestral(CHAIN), 1), ValueError, "sampler: expected one with a target, got None"),
    "gibbs alone": (
        lambda: refine(svdd(CHAIN, TARGET, Zero(), 4), 1, 1, "particle_gibbs"),
        ValueError,
        "particle_gibbs needs groups of at least 2 particles, got 1; use smc",
    ),
    "gibbs by a beam": (
        lambda: refine(beam_search(CHAIN, TARGET, Zero(), 2, 2), 1, 1, "particle_gibbs"),
        ValueError,
        "Beam cannot retain a given trajectory",
    ),
    "to resume": (
        lambda: refine(START, 1).resume(torch.zeros(2, 1).long(), 1),
        ValueError,
        "refine: it goes on from finished samples",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    call, error, words = BAD[case]
    with pytest.raises(error, match=words):
        call()
