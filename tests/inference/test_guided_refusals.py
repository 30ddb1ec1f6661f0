"""Guided and exact proposals refuse what they cannot be, at construction or at the first step."""

import pytest
from guided_toys import ALPHA, Bent, Curved, bowl, generator
from inference_toys import MARKOV
from torch import nn

from svlearn.inference.proposals import Exact, Guided
from svlearn.inference.samplers import guidance, smc, svdd
from svlearn.targets import Target
from svlearn.values import Learned, MonteCarlo, PosteriorMean, Zero

TARGET = Target(bowl, ALPHA)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: guidance(Bent(), TARGET, Learned(Curved()), at="middle"), ValueError, "at: expected one of mean, st"),
        (
            lambda: guidance(Bent(), TARGET, Learned(Curved()), [1.0] * 4),
            ValueError,
            "expected a number or 3 of them.*4",
        ),
        (lambda: guidance(Bent(), Target(bowl, 0.0), Learned(Curved())), ValueError, "alpha: guidance needs"),
        (lambda: guidance(Bent(), TARGET, Learned(Curved()), clip=0.0), ValueError, "clip: expected"),
        (lambda: Guided(MonteCarlo(Bent(), TARGET, 2)), TypeError, "not random, got MonteCarlo"),
        (lambda: Exact(MonteCarlo(Bent(), TARGET, 2)), TypeError, "not random, got MonteCarlo"),
        (lambda: Guided(Curved()), TypeError, "value: expected a Value, got Curved"),
        (lambda: svdd(Bent(), Target(bowl, 0.0), Zero(), 2, Exact(Zero())), ValueError, "Exact needs a target"),
        (lambda: Guided(Zero()).bind(Bent(), None), ValueError, "alpha: guidance needs"),
    ],
)
def test_what_cannot_be_is_refused_at_construction(build, error, message):
    with pytest.raises(error, match=message):
        build()


class Broken(nn.Module):
    def forward(self, x, t):
        return (x[:, 0] - x[:, 0]).sqrt()


@pytest.mark.parametrize(
    ("sampler", "error", "message"),
    [
        (guidance(Bent(), TARGET, Zero()), ValueError, "value: expected one with a gradient.*Zero has none"),
        (guidance(Bent(), TARGET, Learned(Broken())), ValueError, "expected a finite gradient, got another at index 0"),
        (
            guidance(MARKOV, MARKOV.target(1.0), PosteriorMean(MARKOV.target(1.0))),
            TypeError,
            "value: guidance reads PosteriorMean at one-hots",
        ),
        (smc(Bent(), TARGET, Zero(), 2, proposal=Exact(Zero())), ValueError, "cannot list its next states"),
        (smc(MARKOV, MARKOV.target(1.0), Zero(), 2, proposal=Exact(Zero(), limit=4)), ValueError, "5 next states.* 4"),
    ],
)
def test_what_cannot_be_is_refused_at_the_first_step(sampler, error, message):
    with pytest.raises(error, match=message):
        sampler.sample(3, generator=generator())
