"""Log-weights that wait: read late or early they are those of one step after the other, by hand."""

import math

import pytest
import torch

from svlearn.inference.log_weights import LogWeights, log_mean


def test_a_mean_by_hand():
    """Of e^log 1, e^log 3 and 0: 4/3."""
    increments = torch.tensor([[[0.0, math.log(3), -math.inf]]], dtype=torch.float64)
    weights = LogWeights(torch.tensor([[math.log(6)]], dtype=torch.float64)).times_mean(increments)
    assert weights.shape == (1, 1) and weights.read().item() == pytest.approx(math.log(8), abs=1e-14)


@pytest.mark.parametrize("read", [(), (2,), (0, 3), range(6)])
def test_when_they_are_read_does_not_matter(read, generator):
    """Steps of 1, 5, 5, 5, 1 and 2 candidates, a particle that dies in the second step."""
    steps = [torch.randn(3, 4, size, generator=generator, dtype=torch.float64) for size in (1, 5, 5, 5, 1, 2)]
    steps[1][0, 2] = -math.inf
    expected = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    weights, exact = [LogWeights(expected)], [expected]
    for place, step in enumerate(steps):
        weights.append(weights[-1].times_mean(step))
        exact.append(exact[-1] + step.exp().mean(dim=2).log())
        if place in read:
            weights[-1].read()
    for each, known in zip(weights[::-1], exact[::-1], strict=True):
        torch.testing.assert_close(each.read(), known, rtol=1e-13, atol=1e-13)
    assert exact[-1][0, 2] == -math.inf and torch.equal(weights[-1].read(), weights[-1].read())


def test_groups_are_cut_and_joined(generator):
    weights = LogWeights(torch.zeros(5, 2, dtype=torch.float64))
    weights = weights.times_mean(torch.randn(5, 2, 3, generator=generator, dtype=torch.float64))
    joined = LogWeights.cat([weights[:2], weights[2:]])
    assert joined.shape == (5, 2) and torch.equal(joined.read(), weights.read())


def test_nothing_is_held_once_it_was_read(generator):
    """The increments of a step, which may be large, are let go; so is what came before it."""
    first = LogWeights(torch.zeros(1, 1, dtype=torch.float64))
    last = first.times_mean(torch.randn(1, 1, 3, generator=generator, dtype=torch.float64))
    last.read()
    assert last._increments is None and last._before is None


def test_the_mean_is_that_of_a_large_spread():
    increments = torch.tensor([[[1000.0, 1000.0]], [[-1000.0, -math.inf]]], dtype=torch.float64)
    expected = torch.tensor([[1000.0], [-1000.0 - math.log(2)]], dtype=torch.float64)
    torch.testing.assert_close(log_mean(increments), expected, rtol=1e-15, atol=0)
