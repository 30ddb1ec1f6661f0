"""Tempering: schedules as they are written down, and the exponent that leaves a group the ESS asked for."""

import math

import pytest
import torch
from inference_toys import GAUSSIAN, MARKOV, assert_unbiased, make_value

from svlearn.domains.analytic import TokenTree
from svlearn.inference.resampling import ess
from svlearn.inference.samplers import smc, svdd
from svlearn.inference.tempering import Adaptive, Schedule, Tempering
from svlearn.randomness import seeded

ALPHA, STEPS = 0.5, 5


def test_the_schedule_of_das_by_hand():
    assert Schedule.das(4, gamma=0.5).exponents == [0.0, 0.5, 1.0, 1.0, 1.0]
    assert Schedule.das(3, gamma=0.1).exponents == pytest.approx([0.0, 0.1, 0.21, 1.0])
    default = Schedule.das(100).exponents
    assert len(default) == 101 and default[50] == pytest.approx(1.008**50 - 1) and default[-1] == 1


@pytest.mark.parametrize("oracle", [MARKOV, GAUSSIAN])
def test_unresampled_the_weights_at_t_are_those_of_the_tempered_value(oracle):
    exponents = [0.1, 0.8, 0.3, 0.5, 0.9, 1.0]
    value = make_value("exact", oracle, ALPHA)
    sampler = smc(oracle, oracle.target(ALPHA), value, 9, ess_threshold=0.0, tempering=exponents)
    samples = sampler.sample(30, generator=seeded("cpu", 0), keep_states=True)
    for t, (exponent, x) in enumerate(zip(exponents, samples.history.states, strict=True)):
        flat = x.flatten(0, 1)
        values = oracle.reward(flat) if t == STEPS else value(flat, torch.full((270,), t))
        torch.testing.assert_close(samples.history.ess[:, t], ess(exponent * values.double().view(30, 9) / ALPHA))


def test_a_tempering_is_told_of_every_candidate():
    """(B, K, M) of what a candidate brings without its twist and of the twist, K weights and one exponent a group."""
    calls = []

    class Listening(Tempering):
        def __call__(self, t, exponents, log_weights, base, twists):
            calls.append((t, *(tuple(each.shape) for each in (exponents, log_weights, base, twists))))
            return torch.ones_like(exponents)

    sampler = svdd(GAUSSIAN, GAUSSIAN.target(ALPHA), make_value("exact", GAUSSIAN, ALPHA), 4, tempering=Listening())
    sampler.sample(3, generator=seeded("cpu", 0))
    assert calls == [(t, (3,), (3, 1), (3, 1, 4), (3, 1, 4)) for t in range(STEPS)]


def exponents_of(tempering, twists, log_weights=None, before=0.0, base=None):
    """λ_t of groups with twists (B, K, M)."""
    twists = torch.as_tensor(twists, dtype=torch.float64)
    shape = twists.shape[:2]
    log_weights = torch.zeros(shape, dtype=torch.float64) if log_weights is None else log_weights
    base = torch.zeros_like(twists) if base is None else base
    return tempering(2, torch.full(shape[:1], before, dtype=torch.float64), log_weights, base, twists)


@pytest.mark.parametrize("share", [0.55, 0.7, 0.95])
@pytest.mark.parametrize("spread", [4.0, -11.0])
def test_of_two_particles_the_adaptive_exponent_is_known(share, spread):
    """(1 + a)²/(1 + a²) = 2s at a = (1 + √(1 - (2s - 1)²))/(2s - 1), a = exp(λ |d|); a group each that needs less."""
    share_of_odds = 2 * share - 1
    exact = math.log((1 + math.sqrt(1 - share_of_odds**2)) / share_of_odds) / abs(spread)
    exponents = exponents_of(Adaptive(share), [[[0.0], [spread]], [[3.0], [3.001]], [[0.0], [2 * spread]]])
    assert exponents.tolist() == pytest.approx([exact, 1.0, exact / 2], abs=1e-8) and exponents[1] == 1
    shifted = exponents_of(Adaptive(share), [[[0.0], [spread]]], torch.full((1, 2), -700.0).double())
    assert shifted.item() == pytest.approx(exact, abs=1e-8)


