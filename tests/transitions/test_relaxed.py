"""Soft one-hots whose largest share is a draw of the law, and divergences against sums over all outcomes."""

import math

import pytest
import torch
from masked_toys import DOUBLE, MASK, V

from svlearn.randomness import seeded
from svlearn.transitions import CategoricalTransition, GaussianTransition, MaskedTransition
from svlearn.transitions.relaxed import categorical_kl, gumbel_softmax

X = torch.tensor([[MASK, 1, MASK], [MASK, MASK, MASK], [0, 1, 2]])
MANY = 20_000


def logits(seed, scale=1.0):
    return scale * torch.randn(3, 3, V, generator=seeded("cpu", seed), dtype=DOUBLE)


def by_outcomes(law, other):
    states, log_probs = law.outcomes(10_000)
    others = torch.stack([other.log_prob(x) for x in states.unbind(dim=1)], dim=1)
    return torch.where(log_probs > -math.inf, log_probs.exp() * (log_probs - others), 0.0).sum(dim=1)


@pytest.mark.parametrize("pair", [({"number": 2}, {"number": 2}), ({"probability": 0.3}, {"probability": 0.6})])
def test_the_divergence_of_masked_steps_is_the_sum_over_what_they_reach(pair):
    law, other = (MaskedTransition(X, logits(seed), MASK, **choice) for seed, choice in enumerate(pair))
    kl = law.kl(other)
    assert kl.shape == (3,) and kl.dtype == DOUBLE and (kl[:2] > 0.1).all() and kl[2] == 0
    torch.testing.assert_close(kl, by_outcomes(law, other))
    assert law.kl(law).abs().max() < 1e-12


def test_the_divergence_is_infinite_where_the_other_does_not_reach():
    law = MaskedTransition(X, logits(0), MASK, number=2)
    assert law.kl(MaskedTransition(X, logits(0), MASK, number=1)).tolist() == [math.inf, math.inf, 0.0]
    assert law.kl(MaskedTransition(X.flip(0), logits(0), MASK, number=2))[0] == math.inf
    forbidden = logits(0).index_fill(2, torch.tensor([1]), -math.inf)
    without = MaskedTransition(X, forbidden, MASK, number=2)
    assert law.kl(without).tolist() == [math.inf, math.inf, 0.0]
    assert without.kl(law).isfinite().all() and torch.allclose(without.kl(law), by_outcomes(without, law))
    never = MaskedTransition(X, logits(0), MASK, probability=0.0)
    assert never.kl(MaskedTransition(X, forbidden, MASK, probability=0.0)).tolist() == [0.0, 0.0, 0.0]


def test_the_divergence_of_categorical_steps_is_the_sum_over_what_they_reach():
    law, other = (CategoricalTransition(logits(seed)) for seed in (0, 1))
    torch.testing.assert_close(law.kl(other), by_outcomes(law, other))
    half = torch.tensor([[0.5, 0.5, 0.0]]).log()
    assert categorical_kl(half, torch.tensor([[0.25, 0.75, 0.0]]).log()).item() == pytest.approx(0.5 * math.log(4 / 3))


def test_laws_without_a_closed_form_or_tokens_say_so():
    masked, gaussian = MaskedTransition(X, logits(0), MASK, number=2), GaussianTransition(torch.zeros(3, 3), 1.0)
    with pytest.raises(TypeError, match="kl: .* got MaskedTransition and GaussianTransition"):
        masked.kl(gaussian)
    with pytest.raises(TypeError, match="kl: .* got MaskedTransition and MaskedTransition"):
        masked.kl(MaskedTransition(X, logits(0), MASK, probability=0.5))
    with pytest.raises(TypeError, match="rsample_relaxed: GaussianTransition cannot be relaxed"):
        gaussian.rsample_relaxed(torch.zeros(3, 3), 1.0)


