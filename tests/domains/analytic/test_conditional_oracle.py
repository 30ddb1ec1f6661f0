"""The oracle under conditions: each condition has the start, the steps, the values and the Z of its own oracle."""

import pytest
import torch
from condition_toys import ALPHA, gaussian_by_class, markov_by_class

from svlearn.domains.analytic import ConditionalOracle, FiniteMarkovChain
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.testing import check

ORACLES = {"gaussian": gaussian_by_class, "markov": markov_by_class}
CLASSES = torch.arange(6000) % 3


@pytest.mark.parametrize("name", ORACLES)
def test_monte_carlo_agrees_with_log_z_and_the_mean_value_of_each_condition(name):
    oracle = ORACLES[name]()
    drawn = roll_out(oracle, 6000, target=oracle.target(ALPHA), condition=CLASSES, generator=seeded("cpu", 0))
    assert bool((drawn["states"]["condition"] == CLASSES[:, None]).all())  # no step changes it
    means = oracle.mean_value()(drawn["states"][:, 0], torch.zeros(6000).long())
    for c in range(3):
        weights = (drawn["rewards"][c == CLASSES] / ALPHA).exp()
        ratio = weights / oracle.log_normalizers(ALPHA)[c].exp()
        error = ratio.std() / len(ratio) ** 0.5
        assert error < 0.1 and abs(ratio.mean() - 1) < 4 * error
        off = (drawn["rewards"] - means)[c == CLASSES]
        assert abs(off.mean()) < 4 * off.std() / len(off) ** 0.5
    assert (oracle.log_normalizers(ALPHA)[:, None] - oracle.log_normalizers(ALPHA)).abs().max() > 0.5


@pytest.mark.parametrize("name", ORACLES)
def test_the_bellman_equation_holds_under_each_condition(name):
    oracle = ORACLES[name]()
    value, t = oracle.soft_value(ALPHA), 2
    x = roll_out(oracle, 3, condition=torch.arange(3), generator=seeded("cpu", 1))["states"][:, t]
    law = oracle(x, torch.full((3,), t)).transition
    following = law.sample_each(torch.arange(3).repeat_interleave(20_000), generator=seeded("cpu", 2))
    ahead = value(following, torch.full((60_000,), t + 1)).view(3, -1)
    ratio = ((ahead - value(x, torch.full((3,), t))[:, None]) / ALPHA).exp()
    error = ratio.std(dim=1) / 20_000**0.5
    assert ((ratio.mean(dim=1) - 1).abs() < 4 * error).all() and error.max() < 0.05


def test_draws_of_p_star_have_its_marginal_of_each_condition():
    oracle = markov_by_class()
    paths = oracle.optimal_trajectories(CLASSES, ALPHA, generator=seeded("cpu", 0))
    for c in range(3):
        counts = torch.bincount(paths[c == CLASSES, -1]["x"][:, 0], minlength=4)
        expected = 2000 * oracle.oracles[c].optimal(ALPHA).marginals()[-1]
        assert (((counts - expected) ** 2 / expected).sum() - 3) / 6**0.5 < 4


def test_a_dry_run_and_what_is_refused():
    oracle = gaussian_by_class()
    check(oracle, oracle.target(ALPHA), oracle.soft_value(ALPHA), condition=torch.tensor([0, 2]))
    with pytest.raises(ValueError, match=r"condition: expected 4 numbers 0 ... 2, got None"):
        oracle.initial(4)
    with pytest.raises(TypeError, match=r"oracles\[1\]: expected an Oracle, got int"):
        ConditionalOracle([oracle.oracles[0], 3])
    with pytest.raises(ValueError, match=r"oracles: expected some of one number of steps, got \[4, 5\]"):
        ConditionalOracle([oracle.oracles[0], FiniteMarkovChain.random(3, 5, seed=0)])
