"""The diagnosis speaks where something is wrong, names it and its time, and is silent on a healthy run."""

import math

import pandas as pd
import pytest
import torch

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain, Quadratic, QuadraticReward, QuadraticValue
from svlearn.evaluation.diagnosis import _when, diagnose
from svlearn.inference.proposals import Guided, Policy
from svlearn.inference.samplers import best_of_n, smc, svdd
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Zero
from svlearn.values.calibration import calibrate

ORACLES = {
    "markov": FiniteMarkovChain.random(5, 5, seed=1),
    "gaussian": LinearGaussianChain.random(2, 5, seed=1),
    "long": LinearGaussianChain.random(3, 20, seed=4),
}
ALPHA = 1.0
GAUSSIAN = ORACLES["gaussian"]


def run(sampler, groups=200):
    return sampler.sample(groups, generator=seeded("cpu", 0))


def table_of(oracle, value, alpha=None, number=2000):
    trajectories = roll_out(oracle, number, target=oracle.target(ALPHA), generator=seeded("cpu", 3))
    return calibrate(value, oracle, trajectories, alpha=alpha)


def policy_of(width):
    """The best Gaussian policy of the chain, with its stds times `width`."""
    best = GAUSSIAN.best_policy(ALPHA)
    start = (GAUSSIAN.initial_mean, GAUSSIAN.initial_covariance)
    return LinearGaussianChain(*start, best.matrices, best.offsets, width * GAUSSIAN.stds, GAUSSIAN.reward)


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("kind", ["soft", "mean"])
@pytest.mark.parametrize("calibrated", [False, True])
def test_a_healthy_run_is_passed_over_in_silence(name, kind, calibrated):
    oracle, target = ORACLES[name], ORACLES[name].target(ALPHA)
    value, alpha = (oracle.soft_value(ALPHA), ALPHA) if kind == "soft" else (oracle.mean_value(), None)
    table = table_of(oracle, value, alpha) if calibrated else None
    samplers = [smc(oracle, target, value, 16), smc(oracle, target, value, 2), svdd(oracle, target, value, 10)]
    if name != "markov" and kind == "soft":
        samplers.append(smc(oracle, target, value, 16, proposal=Guided(value)))
    if name == "gaussian" and kind == "soft":
        samplers.append(smc(oracle, target, value, 16, proposal=Policy(policy_of(1.0))))
    for sampler in samplers:
        assert diagnose(run(sampler), calibration=table) == []


@pytest.mark.parametrize(("width", "what"), [(0.5, "narrow"), (0.3, "narrow"), (2.0, "wide")])
@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("make", [smc, svdd])
def test_a_proposal_of_the_wrong_width(width, what, calibrated, make):
    value = GAUSSIAN.soft_value(ALPHA)
    sampler = make(GAUSSIAN, GAUSSIAN.target(ALPHA), value, 16, proposal=Policy(policy_of(width)))
    table = table_of(GAUSSIAN, value, ALPHA) if calibrated else None
    sentences = diagnose(run(sampler), calibration=table)
    assert len(sentences) == 1 and sentences[0].startswith(f"Proposal too {what} after t = 0")
    assert ("or the value is wrong: pass its calibration" in sentences[0]) == (not calibrated)


def test_a_proposal_that_aims_elsewhere():
    start = (GAUSSIAN.initial_mean, GAUSSIAN.initial_covariance)
    best = GAUSSIAN.best_policy(ALPHA)
    aside = LinearGaussianChain(*start, best.matrices, best.offsets + 0.5, GAUSSIAN.stds, GAUSSIAN.reward)
    sampler = smc(GAUSSIAN, GAUSSIAN.target(ALPHA), GAUSSIAN.soft_value(ALPHA), 16, proposal=Policy(aside))
    sentences = diagnose(run(sampler))
    assert any(sentence.startswith("Proposal off its aim") for sentence in sentences)
    assert not any("too narrow" in sentence for sentence in sentences)


def wild(stop):
    """The exact mean value, drowned before `stop` by a slope that the reward knows nothing of."""
    exact, none = GAUSSIAN.mean_value(), torch.zeros(2, 2).double()
    parts = zip(exact.matrices, exact.vectors, exact.constants, strict=True)
    away = torch.stack([-GAUSSIAN.reward.vector[1], GAUSSIAN.reward.vector[0]]) * 8
    wrong = Quadratic(none, away, torch.zeros(()).double())
    return QuadraticValue([wrong if t < stop else Quadratic(*part) for t, part in enumerate(parts)])


def test_a_value_that_is_wrong_before_some_t():
    value = wild(3)
    table = table_of(GAUSSIAN, value)
    sentences = diagnose(run(smc(GAUSSIAN, GAUSSIAN.target(ALPHA), value, 16)), calibration=table)
    assert sentences[-1].startswith("Value miscalibrated before t = 3: its differences say nothing of the reward")
    assert not any("reference" in sentence for sentence in sentences)
    guided = smc(GAUSSIAN, GAUSSIAN.target(ALPHA), value, 16, proposal=Policy(policy_of(1.0)))
    assert not any("Proposal" in sentence for sentence in diagnose(run(guided), calibration=table))  # at t = 3 neither
    assert any("Proposal" in sentence and "t = 3" in sentence for sentence in diagnose(run(guided)))


