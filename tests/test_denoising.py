"""The losses of a prediction of x_T: by hand, by enumeration of the laws, and what is refused."""

import math

import pytest
import torch
from tensordict import TensorDict

from svlearn.denoising import likelihood_loss, next_step_loss, squared_loss, unmasking_loss
from svlearn.domains.analytic import TokenTree
from svlearn.policies import Finetuned
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.schedules import NoiseLevels
from svlearn.transitions import (
    AppendingTransition,
    CategoricalTransition,
    FieldTransition,
    GaussianTransition,
    MaskedTransition,
)

DOUBLE, MASK, LOG2 = torch.float64, 2, math.log(2)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded("cpu", seed), dtype=DOUBLE)


def masked(logits, x=((MASK, MASK, 0),), **how):
    law = MaskedTransition(torch.tensor(x), logits, MASK, **how)
    return Prediction(law, clean=law.most_probable(), clean_law=law.completed())


def test_the_likelihood_of_the_places_that_are_masked_by_hand():
    logits = torch.tensor([[[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]]], dtype=DOUBLE).log()
    found = likelihood_loss(torch.tensor([[1, 0, 0]]), masked(logits, probability=0.4))
    assert found.item() == pytest.approx(-math.log(0.75) + LOG2)


def expectation(known, loss):
    """Over all the states that a law can unmask."""
    states, log_probs = known.clean_law.outcomes(100)
    losses = torch.stack([loss(states[:, place]) for place in range(states.shape[1])], dim=1)
    return (log_probs.exp() * losses).sum(dim=1)


def entropy(known):
    return expectation(known, lambda x: -known.clean_law.log_prob(x))


def test_against_another_prediction_it_is_the_expectation_less_the_entropy():
    known, own = (masked(drawn(1, 3, 2, seed=seed), number=1) for seed in (1, 2))
    torch.testing.assert_close(
        likelihood_loss(known, own), expectation(known, lambda x: likelihood_loss(x, own)) - entropy(known)
    )
    torch.testing.assert_close(
        unmasking_loss(known, own), 0.5 * (expectation(known, lambda x: likelihood_loss(x, own)) - entropy(known))
    )


def test_unmasking_weighs_by_the_share_of_a_step_leaf_by_leaf():
    x = TensorDict({"a": torch.full((2, 3), MASK), "b": torch.full((2, 2), MASK), "c": torch.ones(2)}, [2])
    x_T = TensorDict({"a": torch.tensor([[0, 1, 1]] * 2), "b": torch.tensor([[1, 0]] * 2), "c": torch.ones(2)}, [2])
    laws = {
        "a": MaskedTransition(x["a"], drawn(2, 3, 2), MASK, number=torch.tensor([1, 3])),
        "b": MaskedTransition(x["b"], drawn(2, 2, 2), MASK, probability=torch.tensor([0.0, 0.25])),
    }
    completed = {name: law.completed() for name, law in laws.items()}
    prediction = Prediction(FieldTransition(laws, x), clean_law=FieldTransition(completed, x))
    terms = {name: -law.log_prob(x_T[name]) for name, law in completed.items()}
    wanted = torch.tensor([1 / 3, 1.0]) * terms["a"] + torch.tensor([0.0, 0.25]) * terms["b"]
    torch.testing.assert_close(unmasking_loss(x_T, prediction), wanted)
    torch.testing.assert_close(likelihood_loss(x_T, prediction), terms["a"] + terms["b"])
    assert unmasking_loss(prediction, prediction).abs().max() < 1e-12


def test_the_kl_of_laws_of_leaves_is_the_sum_and_infinite_under_another_condition():
    x = TensorDict({"a": torch.full((2, 2), MASK), "c": torch.tensor([0.0, 1.0])}, [2])

    def law(seed, conditions):
        completed = MaskedTransition(x["a"], drawn(2, 2, 2, seed=seed), MASK, number=2)
        return FieldTransition({"a": completed}, x.clone().set("c", torch.tensor(conditions)))

    one, other = law(1, [0.0, 1.0]), law(2, [0.0, 1.0])
    torch.testing.assert_close(one.kl(other), one.laws["a"].kl(other.laws["a"]))
    assert (one.kl(other) > 0.01).all()
    assert one.kl(law(2, [0.0, 3.0])).isinf().tolist() == [False, True]
    with pytest.raises(TypeError, match="got FieldTransition and GaussianTransition"):
        one.kl(GaussianTransition(torch.zeros(2, 1), 1.0))


