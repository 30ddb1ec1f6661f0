"""Transitions against torch.distributions, enumeration and numbers worked out by hand; what all laws have in common."""

import math

import pytest
import torch
from tensordict import TensorDict
from transition_toys import generator

from svlearn.transitions import CategoricalTransition, GaussianTransition, ListedTransition, Transition, log_normalized


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_laws_of_halves_are_computed_in_float32(dtype):
    logits = (4 * torch.randn(5, 3, 30, generator=generator())).to(dtype)
    law = CategoricalTransition(logits)
    assert law.log_probs.dtype == torch.float32
    assert torch.allclose(law.log_probs.exp().sum(-1), torch.ones(()), atol=1e-5)
    listed = ListedTransition(torch.arange(30).expand(5, 30), logits[:, 0])
    assert torch.allclose(listed.log_probs.exp().sum(-1), torch.ones((), dtype=torch.float64))
    mean, x = (torch.randn(5, 30, generator=generator(k)).to(dtype) for k in (1, 2))
    half, full = GaussianTransition(mean, 0.5), GaussianTransition(mean.double(), 0.5)
    torch.testing.assert_close(half.log_prob(x), full.log_prob(x.double()), rtol=1e-5, atol=1e-5)
    other = GaussianTransition(mean + 1, 0.25)
    exact = full.log_ratio(GaussianTransition(other.mean.double(), 0.25), x.double())
    torch.testing.assert_close(half.log_ratio(other, x), exact, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("in_a_dict", [False, True])
def test_batches_of_a_listed_law_are_joined(in_a_dict):
    states, logits = torch.arange(12.0).view(4, 3), torch.randn(4, 3, generator=generator())
    if in_a_dict:
        states = TensorDict({"number": states}, batch_size=[4, 3])
    whole = ListedTransition(states, logits)
    joined = ListedTransition.cat([whole[:1], whole[1:]])
    assert bool((joined.states == states).all())
    torch.testing.assert_close(joined.log_prob(states[:, 2]), logits.double().log_softmax(dim=1)[:, 2])


def test_categorical_probabilities_sum_to_one_over_outcomes_and_match_frequencies():
    logits = torch.randn(1, 2, 3, generator=generator(), dtype=torch.float64)
    logits[0, 0, 1] = -math.inf
    law = CategoricalTransition(logits)
    states, log_probs = law.outcomes(limit=6)
    assert states.shape == (1, 6, 2)
    assert log_probs.exp().sum().item() == pytest.approx(1.0)
    number = 40_000
    drawn = law[torch.zeros(number, dtype=torch.long)].sample(generator=generator(1))
    for state, log_prob in zip(states[0], log_probs[0], strict=True):
        p = log_prob.exp().item()
        frequency = (drawn == state).all(1).double().mean().item()
        assert abs(frequency - p) <= 4 * math.sqrt(p * (1 - p) / number)


def test_categorical_refuses_too_many_outcomes_with_their_number():
    with pytest.raises(ValueError, match="16 next states, the limit is 15"):
        CategoricalTransition(torch.zeros(1, 4, 2)).outcomes(limit=15)


def test_categorical_log_ratio_is_minus_infinity_where_self_cannot_go():
    p = CategoricalTransition(torch.tensor([[[0.0, -math.inf]]]))
    q = CategoricalTransition(torch.zeros(1, 1, 2))
    assert p.log_ratio(q, torch.tensor([[1]])).item() == -math.inf
    assert p.log_ratio(q, torch.tensor([[0]])).item() == pytest.approx(math.log(2))
    assert p.log_ratio(p, torch.tensor([[1]])).item() == -math.inf


def test_categorical_tilt_adds_to_the_logits():
    logits, gradient = torch.randn(2, 3, 2, 4, generator=generator(), dtype=torch.float64)
    expected = CategoricalTransition(logits + gradient)
    x = torch.randint(4, (3, 2), generator=generator())
    torch.testing.assert_close(CategoricalTransition(logits).tilt(gradient).log_prob(x), expected.log_prob(x))


@pytest.mark.parametrize(
    "law",
    [
        GaussianTransition(torch.randn(6, 2, generator=generator()), 0.3),
        CategoricalTransition(torch.randn(6, 2, 3, generator=generator())),
    ],
)
def test_cat_undoes_a_cut(law):
    x = law.sample(generator=generator())
    joined = type(law).cat([law[:2], law[2:5], law[5:]])
    assert torch.equal(joined.log_prob(x), law.log_prob(x))


class Coin(Transition):
    """A transition that has no more than it must."""

    def __init__(self, p):
        self.p = p

    def sample(self, *, generator=None):
        return (torch.rand(len(self.p), generator=generator) < self.p).long()

    def log_prob(self, x_next):
        return torch.where(x_next == 1, self.p, 1 - self.p).log()

    def __getitem__(self, index):
        return Coin(self.p[index])


@pytest.mark.parametrize(
    "law",
    [
        GaussianTransition(torch.randn(4, 2, 5, generator=generator()), 0.3),
        GaussianTransition(torch.randn(4, 2, 5, generator=generator()), torch.rand(4, 1, 1, generator=generator(1))),
        GaussianTransition(torch.randn(4, 3, generator=generator()), torch.rand(4, 3, generator=generator(1))),
        GaussianTransition(torch.randn(4, 3, generator=generator()), torch.rand(3, generator=generator(1))),
        CategoricalTransition(torch.randn(4, 2, 3, generator=generator())),
        Coin(torch.tensor([0.2, 0.5, 0.9, 0.5])),
    ],
)
def test_draws_for_each_row_are_those_of_its_copies(law):
    parents, one, other = torch.arange(4).repeat_interleave(7), generator(3), generator(3)
    assert torch.equal(law.sample_each(parents, generator=one), law[parents].sample(generator=other))
    assert torch.equal(one.get_state(), other.get_state())


def test_who_samples_in_a_way_of_its_own_does_so_for_each_row():
    class Rounded(GaussianTransition):
        def sample(self, *, generator=None):
            return super().sample(generator=generator).round()

        def __getitem__(self, index):
            return Rounded(self.mean[index], 2.0)

    law, parents = Rounded(torch.zeros(2, 3), 2.0), torch.tensor([0, 0, 1, 1])
    drawn = law.sample_each(parents, generator=generator())
    assert torch.equal(drawn, drawn.round()) and torch.equal(drawn, law[parents].sample(generator=generator()))
    assert drawn.abs().max() > 0


def test_a_transition_of_three_methods_has_right_defaults():
    p, q = Coin(torch.tensor([0.5, 0.0])), Coin(torch.tensor([0.25, 0.5]))
    ratio = p.log_ratio(q, torch.ones(2, dtype=torch.long))
    assert ratio[0].item() == pytest.approx(math.log(2)) and ratio[1].item() == -math.inf
    with pytest.raises(TypeError, match="tilt: Coin"):
        p.tilt(torch.zeros(2))
    with pytest.raises(ValueError, match="outcomes: Coin"):
        p.outcomes(limit=4)


@pytest.mark.parametrize("number", [2, 15, 16, 40])
def test_log_normalized_is_the_log_softmax(number):
    """Of few kinds and of many, in any number of dimensions, and its gradient."""
    logits = (5 * torch.randn(3, 4, number, generator=generator(), dtype=torch.float64)).requires_grad_()
    weights = torch.randn(3, 4, number, generator=generator(1), dtype=torch.float64)
    normalized, exact = log_normalized(logits), logits.log_softmax(dim=-1)
    assert normalized.is_contiguous()
    torch.testing.assert_close(normalized, exact, rtol=0, atol=1e-13)
    slopes = [torch.autograd.grad((weights * each).sum(), logits)[0] for each in (normalized, exact)]
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-13)
    torch.testing.assert_close(log_normalized(logits[0].detach()), exact[0].detach(), rtol=0, atol=1e-13)
