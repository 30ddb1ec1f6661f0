"""The linearised posterior mean: exact where all is Gaussian, T calls of the reference, right weights elsewhere."""

import math

import pytest
import torch
from tensordict import TensorDict

import svlearn as sv
from svlearn.domains.analytic import (
    FiniteMarkovChain,
    GaussianMixture,
    GaussianMixtureDDPM,
    GaussianMixtureDiffusion,
    GaussianReference,
    LinearGaussianChain,
    QuadraticReward,
    cosine_schedule,
)
from svlearn.domains.analytic.conditional import ConditionalOracle
from svlearn.metering import metered
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.schedules import NoiseLevels
from svlearn.transitions import GaussianTransition
from svlearn.values import (
    AtSteps,
    Learned,
    LinearizedPosteriorMean,
    LowerBound,
    PosteriorMean,
    Residual,
    Switch,
    evaluate,
    load_value,
    save_value,
)
from svlearn.values.along_trajectories import along_trajectories
from svlearn.values.children import asks_parents, evaluate_children
from svlearn.values.selection_gain import selection_gain

STD, STEPS, M = 1.5, 6, 4
REWARD = QuadraticReward(0.2 * torch.eye(2), [0.6, -0.3])
CHAIN = GaussianReference.ornstein_uhlenbeck(2, STEPS, STD, correlation=0.1)
TARGET = sv.Target(REWARD, 0.3)


def diagonal_chain(seed=3):
    """A linear-Gaussian chain whose coordinates are independent, each with a sensitivity of its own."""
    generator = seeded("cpu", seed)
    scales, offsets = torch.rand(2, 5, 2, generator=generator, dtype=torch.float64)
    matrices = torch.diag_embed(0.5 + scales)
    return LinearGaussianChain([0.3, -0.2], torch.eye(2), matrices, offsets, [0.3, 0.5, 0.4, 0.6, 0.3], REWARD)


CHAIN_OF_TWO = diagonal_chain()


def value_of_chain(target=TARGET):
    return LinearizedPosteriorMean.of_levels(target, CHAIN.noise_levels(), STD)


def children(reference, t, number=5):
    """x_t of a step from x_{t-1}, and what was predicted for the latter."""
    x = roll_out(reference, number, generator=seeded("cpu", 1))["states"][:, t - 1]
    parents = predict(reference, x, t - 1)
    return parents.transition.sample(generator=seeded("cpu", 2)), parents


@pytest.mark.parametrize("t", range(1, STEPS))
def test_it_is_the_posterior_mean_of_an_isotropic_gaussian(t):
    x, parents = children(CHAIN, t)
    exact = evaluate(PosteriorMean(TARGET), x, t, predict(CHAIN, x, t))
    torch.testing.assert_close(evaluate_children(value_of_chain(), x, t, parents), exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("t", range(1, 5))
def test_it_is_the_posterior_mean_where_each_coordinate_has_its_own_sensitivity(t):
    chain = diagonal_chain()
    value = LinearizedPosteriorMean(TARGET, chain.clean_matrices[:5].diagonal(dim1=1, dim2=2))
    x, parents = children(chain, t)
    exact = evaluate(PosteriorMean(TARGET), x, t, predict(chain, x, t))
    torch.testing.assert_close(evaluate_children(value, x, t, parents), exact, rtol=1e-10, atol=1e-12)


def test_three_trajectories_measure_the_exact_sensitivity():
    states = roll_out(CHAIN, 3, generator=seeded("cpu", 1))["states"]
    with metered() as meter:
        found = LinearizedPosteriorMean.measured(TARGET, CHAIN, states).sensitivity
    assert meter.calls["reference_calls"] == 3 * STEPS
    torch.testing.assert_close(found[1:], value_of_chain().sensitivity[1:], rtol=1e-9, atol=0)


def test_a_step_without_noise_has_no_sensitivity_however_its_states_are_rounded():
    """Drawn in another batch, x_2 is its mean but for the last bits, which are no noise to follow."""

    class Still(Reference):
        num_steps = 3

        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)

        def forward(self, x, t, previous=None):
            return Prediction(GaussianTransition(0.5 * x, torch.where(t == 1, 0.0, 1.0)[:, None].double()), clean=3 * x)

    states = roll_out(Still(), 4, generator=seeded("cpu", 1))["states"]
    states[:, 2] += 1e-9
    found = LinearizedPosteriorMean.measured(TARGET, Still(), states).sensitivity
    assert found[2] == 0 and found[1] != 0