def test_the_kl_of_the_next_token_by_enumeration():
    x = torch.tensor([[0, 5, 1], [1, 1, 2], [1, 5, 1]])
    one, other = (AppendingTransition(x, drawn(3, 4, seed=seed), end=None) for seed in (1, 2))
    states, log_probs = one.outcomes(10)
    others = torch.stack([other.log_prob(states[:, place]) for place in range(states.shape[1])], dim=1)
    possible = log_probs > -math.inf
    wanted = torch.where(possible, log_probs.exp() * (log_probs - others), 0.0).sum(dim=1)
    torch.testing.assert_close(one.kl(other), wanted)
    assert one.kl(other)[1] == 0 and one.kl(other)[0] > 0.1
    elsewhere = AppendingTransition(torch.tensor([[0, 5, 1], [1, 1, 2], [0, 5, 1]]), drawn(3, 4))
    assert one.kl(elsewhere).isinf().tolist() == [False, False, True]
    with pytest.raises(TypeError, match="got AppendingTransition and CategoricalTransition"):
        one.kl(CategoricalTransition(drawn(3, 3, 4)))


def test_the_next_tokens_of_a_text_make_up_its_likelihood():
    tree = TokenTree.random(num_tokens=3, length=3, seed=0, end=2)
    texts, log_probs = tree.leaves()
    possible = log_probs > -math.inf
    texts, total = texts[possible], torch.zeros(int(possible.sum()), dtype=DOUBLE)
    for step in range(3):
        t = torch.full((len(texts),), step)
        x = tree.noise(texts, torch.full_like(t, 3), t)
        losses = tree.denoising_loss(texts, x, t, tree(x, t))
        torch.testing.assert_close(losses, next_step_loss(tree, texts, t, tree(x, t)))
        total += losses
        assert next_step_loss(tree, tree(x, t), t, tree(x, t)).abs().max() < 1e-12
    torch.testing.assert_close(total, -log_probs[possible])


class Diffusion(Reference):
    """x̂_T = w x_t, Gaussian steps."""

    num_steps = 2

    def __init__(self, levels=None, **parts):
        super().__init__()
        self.weight, self.parts = torch.nn.Parameter(torch.tensor(0.5, dtype=DOUBLE)), parts
        if levels is not None:
            self.noise_levels = lambda: levels

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 2, dtype=DOUBLE)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(self.weight * x, 1.0), **{"clean": self.weight * x, **self.parts})


X, X_T, TIMES = torch.tensor([[2.0, 4.0]] * 2, dtype=DOUBLE), torch.ones(2, 2, dtype=DOUBLE), torch.tensor([0, 1])


def test_the_squared_error_by_hand_and_by_its_schedule():
    plain, levels = Diffusion(), NoiseLevels(torch.tensor([0.5, 0.8, 1.0]), torch.tensor([0.9, 0.5, 0.0]))
    assert plain.denoising_loss(X_T, X, TIMES, plain(X, TIMES)).tolist() == [0.5, 0.5]  # clean (1, 2)
    known = Diffusion(levels)
    found = known.denoising_loss(X_T, X, TIMES, known(X, TIMES))
    assert found.tolist() == pytest.approx([0.5 / 0.81, 0.5 / 0.25])
    assert squared_loss(known(X, TIMES), known(X, TIMES)).tolist() == [0, 0]
    point = Diffusion(NoiseLevels(torch.tensor([0.0, 0.8, 1.0]), torch.tensor([0.0, 0.5, 0.0])))
    assert point.denoising_loss(X_T, X, TIMES, point(X, TIMES))[0] == 0.5


def test_a_policy_has_the_loss_of_its_reference():
    reference = Diffusion(NoiseLevels(torch.tensor([0.5, 0.8, 1.0]), torch.tensor([0.9, 0.5, 0.0])))
    policy = Finetuned(reference)
    losses = policy.denoising_loss(X_T, X, TIMES, policy(X, TIMES))
    assert torch.equal(losses, reference.denoising_loss(X_T, X, TIMES, reference(X, TIMES)))
    losses.sum().backward()
    assert policy.copy.weight.grad != 0 and reference.weight.grad is None


@pytest.mark.parametrize(("clean", "came"), [(None, "neither"), (torch.ones(2, 2).long(), "a clean of whole numbers")])
def test_what_has_no_loss_is_told_what_to_write(clean, came):
    reference = Diffusion(clean=clean)
    with pytest.raises(TypeError, match=f"Diffusion: expected predictions with a clean_law.* got {came}.*write one"):
        reference.denoising_loss(X_T, X, TIMES, reference(X, TIMES))


def test_the_losses_name_what_a_prediction_lacks():
    none = Prediction(GaussianTransition(X, 1.0))
    with pytest.raises(TypeError, match="clean_law: expected a prediction with a law"):
        likelihood_loss(X_T, none)
    with pytest.raises(TypeError, match="clean: expected a prediction with a point"):
        squared_loss(X_T, none)
    law = masked(drawn(1, 3, 2), number=1).clean_law
    with pytest.raises(TypeError, match="transition: expected a MaskedTransition, got GaussianTransition"):
        unmasking_loss(torch.zeros(1, 3).long(), Prediction(GaussianTransition(X, 1.0), clean_law=law))