def test_it_is_the_largest_exponent_that_leaves_the_ess_and_never_falls():
    generator = seeded("cpu", 1)
    twists = 3 * torch.randn(200, 8, 3, generator=generator, dtype=torch.float64)
    base = 0.1 * torch.randn(200, 8, 3, generator=generator, dtype=torch.float64)
    log_weights = 0.1 * torch.randn(200, 8, generator=generator, dtype=torch.float64)

    def left(exponents):
        increments = (base + exponents[:, None, None] * twists).exp().mean(dim=2).log()
        return ess(log_weights + increments)

    before = 0.3
    chosen = exponents_of(Adaptive(0.8), twists, log_weights, before, base)
    assert (chosen >= before).all() and (chosen <= 1).all()
    low = left(torch.full_like(chosen, before)) < 0.8 * 8
    assert low.sum() > 20 and (chosen[low] == before).all()  # there is none
    inside = ~low & (chosen < 1)
    assert inside.sum() > 20
    assert (left(chosen)[inside] >= 0.8 * 8).all() and (left(chosen + 1e-6)[inside] < 0.8 * 8).all()
    for group in range(5):  # each chooses for itself
        one = slice(group, group + 1)
        assert exponents_of(Adaptive(0.8), twists[one], log_weights[one], before, base[one]) == chosen[group]


def test_a_sampler_ends_at_the_whole_reward_whatever_the_schedule_says():
    """Adaptive keeps the ESS above its share on the way; at T the reward itself weighs."""
    value = make_value("exact", GAUSSIAN, ALPHA)
    sampler = smc(GAUSSIAN, GAUSSIAN.target(ALPHA), value, 50, ess_threshold=0.0, tempering=Adaptive(0.7))
    samples = sampler.sample(40, generator=seeded("cpu", 0))
    first = samples.history.ess[:, 0]
    assert (first >= 0.7 * 50 - 1e-6).all() and (first < 0.7 * 50 + 0.01).any()
    torch.testing.assert_close(samples.log_weights, (samples.rewards / ALPHA).log_softmax(dim=1))


BAD = {
    "a schedule that is too short": (lambda: smc_with([0.5, 1.0]), "tempering: expected 6 numbers, .* 0 ... T, got 2"),
    "one that is too long": (lambda: svdd_with([0.5] * 6 + [1.0]), "tempering: expected 6 numbers, .*, got 7"),
    "an empty one": (lambda: smc_with([]), r"tempering: expected a schedule that ends in 1, got \[\]"),
    "one that ends early": (lambda: smc_with([0.5] * 6), r"that ends in 1, got \[0.5\]"),
    "a number above 1": (lambda: smc_with([1.5] * 5 + [1.0]), r"tempering: expected numbers in \[0, 1\], got \[1.5"),
    "a share of nothing": (lambda: Adaptive(0.0), r"expected a share of the particles in \(0, 1\), got 0.0"),
    "a share of all": (lambda: Adaptive(1.0), r"expected a share of the particles in \(0, 1\), got 1.0"),
}


def smc_with(tempering: Tempering | list):
    return smc(MARKOV, MARKOV.target(ALPHA), MARKOV.soft_value(ALPHA), 4, tempering=tempering)


def svdd_with(tempering: Tempering | list):
    return svdd(MARKOV, MARKOV.target(ALPHA), MARKOV.soft_value(ALPHA), 4, tempering=tempering)


@pytest.mark.parametrize("case", BAD)
def test_bad_schedules_are_refused_at_construction(case):
    call, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("share", [0.55, 0.7, 0.95])