def test_along_trajectories_it_says_what_a_sampler_is_told():
    """From t = 1 on that of the parents moved by a wrong J, here twice the right one; at t = 0 the posterior mean."""
    wrong = LinearizedPosteriorMean(TARGET, 2 * value_of_chain().sensitivity)
    data = roll_out(CHAIN, 5, target=TARGET, generator=seeded("cpu", 1))
    with metered() as meter:
        said = dict(along_trajectories([wrong, PosteriorMean(TARGET)], CHAIN, data))
    assert meter.calls["reference_calls"] == 5 * STEPS
    torch.testing.assert_close(*said[0])
    for t in range(1, STEPS):
        parents = predict(CHAIN, data["states"][:, t - 1], t - 1)
        noise = data["states"][:, t] - parents.transition.mean
        expected = TARGET(parents.clean + wrong.sensitivity[t] * noise)
        torch.testing.assert_close(said[t][0], expected.double())
        assert (said[t][0] - said[t][1]).abs().max() > 1e-3


def test_they_do_for_each_coordinate():
    chain = diagonal_chain()
    states = roll_out(chain, 3, generator=seeded("cpu", 1))["states"]
    found = LinearizedPosteriorMean.measured(TARGET, chain, states, per="coordinate").sensitivity
    exact = chain.clean_matrices[1:5].diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(found[1:], exact, rtol=1e-9, atol=0)


def test_the_sensitivity_of_levels_by_hand():
    levels = NoiseLevels([0.5, 0.8, 1.0], [1.0, 0.5, 0.0])
    at_two = LinearizedPosteriorMean.of_levels(TARGET, levels, 2.0).sensitivity
    torch.testing.assert_close(at_two, torch.tensor([0.5 * 4 / (0.25 * 4 + 1), 0.8 * 4 / (0.64 * 4 + 0.25)]).double())
    still = LinearizedPosteriorMean.of_levels(TARGET, levels, math.inf).sensitivity
    torch.testing.assert_close(still, torch.tensor([2.0, 1.25]).double())


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_svdd_draws_what_the_posterior_mean_draws_at_fewer_calls(alpha):
    target = sv.Target(REWARD, alpha)
    linear = sv.svdd(CHAIN, target, value_of_chain(target), M).sample(8, generator=seeded("cpu", 3))
    exact = sv.svdd(CHAIN, target, PosteriorMean(target), M).sample(8, generator=seeded("cpu", 3))
    torch.testing.assert_close(linear.states, exact.states)
    assert linear.cost.reference_calls == 8 * (STEPS + M - 1)
    assert exact.cost.reference_calls == 8 * STEPS * M
    assert linear.cost.value_calls == exact.cost.value_calls
    assert linear.cost.reward_calls == exact.cost.reward_calls == 8 * M * (STEPS + 1)


@pytest.mark.parametrize("max_batch", [1, 3, 100])
def test_it_does_not_depend_on_the_cut(max_batch):
    sampler = sv.svdd(CHAIN, TARGET, value_of_chain(), M)
    whole = sampler.sample(5, generator=seeded("cpu", 3))
    cut = sampler.sample(5, generator=seeded("cpu", 3), max_batch=max_batch)
    torch.testing.assert_close(cut.states, whole.states)
    assert cut.cost.reference_calls == whole.cost.reference_calls


@pytest.mark.parametrize("make", [sv.svdd, sv.smc])
def test_weights_are_right_whatever_the_sensitivity(make):
    """E[exp(log_normalizer)] = Z, within 4 standard errors, by a sensitivity that is wrong at every step."""
    target = CHAIN_OF_TWO.target(0.7)
    value = LinearizedPosteriorMean(target, [0.0, 1.0, -0.3, 0.5, 1.2])
    found = make(CHAIN_OF_TWO, target, value, M).sample(20_000, generator=seeded("cpu", 5)).log_normalizer.exp()
    error = found.std() / len(found) ** 0.5
    assert abs(found.mean() - CHAIN_OF_TWO.log_normalizer(0.7).exp()) < 4 * error
    assert error < 0.03 * found.mean()


