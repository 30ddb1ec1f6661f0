"""Numbers of NumPy and of torch, alone and in lists, are taken where Python's are; what is none is named."""

import numpy as np
import pytest
import torch
from inference_toys import MARKOV

import svlearn as sv
from svlearn.evaluation.bounds import normalizer_bounds
from svlearn.evaluation.divergence import best_of_kl, reference_kl
from svlearn.inference.proposals import Exact, Guided
from svlearn.inference.samplers import beam_search, best_of_n, guidance, smc, svdd
from svlearn.inference.tempering import Adaptive, Schedule
from svlearn.randomness import resolve_generator, seeded
from svlearn.values import AtSteps, Ensemble, MonteCarlo, PosteriorMean, Switch, Zero
from svlearn.values.calibration import calibrate

ALPHA, STEPS = 0.5, 5
TARGET, VALUE = MARKOV.target(ALPHA), MARKOV.soft_value(ALPHA)
KINDS = {
    "numpy": (np.int64, np.float32),
    "small numpy": (np.uint8, np.float16),
    "torch": (torch.tensor, torch.tensor),
}


def samplers(whole, real):
    """Each with numbers of one kind, which 0.5 and small integers are exact in."""
    steps = [whole(2)] * (STEPS + 1)
    half = real(0.5)
    ends_in_one = [half] * STEPS + [real(1.0)]
    yield best_of_n(MARKOV, TARGET, whole(3))
    yield svdd(MARKOV, TARGET, VALUE, whole(2), tempering=ends_in_one)
    yield svdd(MARKOV, TARGET, VALUE, steps, tempering=Adaptive(half))
    yield svdd(MARKOV, sv.Target(MARKOV.reward, half), PosteriorMean(TARGET, whole(2)), tuple(steps))
    yield smc(MARKOV, TARGET, VALUE, whole(4), half, window=(whole(1), whole(3)), share=half, by_value=True)
    yield smc(MARKOV, TARGET, MonteCarlo(MARKOV, TARGET, whole(2)), whole(4), num_candidates=steps)
    yield smc(MARKOV, TARGET, MonteCarlo(MARKOV, TARGET, budget=whole(6)), whole(4), tempering=Schedule(ends_in_one))
    yield guidance(MARKOV, TARGET, VALUE, [half] * STEPS, clip=real(2.0))
    yield smc(MARKOV, TARGET, VALUE, 4, proposal=Guided(VALUE, half, clip=real(2.0)))
    yield smc(MARKOV, TARGET, VALUE, 4, proposal=Exact(VALUE, whole(9)))
    yield beam_search(MARKOV, TARGET, VALUE, whole(2), whole(2))
    yield sv.tree_search(
        MARKOV, TARGET, VALUE, whole(6), widening_factor=real(2.0), widening_exponent=half, prior_children=real(1.0)
    )
    yield svdd(MARKOV, TARGET, Switch(Zero(), AtSteps(VALUE, [whole(3), whole(4)]), whole(2)), 2)
    yield svdd(MARKOV, TARGET, Ensemble([VALUE, Zero()], [[half, real(1.0)]] * STEPS), 2)


@pytest.mark.parametrize("kind", KINDS)
def test_samplers_draw_what_they_do_with_python_s_own(kind):
    for expected, actual in zip(samplers(int, float), samplers(*KINDS[kind]), strict=True):
        one, other = (
            sampler.sample(size, generator=seeded("cpu", seed), max_batch=limit)
            for sampler, size, seed, limit in (
                (expected, 3, 7, 2),
                (actual, KINDS[kind][0](3), KINDS[kind][0](7), KINDS[kind][0](2)),
            )
        )
        assert torch.equal(one.states, other.states) and torch.equal(one.log_weights, other.log_weights)


def test_schedules_may_be_arrays():
    exponents = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 1.0])
    assert Schedule(exponents).exponents == Schedule(torch.tensor(exponents)).exponents == exponents.tolist()
    assert Schedule.das(np.int64(4), np.float64(0.5)).exponents == Schedule.das(4, 0.5).exponents
    for number in (np.array([2] * 6), torch.tensor([2] * 6)):
        assert svdd(MARKOV, TARGET, VALUE, number).num_candidates == [2] * 6
    assert smc(MARKOV, TARGET, VALUE, 4, window=np.array([1, 3])).selection.window == (1, 3)