@pytest.mark.parametrize("temperature", [0.1, 3.0])
def test_the_largest_share_is_a_draw_and_all_of_them_in_the_limit(temperature):
    probs = torch.tensor([0.6, 0.3, 0.1, 0.0], dtype=DOUBLE)
    soft = gumbel_softmax(probs.log().expand(MANY, -1), temperature, seeded("cpu", 0))
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(MANY, dtype=DOUBLE))
    shares = soft.argmax(dim=1).bincount(minlength=4) / MANY
    assert ((shares - probs).abs() <= 4 * (probs * (1 - probs) / MANY).sqrt()).all()
    assert soft[:, 3].abs().max() == 0
    assert bool((soft.amax(dim=1).mean() > 0.95) == (temperature < 1))


@pytest.mark.parametrize("choice", [{"number": 2}, {"number": torch.tensor([1, 3, 0])}, {"probability": 0.4}])
def test_a_relaxed_step_unmasks_as_the_step_does(choice):
    """The most probable tokens of soft one-hots, with the mask's, have the step's law, row by row."""
    law = MaskedTransition(X, logits(2, 0.5), MASK, **choice)
    point, size, generator = law.expansion_point(X), 4000, seeded("cpu", 1)
    soft = torch.stack([law.rsample_relaxed(point, 2.0, generator=generator) for _ in range(size)])
    torch.testing.assert_close(soft.sum(dim=3), torch.ones(size, 3, 3, dtype=DOUBLE))
    assert set(soft[..., MASK].unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(soft[:, X != MASK], point[X != MASK].expand(size, -1, -1))
    states, log_probs = law.outcomes(10_000)
    drawn = soft.argmax(dim=3)
    for row in range(3):
        probs = log_probs[row].exp()
        shares = (drawn[:, row, None] == states[row]).all(dim=2).double().mean(dim=0)
        assert (shares - probs)[probs > 0].abs().sum() < 4 * (2 / math.pi * (probs > 0).sum() / size).sqrt()
        assert shares[probs > 0].sum() == pytest.approx(1)


def test_a_gradient_flows_to_the_law_and_to_the_state():
    at = logits(3).requires_grad_()
    law = MaskedTransition(X, at, MASK, number=1)
    point = law.expansion_point(X).requires_grad_()
    weights = torch.randn(3, 3, V + 1, generator=seeded("cpu", 4), dtype=DOUBLE)
    of_law, of_state = torch.autograd.grad(
        (law.rsample_relaxed(point, 1.0, generator=seeded("cpu", 5)) * weights).sum(), [at, point]
    )
    chosen = (of_state == 0).all(dim=2)  # what is newly unmasked is the law's
    assert chosen.sum(dim=1).tolist() == [1, 1, 0]
    assert torch.equal(of_state[~chosen], weights[~chosen])
    assert torch.equal((of_law != 0).any(dim=2), chosen)


def test_places_of_any_shape_and_a_mask_among_the_tokens():
    x = torch.tensor([[[1, 0], [1, 2]]])  # the mask is token 1 of three
    law = MaskedTransition(x, torch.zeros(1, 2, 2, 3, dtype=DOUBLE), 1, number=2)
    soft = law.rsample_relaxed(law.expansion_point(x), 0.5, generator=seeded("cpu", 6))
    assert soft.shape == (1, 2, 2, 3) and soft[..., 1].abs().max() == 0 and soft[0, :, 0].min(dim=1).values.max() < 0.5
    redrawn = CategoricalTransition(logits(7))
    again = redrawn.rsample_relaxed(redrawn.expansion_point(torch.zeros(3, 3).long()), 0.5, generator=seeded("cpu", 8))
    assert again.shape == (3, 3, V) and torch.allclose(again.sum(dim=2), torch.ones(3, 3, dtype=DOUBLE))


@pytest.mark.parametrize("other", [0.0, 1.0])
def test_a_row_without_a_mask_has_no_choice_to_diverge_in(other):
    """0 places times an infinite divergence is 0; beside it a row that has a place."""
    x, logits = torch.tensor([[1, 2], [3, 3]]), torch.zeros(2, 2, 3)
    p, q = (MaskedTransition(x, logits, 3, probability=share) for share in (0.5, other))
    assert p.kl(q).tolist() == [0.0, float("inf")]
