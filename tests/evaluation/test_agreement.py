"""Estimates of one log Z that contradict each other are said, those that agree are not."""

import math

import pytest
import torch
from torch import nn

from svlearn.evaluation.agreement import disagreements
from svlearn.evaluation.compare import compare
from svlearn.evaluation.diagnosis import diagnose
from svlearn.inference.proposals import Guided
from svlearn.inference.samplers import ancestral, smc, svdd
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean


def figures(value, error):
    return {"log_normalizer_nats": value, "log_normalizer_standard_error_nats": error}


@pytest.fixture
def samplers(walk, target, value):
    return {name: smc(walk, target, value, 4) for name in "abc"}


def test_the_extremes_of_one_target_are_named(samplers):
    table = {"a": figures(-25.4, 0.6), "b": figures(-5.4, 0.3), "c": figures(-5.5, 0.3)}
    (text,) = disagreements(samplers, table)
    assert "-25.4 ± 0.6 of a against -5.4 ± 0.3 of b" in text and "contradict" in text


@pytest.mark.parametrize(
    ("estimate", "error", "number"),
    [(-5.4 - 4.01 * 0.5, 0.4, 1), (-5.4 - 3.99 * 0.5, 0.4, 0), (-25.4, math.nan, 0), (math.nan, math.nan, 0)],
)
def test_four_standard_errors_of_the_difference(samplers, estimate, error, number):
    table = {"a": figures(estimate, error), "b": figures(-5.4, 0.3), "c": figures(-5.4, 0.3)}
    assert len(disagreements(samplers, table)) == number


def test_rounding_is_no_disagreement(samplers):
    table = {name: figures(2.0 + place * 1e-12, 0.0) for place, name in enumerate(samplers)}
    assert disagreements(samplers, table) == []


def test_of_another_target_or_reference_it_is_another_number(walk, target, value):
    others = {
        "a": smc(walk, target, value, 4),
        "b": smc(walk, Target(target.reward, 2.0), value, 4),
        "c": smc(type(walk)(), target, value, 4),
        "d": smc(walk, Target(lambda x: x.squeeze(1), 1.0), value, 4),
    }
    assert disagreements(others, {name: figures(float(place), 0.01) for place, name in enumerate(others)}) == []


def test_a_comparison_notes_it(walk):
    # r = 6 x with x_T ~ N(0, 4): log Z = 72, which plain weights of few samples do not see; the exact value does
    target = Target(lambda x: 6 * x.squeeze(1), alpha=1.0)

    class Steep(nn.Module):
        def forward(self, x, t):
            return 6 * x.squeeze(1) + 18.0 * (4 - t)

    exact = Learned(Steep())
    known = {"guided": smc(walk, target, exact, 8, proposal=Guided(exact)), "plain": ancestral(walk, target)}
    assert compare(known, 40).notes == ()
    comparison = compare({**known, "blind": svdd(walk, target, PosteriorMean(target), 2)}, 40)
    assert comparison.figures["guided"]["log_normalizer_nats"] == pytest.approx(72, abs=1e-9)
    (note,) = comparison.notes
    assert "of blind against 72" in note and "of guided" in note


def test_a_guided_run_is_not_told_to_guide(walk):
    target = Target(lambda x: 3 * x.squeeze(1), alpha=1.0)

    class Slope(nn.Module):
        def forward(self, x, t):
            return torch.where(x.squeeze(1) > 0, 9.0, 0.0) * x.squeeze(1) ** 2

    value = Learned(Slope())
    for scale in (0.1, 1.0, 3.0):
        sampler = smc(walk, target, value, 8, proposal=Guided(value, scale))
        texts = diagnose(sampler.sample(50, generator=seeded("cpu", 0)), guided=True)
        assert texts and not any("Guide it" in each or "guide it" in each or "guide the" in each for each in texts)
        diagnoses = compare({"a": sampler}, 50).diagnoses["a"]
        assert not any("Guide it" in each or "guide it" in each or "guide the" in each for each in diagnoses)
    unguided = smc(walk, target, value, 8)
    assert any("uide" in each for each in diagnose(unguided.sample(50, generator=seeded("cpu", 0))))
