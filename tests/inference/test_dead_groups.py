"""Groups that die: one counts as Z_hat = 0, and only where all of them do is it an error, which says when and why."""

import math

import pytest
import torch
from inference_toys import assert_unbiased, make_policy, make_value

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.inference.proposals import Policy
from svlearn.inference.samplers import smc, svdd
from svlearn.values import Zero

INF = math.inf
each_value = pytest.mark.parametrize("value", ["exact", "zero", "wrong"])
each_threshold = pytest.mark.parametrize("threshold", [0.0, 0.6, 1.0])

CONSTRAINED = FiniteMarkovChain.random(5, 5, seed=2, zeros=0.6).with_rewards(
    torch.tensor([-INF, -INF, 0.3, -INF, -0.5])
)


@each_value
@each_threshold
@pytest.mark.parametrize("guided", [False, True], ids=["reference", "policy"])
def test_dead_groups_count_as_zero(value, threshold, guided):
    """Forbidden ends, and with the policy forbidden moves on the way.

    By half a nat off, and not one: Z_hat / Z of svdd then has a deviation of 2.8 at most, its standard error is half of
    what `assert_unbiased` allows, and no single group decides.
    """
    proposal = Policy(make_policy(CONSTRAINED)) if guided else None
    v = make_value(value, CONSTRAINED, 1.0, off=0.5)
    for sampler in (
        smc(CONSTRAINED, CONSTRAINED.target(1.0), v, 3, threshold, proposal=proposal),
        svdd(CONSTRAINED, CONSTRAINED.target(1.0), v, 2, proposal),
    ):
        samples = sampler.sample(12_000, generator=torch.Generator().manual_seed(12))
        dead = samples.log_normalizer == -INF
        assert 0 < dead.sum() < len(dead)
        assert torch.equal(dead, (samples.log_weights == -INF).all(1))
        assert_unbiased(samples, CONSTRAINED.log_normalizer(1.0))
        assert (samples.rewards[samples.log_weights > -INF] > -INF).all()


def sampled(make, chain, proposal=None):
    sampler = make(chain, chain.target(1.0), Zero(), 4, proposal=proposal)
    return sampler.sample(20, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", [smc, svdd])
def test_only_when_every_group_is_dead_is_it_an_error(make):
    hopeless = CONSTRAINED.with_rewards(torch.full((5,), -INF))
    advice = "use more particles, a value that looks ahead, or a larger alpha"
    with pytest.raises(ValueError, match=f"every group died, the last at t = 5 of 5: .*{advice}"):
        sampled(make, hopeless)


@pytest.mark.parametrize("make", [smc, svdd])
@pytest.mark.parametrize("moved", [0, 1, 2])
def test_it_says_at_which_time_the_last_group_died(make, moved):
    """The reference stays where it is; so does the policy, but for the step from t = moved, which is impossible."""
    stay = torch.eye(2).double().expand(3, 2, 2)
    steps = stay.clone()
    steps[moved] = stay[moved].flip(0)
    chain, policy = (FiniteMarkovChain([0.5, 0.5], matrices, [0.0, 1.0]) for matrices in (stay, steps))
    with pytest.raises(ValueError, match=f"the last at t = {moved + 1} of 3"):
        sampled(make, chain, Policy(policy))
    halves = steps.clone()
    halves[moved] = 0.5
    samples = sampled(make, chain, Policy(FiniteMarkovChain([0.5, 0.5], halves, [0.0, 1.0])))
    assert (samples.log_normalizer > -INF).any()