MIXTURE = GaussianMixtureDDPM(
    GaussianMixtureDiffusion(
        GaussianMixture(torch.ones(2), [[-1.0, 0.5], [2.0, 0.0]], 0.4), cosine_schedule(10), REWARD
    )
)


def test_it_tells_siblings_apart_on_a_mixture():
    """Where it is an approximation: within groups of siblings it correlates with r(x̂_T), and is not that."""
    states, t, number = roll_out(MIXTURE, 200, generator=seeded("cpu", 7))["states"], 7, 8
    value = LinearizedPosteriorMean.measured(TARGET, MIXTURE, states)
    parents = predict(MIXTURE, states[:, t - 1], t - 1)
    rows = torch.arange(200).repeat_interleave(number)
    x = parents.transition.sample_each(rows, generator=seeded("cpu", 8))
    guess = evaluate_children(value, x, t, parents, rows).view(200, number)
    truth = evaluate(PosteriorMean(TARGET), x, t, predict(MIXTURE, x, t)).view(200, number)
    within = [each - each.mean(dim=1, keepdim=True) for each in (guess, truth)]
    assert torch.corrcoef(torch.stack([each.flatten() for each in within]))[0, 1] > 0.8
    assert (guess - truth).abs().mean() > 0.01


class Slope(torch.nn.Module):
    def forward(self, x, t):
        return 0.1 * x[:, 0] * t


def wrapped():
    linear, learned = value_of_chain(), Learned(Slope())
    return {
        "switch": (Switch(learned, linear, 3), {3, 4, 5}, STEPS),
        "at steps": (AtSteps(linear, [2, 4]), {2, 4}, STEPS),
        "residual": (Residual(linear, learned), {1, 2, 3, 4, 5}, STEPS + M - 1),
        "lower bound": (LowerBound([linear, learned]), {1, 2, 3, 4, 5}, STEPS + M - 1),
        "beside one that reads": (Residual(linear, PosteriorMean(TARGET)), set(), STEPS * M),
    }


@pytest.mark.parametrize("kind", wrapped())
def test_values_of_values_ask_as_it_does(kind):
    value, asking, calls = wrapped()[kind]
    assert {t for t in range(STEPS) if asks_parents(value, t)} == asking
    samples = sv.svdd(CHAIN, TARGET, value, M).sample(3, generator=seeded("cpu", 3))
    assert samples.cost.reference_calls == 3 * calls


def test_a_sum_with_it_is_the_sum_with_the_posterior_mean():
    learned = Learned(Slope())
    drawn = [
        sv.svdd(CHAIN, TARGET, Residual(base, learned), M).sample(5, generator=seeded("cpu", 3)).states
        for base in (value_of_chain(), PosteriorMean(TARGET))
    ]
    torch.testing.assert_close(*drawn)


def test_leaves_of_a_state():
    """Of states with a condition: the same numbers as of the chain alone."""
    chain = diagonal_chain()
    both = ConditionalOracle([chain, chain])
    target = sv.Target(both.reward, 0.3)
    states = roll_out(both, 4, condition=[0, 1, 0, 1], generator=seeded("cpu", 1))["states"]
    value = LinearizedPosteriorMean.measured(target, both, states, per="coordinate")
    x, t = states[:, 3], 3
    assert isinstance(x, TensorDict)
    found = evaluate_children(value, x, t, predict(both, states[:, 2], 2))
    exact = evaluate(PosteriorMean(target), x, t, predict(both, x, t))
    torch.testing.assert_close(found, exact)


def test_a_trajectory_that_is_retained_and_states_to_go_on_from():
    states = roll_out(CHAIN, 3, generator=seeded("cpu", 1))["states"]
    drawn = []
    for value in (value_of_chain(), PosteriorMean(TARGET)):
        sampler = sv.smc(CHAIN, TARGET, value, M)
        kept = sampler.sample_conditionally(states, generator=seeded("cpu", 2))
        on = sampler.resume(states[:, 2], 2, generator=seeded("cpu", 2))
        moved = sv.svdd(CHAIN, TARGET, value, M).move(
            states[:, 2], 2, predict(CHAIN, states[:, 2], 2), generator=seeded("cpu", 2)
        )
        drawn.append((kept.states, on.states, *moved))
    torch.testing.assert_close(*drawn)