@pytest.mark.parametrize(
    ("scale", "what"), [(3.0, "too much of its differences"), (0.2, "too little"), (-1.0, "say nothing of the reward")]
)
def test_a_value_of_the_wrong_scale(scale, what):
    exact = GAUSSIAN.mean_value()
    parts = zip(exact.matrices, exact.vectors, exact.constants, strict=True)
    value = QuadraticValue([Quadratic(*part).scaled(scale) for part in parts])
    sentences = diagnose(run(smc(GAUSSIAN, GAUSSIAN.target(ALPHA), Zero(), 4)), calibration=table_of(GAUSSIAN, value))
    assert len(sentences) == 1 and sentences[0].startswith("Value miscalibrated") and what in sentences[0]


@pytest.mark.parametrize("resample", [True, False])
def test_one_particle_that_dominates(resample):
    """A walk of twenty steps, whose value jumps at t = 10 by 30 nats a unit of x, and is 0 again at 11."""
    steps = (torch.ones(20, 1, 1), torch.zeros(20, 1), torch.full((20,), 0.3))
    chain = LinearGaussianChain(torch.zeros(1), 1.0, *steps, QuadraticReward([[0.0]], [0.0]))
    nothing = Quadratic(*(torch.zeros(shape).double() for shape in ((1, 1), (1,), ())))
    steep = nothing._replace(vector=torch.tensor([30.0]).double())
    value = QuadraticValue([steep if t == 10 else nothing for t in range(21)])
    sentences = diagnose(run(smc(chain, chain.target(ALPHA), value, 16, 0.5 if resample else 0.0)))
    assert sentences[0].startswith("Weights collapsed at t = 10: of 16 particles 1.1 are effective")
    if resample:  # those at t = 10 are copies of one, which has its own ancestor at 9
        assert len(sentences) == 2 and sentences[1].startswith("Lineage collapsed: at t = 9 all 16 finished particles")
        assert "tempering" in sentences[0]
    else:
        assert len(sentences) == 1 and "The groups were never resampled" in sentences[0]


def test_a_value_that_does_not_foresee_the_end():
    oracle = GAUSSIAN.with_reward(QuadraticReward(torch.diag(torch.tensor([60.0, 60.0])), [6.0, -6.0]))
    sentences = diagnose(run(smc(oracle, oracle.target(0.3), Zero(), 16)))
    assert len(sentences) == 1 and sentences[0].startswith("Weights collapsed at t = 5: of 16 particles")
    assert "did not foresee the reward" in sentences[0]


def test_a_reference_that_rarely_does_what_the_value_wants():
    """The last step is far wider than the reward: no value of x_{T-1} can help, a guided proposal can."""
    stds = torch.tensor([0.1, 0.1, 3.0])
    steps = (torch.ones(3, 1, 1), torch.zeros(3, 1), stds)
    oracle = LinearGaussianChain(torch.zeros(1), 1.0, *steps, QuadraticReward([[40.0]], [0.0]))
    value = oracle.soft_value(ALPHA)
    sampler = smc(oracle, oracle.target(ALPHA), value, 64)
    trajectories = roll_out(oracle, 4000, target=oracle.target(ALPHA), generator=seeded("cpu", 3))
    texts = diagnose(run(sampler), calibration=calibrate(value, oracle, trajectories, alpha=ALPHA))
    start = "The reference seldom takes the step that the value asks for at t = 3"
    assert any(each.startswith(start) for each in texts)
    assert not any(each.startswith("The reference") for each in diagnose(run(sampler)))


def test_several_runs_and_a_sampler_that_weighs_nothing(walk, target, value):
    sampler = smc(GAUSSIAN, GAUSSIAN.target(ALPHA), GAUSSIAN.soft_value(ALPHA), 16, proposal=Policy(policy_of(0.3)))
    runs = [sampler.sample(100, generator=seeded("cpu", seed)) for seed in (1, 2)]
    assert len(diagnose(runs)) == 1
    assert diagnose(run(best_of_n(walk, target, 4))) == []


def test_times_in_words():
    times = list(range(6))
    for moments, words in (
        ([0, 1, 2, 3, 4, 5], "at all t"),
        ([2], "at t = 2"),
        ([0, 1, 2], "before t = 3"),
        ([4, 5], "after t = 3"),
        ([2, 3], "at t = 2 ... 3"),
        ([1, 4], "at 2 of the 4 steps from t = 1 to 4"),
    ):
        assert _when(moments, times) == words


def test_what_is_refused(walk, target, value):
    with pytest.raises(ValueError, match="samples: expected at least one run, got none"):
        diagnose([])
    samples = run(smc(walk, target, value, 4), 3)
    with pytest.raises(ValueError, match="calibration: expected columns t, pearson, spread, got t, pearson"):
        diagnose(samples, calibration=pd.DataFrame({"t": [0], "pearson": [math.nan]}))
