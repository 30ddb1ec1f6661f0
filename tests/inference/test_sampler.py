"""The loop: who is called how often, that cutting changes nothing, and what is refused."""

import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from svlearn.inference.proposals import Policy
from svlearn.inference.samplers import ancestral, best_of_n, smc, svdd
from svlearn.process import Prediction, Reference
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import Learned, MonteCarlo, PosteriorMean, Zero


class Walk(Reference):
    """A Gaussian random walk that counts the states that it is called with."""

    def __init__(self, num_steps=4, drift=0.0):
        super().__init__()
        self.num_steps, self.drift, self.calls = num_steps, drift, 0

    def initial(self, batch_size, *, condition=None, generator=None):
        x = torch.randn(batch_size, 2, generator=generator)
        return x if condition is None else x + condition

    def forward(self, x, t, previous=None):
        assert t.shape == (len(x),) and t.dtype == torch.long
        self.calls += len(x)
        return Prediction(GaussianTransition(x + self.drift, 0.5), clean=x)


class Norm(nn.Module):
    def forward(self, x, t):
        return x.norm(dim=1)


def reward(x):
    return -x.norm(dim=1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


B, M, T = 6, 5, 4


def test_svdd_with_a_posterior_mean_calls_the_reference_once_per_candidate():
    walk, target = Walk(), Target(reward, 0.5)
    samples = svdd(walk, target, PosteriorMean(target), M).sample(B)
    assert walk.calls == samples.cost.reference_calls == B * M * T <= B * (M * T + 1)
    assert samples.cost.value_calls == B * M * T
    assert samples.cost.reward_calls == B * M * (T + 1)


def test_svdd_with_a_learned_value_calls_the_reference_once_per_kept_state():
    walk = Walk()
    samples = svdd(walk, Target(reward, 0.0), Learned(Norm()), M).sample(B)
    assert walk.calls == samples.cost.reference_calls == B * T <= B * (T + 1)
    assert samples.cost.value_calls == B * M * T
    assert samples.cost.reward_calls == B * M


def test_calls_of_the_other_samplers():
    walk, target = Walk(), Target(reward, 0.5)
    assert ancestral(walk).sample(B).cost.reference_calls == B * T
    assert best_of_n(walk, target, 3).sample(B).cost.reference_calls == 3 * B * T
    cost = smc(walk, target, PosteriorMean(target), 7).sample(B).cost
    assert (cost.reference_calls, cost.reward_calls) == (7 * B * T, 7 * B * (T + 1))
    cost = svdd(walk, target, Learned(Norm()), M, proposal=Policy(Walk(drift=0.1))).sample(B).cost
    assert (cost.reference_calls, cost.policy_calls) == (B * T, B * T)


def test_the_reference_calls_inside_a_monte_carlo_value_are_counted():
    walk, target = Walk(), Target(reward, 0.5)
    samples = svdd(walk, target, MonteCarlo(walk, target, num_rollouts=3), 2).sample(B)
    assert walk.calls == samples.cost.reference_calls == B * T + B * 2 * 3 * (4 + 3 + 2 + 1)
    assert samples.cost.reward_calls == B * 2 * (3 * T + 1)


def test_num_candidates_may_differ_by_step_the_start_included():
    walk, target = Walk(), Target(reward, 0.5)
    samples = svdd(walk, target, PosteriorMean(target), [3, 1, 1, 1, 4]).sample(B)
    assert samples.cost.reference_calls == B * (3 + 1 + 1 + 1)
    assert samples.cost.reward_calls == B * (3 + 1 + 1 + 1 + 4)


@pytest.mark.parametrize("max_batch", [1, 7, 1000])
@pytest.mark.parametrize("kind", ["svdd", "smc", "monte carlo", "best of n", "policy"])
def test_max_batch_changes_no_sample(kind, max_batch):
    walk, target = Walk(), Target(reward, 0.5)
    sampler = {
        "svdd": svdd(walk, target, PosteriorMean(target), M),
        "smc": smc(walk, target, Learned(Norm()), M),
        "monte carlo": svdd(walk, target, MonteCarlo(walk, target, 2), 2),
        "best of n": best_of_n(walk, target, M),
        "policy": smc(walk, target, Zero(), M, proposal=Policy(Walk(drift=0.2))),
    }[kind]
    whole = sampler.sample(B, generator=generator())
    largest = []
    handle = walk.register_forward_pre_hook(lambda module, inputs: largest.append(len(inputs[0])))
    cut = sampler.sample(B, generator=generator(), max_batch=max_batch)
    handle.remove()
    assert torch.equal(cut.states, whole.states)
    assert torch.equal(cut.log_weights, whole.log_weights)
    assert max(largest) <= max_batch
    assert cut.cost.reference_calls == whole.cost.reference_calls


def test_the_same_generator_gives_the_same_bits_and_another_one_does_not():
    sampler = smc(Walk(), Target(reward, 0.5), Zero(), 4)
    first, again, other = (sampler.sample(B, generator=generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.states, again.states) and not torch.equal(first.states, other.states)


def test_shapes_and_rewards_of_samples():
    walk, target = Walk(), Target(reward, 0.5)
    samples = smc(walk, target, Zero(), 3).sample(B, generator=generator())
    assert samples.states.shape == (B, 3, 2)
    torch.testing.assert_close(samples.rewards, reward(samples.states.flatten(0, 1)).view(B, 3))
    torch.testing.assert_close(samples.log_weights.exp().sum(1), torch.ones(B, dtype=torch.float64))
    assert samples.log_normalizer.shape == (B,) and samples.log_normalizer.dtype == torch.float64
    assert samples.history.ess.shape == samples.history.resampled.shape == (B, T + 1)
    drawn, rewards = samples.draw_with_rewards(generator=generator())
    assert drawn.shape == (B, 2)
    torch.testing.assert_close(rewards, reward(drawn))
    plain = ancestral(walk).sample(2)
    assert plain.rewards is None and plain.log_normalizer is None and plain.states.shape == (2, 1, 2)


def test_best_of_n_keeps_the_best_whatever_alpha_is():
    walk = Walk()
    for alpha in (0.0, 5.0):
        best = best_of_n(walk, Target(reward, alpha), 8).sample(B, generator=generator())
        everyone = ancestral(walk, Target(reward, alpha)).sample(B * 8, generator=generator())
        torch.testing.assert_close(best.rewards, everyone.rewards.view(B, 8).amax(1, keepdim=True))


def test_alpha_zero_takes_the_first_of_equal_candidates():
    walk = Walk(num_steps=1)
    greedy = svdd(walk, Target(lambda x: torch.zeros(len(x)), 0.0), Zero(), 3).sample(2, generator=generator())
    g = generator()
    start = walk.initial(6, generator=g)[::3]  # the first of each three
    step = torch.randn(6, 2, generator=g)[::3]
    torch.testing.assert_close(greedy.states[:, 0], start + 0.5 * step)


def test_a_condition_serves_its_whole_group():
    condition = torch.tensor([[0.0, 0.0], [1000.0, 1000.0]])
    samples = smc(Walk(), Target(reward, 0.5), Zero(), 3).sample(2, condition=condition, generator=generator())
    assert (samples.states[0].abs() < 50).all() and (samples.states[1] > 900).all()
    with pytest.raises(ValueError, match="condition: expected 3 rows"):
        ancestral(Walk()).sample(3, condition=condition)


def test_the_pieces_of_a_tensordict_state_stay_together():
    class Pair(Reference):
        num_steps = 2

        def initial(self, batch_size, *, condition=None, generator=None):
            start = torch.randn(batch_size, 1, generator=generator)
            return TensorDict({"x": start, "start": start.clone()}, batch_size=[batch_size])

        def forward(self, x, t, previous=None):
            return Prediction(Step(x))

    class Step(GaussianTransition):
        def __init__(self, state):
            self.state = state

        def sample(self, *, generator=None):
            noise = torch.randn(self.state["x"].shape, generator=generator)
            return self.state.clone().update({"x": self.state["x"] + noise})

        def __getitem__(self, index):
            return Step(self.state[index])

    target = Target(lambda state: state["start"].squeeze(1), 0.2)
    samples = smc(Pair(), target, Learned(StartOnly()), 5, ess_threshold=1.0).sample(B, generator=generator())
    assert samples.states.batch_size == (B, 5)
    torch.testing.assert_close(samples.states["start"].squeeze(-1), samples.rewards)
    assert samples.draw(generator=generator()).batch_size == (B,)


class StartOnly(nn.Module):
    def forward(self, x, t):
        return x["start"].squeeze(1)


def test_a_reference_with_a_cache_is_given_the_one_of_the_state_that_it_comes_from():
    class Remembering(Reference):
        """Its cache is the sum of all states so far, which a wrong ancestor would spoil."""

        num_steps = 4

        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.zeros(batch_size, 2)  # x = (position, sum of the positions before it)

        def forward(self, x, t, previous=None):
            total = x[:, 0] if previous is None else previous.cache + x[:, 0]
            if previous is not None:
                torch.testing.assert_close(total, x[:, 0] + x[:, 1])
            mean = torch.stack([x[:, 0], total], dim=1)
            return Prediction(GaussianTransition(mean, torch.tensor([1.0, 0.0])), clean=x, cache=total)

    target = Target(lambda x: x[:, 0], 0.5)
    for value in (PosteriorMean(target), Zero()):
        svdd(Remembering(), target, value, 3).sample(B, generator=generator())
        smc(Remembering(), target, value, 4, ess_threshold=1.0).sample(B, generator=generator(), max_batch=5)


BAD = {
    "an empty batch": (
        lambda w, t: ancestral(w).sample(0),
        ValueError,
        "batch_size: expected an integer of at least 1",
    ),
    "no candidates": (lambda w, t: svdd(w, t, Zero(), 0), ValueError, "num_candidates: expected an integer"),
    "a short schedule": (lambda w, t: svdd(w, t, Zero(), [2, 2]), ValueError, "expected 5 numbers, one per step"),
    "no particles": (lambda w, t: smc(w, t, Zero(), 0), ValueError, "num_particles: expected an integer"),
    "n of zero": (lambda w, t: best_of_n(w, t, 0), ValueError, "n: expected an integer of at least 1"),
    "a threshold": (lambda w, t: smc(w, t, Zero(), 2, ess_threshold=1.5), ValueError, r"in \[0, 1\], got 1.5"),
    "a NaN threshold": (lambda w, t: smc(w, t, Zero(), 2, ess_threshold=math.nan), ValueError, "ess_threshold"),
    "a scheme": (lambda w, t: smc(w, t, Zero(), 2, resampling="best"), ValueError, "resampling: expected one of"),
    "smc at alpha 0": (lambda w, t: smc(w, Target(reward, 0.0), Zero(), 2), ValueError, "alpha: smc needs alpha > 0"),
    "an estimand": (lambda w, t: MonteCarlo(w, t, 2, "median"), ValueError, "estimand: expected one of mean, soft"),
    "soft at alpha 0": (lambda w, t: MonteCarlo(w, Target(reward, 0), 2), ValueError, "soft value needs alpha > 0"),
    "no rollouts": (lambda w, t: MonteCarlo(w, t, 0), ValueError, "num_rollouts"),
    "a reference": (lambda w, t: ancestral(reward), TypeError, "reference: expected a Reference"),
    "a target": (lambda w, t: svdd(w, reward, Zero()), TypeError, "target: expected a Target"),
    "a value": (lambda w, t: svdd(w, t, reward), TypeError, "value: expected a Value"),
    "a proposal": (lambda w, t: svdd(w, t, Zero(), proposal=w), TypeError, "proposal: expected a Proposal"),
    "a policy": (lambda w, t: Policy(reward), TypeError, "policy: expected a Reference"),
    "a network": (lambda w, t: Learned(reward), TypeError, "network: expected a torch.nn.Module"),
    "max_batch": (lambda w, t: ancestral(w).sample(2, max_batch=0), ValueError, "max_batch"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    call, error, words = BAD[case]
    with pytest.raises(error, match=words):
        call(Walk(), Target(reward, 0.5))


def test_a_value_that_is_not_finite_or_of_a_wrong_shape_is_refused_with_step_and_index():
    class Bad(nn.Module):
        def __init__(self, at, to):
            super().__init__()
            self.at, self.to = at, to

        def forward(self, x, t):
            values = torch.zeros(len(x))
            values[4] = self.to if int(t[0]) == self.at else 0.0
            return values

    target = Target(reward, 0.5)
    for to in (math.nan, -math.inf):
        with pytest.raises(ValueError, match=f"Learned: expected a finite number at step 2, got {to} at index 4"):
            svdd(Walk(), target, Learned(Bad(2, to)), M).sample(B)
    with pytest.raises(ValueError, match=r"Learned: expected shape \(30,\), .* at step 0, got \(30, 1\)"):
        svdd(Walk(), target, Learned(Wide()), M).sample(B)


class Wide(nn.Module):
    def forward(self, x, t):
        return x[:, :1]


def test_a_posterior_mean_needs_a_clean_prediction():
    class Blind(Walk):
        def forward(self, x, t, previous=None):
            return Prediction(GaussianTransition(x, 0.5))

    target = Target(reward, 0.5)
    with pytest.raises(ValueError, match=r"prediction.clean: PosteriorMean needs"):
        svdd(Blind(), target, PosteriorMean(target)).sample(2)


def test_a_forward_that_returns_no_prediction_is_refused():
    class Wrong(Walk):
        def forward(self, x, t, previous=None):
            return GaussianTransition(x, 0.5)

    with pytest.raises(TypeError, match="Wrong.forward: expected a Prediction, got GaussianTransition"):
        ancestral(Wrong()).sample(2)
