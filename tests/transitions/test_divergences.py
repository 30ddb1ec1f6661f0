"""KL(p || q) of two laws against quadrature, sums over all outcomes, and what is known of Diracs."""

import math

import numpy as np
import pytest
import torch
from masked_toys import DOUBLE, MASK, V
from tensordict import TensorDict

from svlearn.randomness import seeded
from svlearn.transitions import (
    AppendingTransition,
    CategoricalTransition,
    FieldTransition,
    GaussianTransition,
    MaskedTransition,
    MixtureTransition,
)

TEXTS = torch.tensor([[0, 9, 9, 1], [1, 2, 9, 2], [1, 2, 0, 3]])  # of three tokens, the last one full


def normal(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=seeded("cpu", seed), dtype=DOUBLE)


def by_outcomes(law, other):
    states, log_probs = law.outcomes(10_000)
    others = torch.stack([other.log_prob(x) for x in states.unbind(dim=1)], dim=1)
    return torch.where(log_probs > -math.inf, log_probs.exp() * (log_probs - others), 0.0).sum(dim=1)


def appending(seed, texts=TEXTS, **options):
    return AppendingTransition(texts, normal(3, 3, seed=seed), **options)


def test_of_gaussians_it_is_the_integral_of_their_log_ratio():
    law = GaussianTransition(normal(2, 1), torch.tensor([[0.4], [1.3]], dtype=DOUBLE))
    other = GaussianTransition(normal(2, 1, seed=1), torch.tensor([[0.9], [0.7]], dtype=DOUBLE))
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    points = law.mean + law.std * torch.as_tensor(nodes)
    ratios = torch.stack([law.log_ratio(other, x[:, None]) for x in points.unbind(dim=1)], dim=1)
    integral = (ratios * torch.as_tensor(weights / math.sqrt(2 * math.pi))).sum(dim=1)
    assert (integral > 0.1).all()
    torch.testing.assert_close(law.kl(other), integral)


def test_of_gaussians_by_hand_and_summed_over_elements():
    law, other = GaussianTransition(torch.zeros(1, 2, 2), 1.0), GaussianTransition(torch.ones(1, 2, 2), 2.0)
    by_hand = 4 * (math.log(2) + (1 + 1) / 8 - 0.5)
    assert law.kl(other).dtype == DOUBLE and law.kl(other).item() == pytest.approx(by_hand)
    near = GaussianTransition(torch.zeros(1, 1, dtype=DOUBLE), 1 + 1e-9)
    assert abs(near.kl(GaussianTransition(torch.zeros(1, 1, dtype=DOUBLE), 1.0)).item()) < 1e-16


def test_diracs_at_one_place_are_alike_and_others_infinitely_apart():
    std = torch.tensor([[0.0, 1.0]])
    law = GaussianTransition(torch.tensor([[3.0, 0.0]]), std)
    assert law.kl(GaussianTransition(torch.tensor([[3.0, 2.0]]), std)).item() == 2.0
    assert law.kl(GaussianTransition(torch.tensor([[3.0001, 2.0]]), std)).item() == math.inf
    noisy = GaussianTransition(torch.tensor([[3.0, 0.0]]), 1.0)
    assert law.kl(noisy).item() == math.inf and noisy.kl(law).item() == math.inf
    mean = torch.tensor([[3.0, 1.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(GaussianTransition(mean, std).kl(law).sum(), mean)
    assert slope.tolist() == [[0.0, 1.0]]


def test_of_appending_laws_it_is_the_sum_over_next_tokens_and_0_at_the_end():
    law, other = appending(0), appending(1)
    assert (law.kl(other)[:2] > 0.1).all() and law.kl(other)[2] == 0
    torch.testing.assert_close(law.kl(other), by_outcomes(law, other))
    rows = torch.arange(3).repeat_interleave(4)
    torch.testing.assert_close(law[rows].kl(other[rows]), law.kl(other)[rows])  # places in a table
    torch.testing.assert_close(law.kl(law), torch.zeros(3, dtype=DOUBLE))


def test_of_appending_laws_of_other_texts_or_ends_it_is_infinite():
    law = appending(0)
    assert law.kl(appending(1, TEXTS.flip(0))).tolist()[::2] == [math.inf, math.inf]
    ended = appending(1, finished=torch.tensor([True, False, True]))
    assert law.kl(ended)[0] == ended.kl(law)[0] == math.inf and law.kl(ended)[1:].isfinite().all()
    logits = normal(3, 3, seed=1).index_fill(1, torch.tensor([2]), -math.inf)
    without = AppendingTransition(TEXTS, logits)
    assert law.kl(without).tolist() == [math.inf, math.inf, 0.0] and without.kl(law).isfinite().all()


def test_of_fields_it_is_the_sum_of_the_leaves_under_the_same_conditions():
    x = TensorDict({"a": torch.zeros(3, 2), "b": torch.full((3, 2), MASK), "c": torch.arange(3)}, batch_size=[3])

    def fields(seed, x=x):
        mean, logits = normal(3, 2, seed=seed), normal(3, 2, V, seed=seed + 10)
        masked = MaskedTransition(torch.full((3, 2), MASK), logits, MASK, number=1)
        return FieldTransition({"a": GaussianTransition(mean, 0.5), "b": masked}, x), mean, masked

    (law, mean, masked), (other, others_mean, others_masked) = fields(0), fields(1)
    expected = 2 * (mean - others_mean).square().sum(dim=1) + by_outcomes(masked, others_masked)
    torch.testing.assert_close(law.kl(other), expected)
    elsewhere = x.clone()
    elsewhere["c"] = torch.tensor([0, 5, 2])
    assert (law.kl(fields(1, elsewhere)[0]) == math.inf).tolist() == [False, True, False]
    with pytest.raises(TypeError, match="kl: .* got FieldTransition and FieldTransition"):
        law.kl(FieldTransition({"a": law.laws["a"]}, x))


def test_what_has_no_closed_form_says_so():
    gaussian, token = GaussianTransition(torch.zeros(3, 2), 1.0), CategoricalTransition(torch.zeros(3, 2, V))
    mixture = MixtureTransition([gaussian, gaussian], [0.5, 0.5])
    for law, other in ((gaussian, token), (mixture, mixture), (appending(0), token), (gaussian, mixture)):
        with pytest.raises(TypeError, match="kl: expected two laws whose divergence is known in closed form"):
            law.kl(other)
    with pytest.raises(TypeError, match="got AppendingTransition and AppendingTransition"):
        appending(0).kl(AppendingTransition(TEXTS, torch.zeros(3, 4)))


def test_its_gradient_is_that_of_the_sum():
    """Also with tokens that neither law has, where a difference of two infinities is none."""
    at = normal(3, 3).requires_grad_()
    forbidden = torch.tensor([0.0, 0.0, -math.inf], dtype=DOUBLE)
    law = AppendingTransition(TEXTS, at + forbidden)
    other = AppendingTransition(TEXTS, normal(3, 3, seed=1) + forbidden)
    (slope,) = torch.autograd.grad(law.kl(other).sum(), at)
    p, q = at.detach()[:, :2].softmax(dim=1), normal(3, 3, seed=1)[:, :2].softmax(dim=1)
    ratios = (p / q).log()
    by_hand = p * (ratios - (p * ratios).sum(dim=1, keepdim=True))
    torch.testing.assert_close(slope[:2, :2], by_hand[:2])
    assert not slope[:, 2].any() and not slope[2].any()