@pytest.mark.parametrize("depth", [np.int64(2), torch.tensor(2), np.float32(0.4), torch.tensor(0.4), np.float64(0.4)])
def test_the_depth_of_a_refinement(depth):
    class Reversible(type(MARKOV)):
        def noise(self, x, t_from, t_to, *, generator=None):
            return x

    chain = Reversible(MARKOV.initial_probs, MARKOV.matrices, MARKOV.reward.table)
    refined = sv.refine(svdd(chain, TARGET, VALUE, 2), np.int64(1), depth)
    assert refined.depth == 2 and type(refined.depth) is int


def test_figures_too():
    sampler = smc(MARKOV, TARGET, VALUE, 4)
    bounds = [normalizer_bounds(sampler, number, generator=seeded("cpu", 0)) for number in (5, np.int64(5))]
    assert bounds[0].upper == bounds[1].upper
    samples = sampler.sample(4, generator=seeded("cpu", 0))
    assert reference_kl(samples, np.float64(ALPHA)) == reference_kl(samples, ALPHA)
    assert best_of_kl(np.array([2, 3])) == best_of_kl([2, 3])
    data = sv.rollouts.roll_out(MARKOV, 20, target=TARGET, generator=seeded("cpu", 0))
    tables = [calibrate(VALUE, MARKOV, data, alpha=alpha) for alpha in (ALPHA, np.float32(ALPHA))]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("seed", [2**40 + 3, 2**63 + 5, 2**64 - 1])
def test_seeds_of_any_size(seed):
    expected = torch.rand(3, generator=seeded("cpu", seed, 1))
    assert torch.equal(expected, torch.rand(3, generator=seeded("cpu", np.uint64(seed), np.int64(1))))
    if seed < 2**63:
        assert torch.equal(expected, torch.rand(3, generator=seeded("cpu", torch.tensor(seed), 1)))


@pytest.mark.parametrize("generator", [0, np.int64(3), "cpu", np.random.default_rng(0)])
def test_what_is_no_generator_is_a_type_error(generator):
    words = r"generator: expected None or torch.Generator\(\).manual_seed\(a seed\), got"
    for call in (
        lambda: resolve_generator(generator, torch.device("cpu")),
        lambda: svdd(MARKOV, TARGET, VALUE, 2).sample(2, generator=generator),
        lambda: svdd(MARKOV, TARGET, VALUE, 2).sample(2).draw(generator=generator),
        lambda: sv.rollouts.roll_out(MARKOV, 2, generator=generator),
    ):
        with pytest.raises(TypeError, match=words):
            call()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: smc(MARKOV, TARGET, VALUE, 4, "half"), TypeError, "ess_threshold: expected a number, got str"),
        (lambda: smc(MARKOV, TARGET, VALUE, 4, True), TypeError, "ess_threshold: expected a number, got bool"),
        (lambda: smc(MARKOV, TARGET, VALUE, 4, window=(0.5, 2)), ValueError, "window: expected integers"),
        (lambda: smc(MARKOV, TARGET, VALUE, 4, window=3), TypeError, "window: expected integers, got int"),
        (lambda: smc(MARKOV, TARGET, VALUE, 4, window=(3, 1)), ValueError, "window: expected None or .start, stop"),
        (lambda: svdd(MARKOV, TARGET, VALUE, 2.0), ValueError, "num_candidates: expected an integer"),
        (lambda: svdd(MARKOV, TARGET, VALUE, "two"), TypeError, "num_candidates: expected integers, got str"),
        (lambda: svdd(MARKOV, TARGET, VALUE, [1, 2, 3, 4, 5, np.nan]), ValueError, "num_candidates: expected integers"),
        (lambda: sv.tree_search(MARKOV, TARGET, widening_factor=np.inf), ValueError, "widening_factor: expected a fin"),
        (lambda: sv.tree_search(MARKOV, TARGET, prior_children=np.nan), ValueError, "prior_children: expected a fin"),
        (
            lambda: MonteCarlo(MARKOV, TARGET, 1.5),
            ValueError,
            "num_rollouts: expected an integer of at least 1, got 1.5",
        ),
        (lambda: MonteCarlo(MARKOV, TARGET, budget=True), ValueError, "budget: expected an integer"),
        (lambda: PosteriorMean(TARGET, 2.5), ValueError, "num_samples: expected None or an integer"),
        (lambda: Exact(VALUE, 0), ValueError, "limit: expected an integer of at least 1, got 0"),
        (lambda: Guided(VALUE, clip=np.inf), ValueError, "clip: expected a finite number above 0"),
    ],
)
def test_what_is_no_such_number_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
