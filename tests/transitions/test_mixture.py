"""A mixture of laws against torch.distributions and enumeration."""

import math

import pytest
import torch

from svlearn.randomness import seeded
from svlearn.transitions import CategoricalTransition, GaussianTransition, MixtureTransition

DOUBLE = torch.float64


def gaussians(size=6):
    generator = seeded("cpu", 0)
    means = torch.randn(2, size, 1, generator=generator, dtype=DOUBLE)
    return GaussianTransition(means[0], 0.5), GaussianTransition(means[1], 1.5)


def test_log_prob_is_that_of_torch_s_mixture():
    one, other = gaussians()
    law = MixtureTransition([one, other], [3.0, 1.0])
    x = torch.randn(6, 1, generator=seeded("cpu", 1), dtype=DOUBLE)
    of = torch.distributions.Normal(torch.cat([one.mean, other.mean], 1), torch.tensor([0.5, 1.5], dtype=DOUBLE))
    weights = torch.distributions.Categorical(torch.tensor([0.75, 0.25], dtype=DOUBLE).expand(6, 2))
    exact = torch.distributions.MixtureSameFamily(weights, of).log_prob(x[:, 0])
    torch.testing.assert_close(law.log_prob(x), exact)


def test_each_row_has_weights_of_its_own_and_follows_an_index():
    laws = gaussians()
    weights = torch.rand(6, 2, generator=seeded("cpu", 2), dtype=DOUBLE)
    law = MixtureTransition(laws, weights)
    x = law.sample(generator=seeded("cpu", 3))
    index = torch.tensor([5, 1, 1])
    assert torch.equal(law[index].log_prob(x[index]), law.log_prob(x)[index])
    torch.testing.assert_close(MixtureTransition.cat([law[:2], law[2:]]).log_prob(x), law.log_prob(x))


def test_outcomes_and_draws_have_the_mixed_probabilities():
    logits = torch.randn(2, 1, 2, 3, generator=seeded("cpu", 4), dtype=DOUBLE)
    law = MixtureTransition([CategoricalTransition(logits[0]), CategoricalTransition(logits[1])], [0.3, 0.7])
    states, log_probs = law.outcomes(18)
    index = states[0, :, 0] * 3 + states[0, :, 1]
    listed = torch.zeros(9, dtype=DOUBLE).index_add(0, index, log_probs[0].exp())
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    exact = torch.stack([law.log_prob(each[None])[0] for each in every]).exp()
    torch.testing.assert_close(listed, exact)
    drawn = law[torch.zeros(20_000, dtype=torch.long)].sample(generator=seeded("cpu", 5))
    frequencies = torch.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=9) / 20_000
    assert ((frequencies - exact).abs() < 4 * (exact * (1 - exact) / 20_000).sqrt()).all()
    with pytest.raises(ValueError, match="outcomes: 18 next states, the limit is 17"):
        law.outcomes(17)


def test_a_weight_of_0_leaves_the_other_law_alone():
    one, other = gaussians()
    x = one.sample(generator=seeded("cpu", 1))
    torch.testing.assert_close(MixtureTransition([one, other], [1.0, 0.0]).log_prob(x), one.log_prob(x))


@pytest.mark.parametrize("weights", [[1.0], [[1.0, 0.0, 0.0]], [1.0, -0.5], [0.0, 0.0], [math.nan, 1.0]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weights: expected"):
        MixtureTransition(gaussians(), weights)