@pytest.mark.parametrize("spread", [4.0, -11.0])
def test_of_the_two_candidates_of_one_particle_too(share, spread):
    """The ESS of a single particle is 1 whatever λ is: of svdd it is that of what the lineage chooses among."""
    share_of_odds = 2 * share - 1
    exact = math.log((1 + math.sqrt(1 - share_of_odds**2)) / share_of_odds) / abs(spread)
    exponents = exponents_of(Adaptive(share), [[[0.0, spread]], [[3.0, 3.001]], [[2 * spread, 0.0]]])
    assert exponents.tolist() == pytest.approx([exact, 1.0, exact / 2], abs=1e-8)
    assert exponents_of(Adaptive(share), [[[spread]], [[0.0]]], before=0.3).tolist() == [0.3, 0.3]


@pytest.mark.parametrize("twists", [[[[3.0], [3.0]]], [[[3.0, 3.0]]]])
def test_values_that_tell_no_candidate_from_another_say_nothing_of_the_exponent(twists):
    assert exponents_of(Adaptive(0.8), twists, before=0.3).tolist() == [0.3]


def test_a_start_that_is_the_same_for_all_does_not_end_the_tempering():
    """Texts begin alike, so that v_0 tells none from another: what is tempered is tempered from x_1 on."""
    tree, chosen = TokenTree.random(3, 4, seed=0), []

    class Watched(Adaptive):
        def __call__(self, t, exponents, log_weights, base, twists):
            chosen.append(super().__call__(t, exponents, log_weights, base, twists))
            return chosen[-1]

    target = tree.target(0.2)
    smc(tree, target, make_value("exact", tree, 0.2), 8, tempering=Watched(0.9)).sample(50, generator=seeded("cpu", 0))
    assert (chosen[0] == 0).all() and ((chosen[1] > 0) & (chosen[1] < 1)).any()


def test_svdd_by_the_ess_of_its_candidates():
    """Each lineage chooses, before T, by as much of the value as leaves three of its four candidates effective."""
    calls = []

    class Watched(Adaptive):
        def __call__(self, t, exponents, log_weights, base, twists):
            chosen = super().__call__(t, exponents, log_weights, base, twists)
            calls.append((exponents, chosen, ess((base + chosen[:, None, None] * twists).squeeze(1))))
            return chosen

    sampler = svdd(GAUSSIAN, GAUSSIAN.target(ALPHA), make_value("exact", GAUSSIAN, ALPHA), 4, tempering=Watched(0.75))
    samples = sampler.sample(4_000, generator=seeded("cpu", 0))
    assert len(calls) == STEPS
    for before, chosen, effective in calls:
        assert (chosen >= before).all() and (chosen <= 1).all()
        assert ((effective >= 3 - 1e-6) | (chosen == before)).all()
    first = calls[0]
    assert (first[1] < 1).any() and (first[2][first[1] < 1] < 3 + 1e-3).all()
    assert_unbiased(samples, GAUSSIAN.log_normalizer(ALPHA))


def test_where_the_ess_rises_again_bisection_finds_an_edge_and_says_no_more():
    """Weights 1 and e^-9 and a twist that first evens them out: the ESS has a hill in the middle."""
    twists, log_weights = torch.tensor([[[0.0], [20.0]]]).double(), torch.tensor([[0.0, -9.0]]).double()

    def left(exponent):
        return float(ess(log_weights + exponent * twists.squeeze(2)))

    assert left(0.0) < 1.6 < left(0.45) and left(1.0) < 1.6
    chosen = float(exponents_of(Adaptive(0.8), twists, log_weights))
    assert left(chosen) >= 1.6 > left(chosen + 2**-29) or chosen == 0.0


@pytest.mark.parametrize("bad", [0.5, "1", None.__class__, [True], ["1"]])
def test_what_is_no_schedule_is_a_type_error(bad):
    with pytest.raises(TypeError, match="tempering: expected a"):
        Schedule(bad)
