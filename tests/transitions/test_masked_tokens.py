"""Masked steps over one tensor of tokens: which tokens can be, places of any shape, and log Z by SMC."""

import math

import pytest
import torch
from masked_toys import DOUBLE, MASK, V

import svlearn as sv
from svlearn.inference.proposals import Exact
from svlearn.randomness import seeded
from svlearn.transitions import MaskedTransition


def test_tokens_that_cannot_be_are_neither_drawn_nor_listed():
    x = torch.full((300, 2), 1)  # the mask is token 1 of three
    logits = torch.zeros(300, 2, 3)
    logits[:, :, 0] = -math.inf
    step = MaskedTransition(x, logits, 1, number=2)
    assert (step.sample(generator=seeded("cpu", 0)) == 2).all()  # nor the mask itself
    states, log_probs = step.outcomes(1)
    assert states[0].tolist() == [[2, 2]] and log_probs[0].tolist() == [0.0]
    assert step.log_prob(torch.tensor([[2, 2]]).expand(300, -1)).tolist() == [0.0] * 300
    assert step.log_prob(torch.tensor([[0, 2]]).expand(300, -1)).isneginf().all()


def test_places_may_have_any_shape():
    """A picture of 2 x 3 places is the row of its 6."""
    x = torch.full((5, 2, 3), MASK)
    x[:, 1, 1] = 2
    logits = torch.randn(5, 2, 3, V, generator=seeded("cpu", 1), dtype=DOUBLE)
    picture = MaskedTransition(x, logits, MASK, number=2)
    row = MaskedTransition(x.flatten(1), logits.flatten(1, 2), MASK, number=2)
    drawn, same = (each.sample(generator=seeded("cpu", 2)) for each in (picture, row))
    assert drawn.shape == x.shape and torch.equal(drawn.flatten(1), same)
    torch.testing.assert_close(picture.log_prob(drawn), row.log_prob(same))
    assert picture.expansion_point(x).shape == (5, 2, 3, V + 1)
    assert picture.tilt(torch.zeros(5, 2, 3, V + 1)).most_probable().shape == x.shape
    states, _ = picture.outcomes(10 * V**2)
    assert states.shape == (5, 10 * V**2, 2, 3)
    number = MaskedTransition(torch.tensor([MASK, 1]), torch.zeros(2, V), MASK, number=1)  # one place a row
    states, log_probs = number.outcomes(4)  # the row that stands still needs no column of its own
    assert states.tolist() == [[0, 1, 2, 3], [1, 1, 1, 1]] and log_probs[1].tolist() == [0.0] + 3 * [-math.inf]
    assert number.sample(generator=seeded("cpu", 3))[1] == 1


def test_many_tokens_are_drawn_place_first():
    """Above some number of weights the place is drawn, then the token: the same law."""
    x, logits = torch.full((1, 3), 6000), torch.full((1, 3, 6000), -math.inf)
    logits[0, :, :2] = torch.tensor([0.25, 0.75]).log()
    step = MaskedTransition(x, logits, 6000, number=1)
    drawn = step.sample_each(torch.zeros(20_000, dtype=torch.long), generator=seeded("cpu", 4))
    unmasked = drawn != 6000
    assert (unmasked.sum(dim=1) == 1).all()
    shares = torch.stack([(unmasked & (drawn == token)).sum(dim=0) for token in (0, 1)]) / 20_000
    exact = torch.tensor([[0.25], [0.75]]) / 3
    assert ((shares - exact).abs() < 4 * (exact * (1 - exact) / 20_000).sqrt()).all()


def test_log_probabilities_in_halves_are_normalised_again():
    logits = torch.randn(2, 10, 4, generator=seeded("cpu", 0)).log_softmax(-1).bfloat16()
    step = MaskedTransition(torch.full((2, 10), 4), logits, 4, number=1)
    assert torch.allclose(step.log_probs.exp().sum(-1), torch.ones(()), atol=1e-6)


class Sentence(sv.Reference):
    """Three places of two tokens, each unmasked with probability 1/(T - t): its law is a product that is known."""

    num_steps = 3

    def __init__(self):
        super().__init__()
        self.register_buffer("logits", torch.randn(3, 2, generator=seeded("cpu", 8), dtype=DOUBLE))

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.full((batch_size, 3), 2)

    def forward(self, x, t, previous=None):
        law = MaskedTransition(x, self.logits.expand(len(x), -1, -1), 2, probability=1 / (3.0 - t.double()))
        return sv.Prediction(law, clean=law.most_probable(), clean_law=law.completed())


@pytest.mark.parametrize("proposal", [None, "exact"])
def test_smc_on_a_masked_diffusion_finds_log_z(proposal):
    reference, table = Sentence(), torch.tensor([0.4, -0.3, 1.1, 0.2], dtype=DOUBLE)
    target = sv.Target(lambda x: table[(x == 1).sum(dim=1)], 0.5)
    texts = torch.cartesian_prod(*[torch.arange(2)] * 3)
    probs = reference.logits.log_softmax(-1)[torch.arange(3), texts].sum(dim=1)
    exact = (probs + target(texts) / 0.5).logsumexp(dim=0)
    value = sv.values.PosteriorMean(target)
    inner = Exact(value) if proposal == "exact" else None
    samples = sv.smc(reference, target, value, 8, proposal=inner).sample(1500, generator=seeded("cpu", 9))
    ratios = (samples.log_normalizer - exact).exp()
    assert (ratios.mean() - 1).abs() < 4 * ratios.std() / math.sqrt(len(ratios))