def test_the_gain_of_its_choices_is_that_of_the_posterior_mean():
    data = roll_out(CHAIN, 50, target=TARGET, generator=seeded("cpu", 1))
    with metered() as meter:
        own = selection_gain([value_of_chain()], CHAIN, data, steps=[2, 4], generator=seeded("cpu", 2))
    assert meter.calls["reference_calls"] == 50 * 2
    exact = selection_gain([PosteriorMean(TARGET)], CHAIN, data, steps=[2, 4], generator=seeded("cpu", 2))
    assert own["gain"].tolist() == pytest.approx(exact["gain"].tolist())


def test_it_is_saved_and_loaded(tmp_path):
    target = sv.Target(REWARD, 0.3)
    value = LinearizedPosteriorMean(target, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    recipe = {
        "class_path": "svlearn.values.LinearizedPosteriorMean",
        "init_args": {
            "target": {
                "class_path": "svlearn.Target",
                "init_args": {
                    "reward": {
                        "class_path": "svlearn.domains.analytic.QuadraticReward",
                        "init_args": {"matrix": (0.2 * torch.eye(2)).tolist(), "vector": [0.6, -0.3]},
                    },
                    "alpha": 0.3,
                },
            },
            "sensitivity": value.sensitivity.tolist(),
        },
    }
    path = save_value(value, tmp_path / "value.safetensors", CHAIN, recipe=recipe)
    assert load_value(path, CHAIN).sensitivity.equal(value.sensitivity)


def test_steps_of_tokens_are_refused():
    chain = FiniteMarkovChain.random(4, 3, seed=1)
    value = LinearizedPosteriorMean(chain.target(0.5), [0.0, 0.5, 0.5])
    with pytest.raises(TypeError, match="reference: LinearizedPosteriorMean expected Gaussian steps, got"):
        sv.svdd(chain, chain.target(0.5), value, 3).sample(2, generator=seeded("cpu", 0))
    states = roll_out(chain, 2, generator=seeded("cpu", 0))["states"]
    with pytest.raises(TypeError, match="reference: LinearizedPosteriorMean expected Gaussian steps, got"):
        LinearizedPosteriorMean.measured(chain.target(0.5), chain, states)


class Blind(Reference):
    num_steps = 3

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 2)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(x, 1.0))


def test_a_reference_without_a_clean_is_refused():
    value = LinearizedPosteriorMean(TARGET, [0.0, 1.0, 1.0])
    sampler = sv.svdd(Blind(), TARGET, AtSteps(value, [1]), 3)
    with pytest.raises(ValueError, match=r"prediction\.clean: LinearizedPosteriorMean needs"):
        sampler.sample(2, generator=seeded("cpu", 0))


@pytest.mark.parametrize("sensitivity", [0.5, [], [0.0, math.nan]])
def test_sensitivities_that_are_none_are_refused(sensitivity):
    with pytest.raises(ValueError, match="sensitivity: expected"):
        LinearizedPosteriorMean(TARGET, sensitivity)


def test_other_bad_input():
    states = roll_out(CHAIN, 2, generator=seeded("cpu", 0))["states"]
    with pytest.raises(ValueError, match="data_std: expected a number above 0, got 0"):
        LinearizedPosteriorMean.of_levels(TARGET, CHAIN.noise_levels(), 0)
    with pytest.raises(ValueError, match="per: expected one of step, coordinate, got 'leaf'"):
        LinearizedPosteriorMean.measured(TARGET, CHAIN, states, per="leaf")
    with pytest.raises(ValueError, match=r"trajectories: expected \(N, 7, ...\), got \(2, 6, 2\)"):
        LinearizedPosteriorMean.measured(TARGET, CHAIN, states[:, 1:])
    short = LinearizedPosteriorMean(TARGET, [0.0, 0.5])
    with pytest.raises(ValueError, match="sensitivity: expected a number for t = 2"):
        sv.svdd(CHAIN, TARGET, short, 3).sample(2, generator=seeded("cpu", 0))
