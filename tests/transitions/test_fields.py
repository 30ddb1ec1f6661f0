"""Laws of parts of a state: against their factors, enumeration, and two oracles that run side by side."""

import math

import pytest
import torch
from tensordict import TensorDict

import svlearn as sv
from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.inference.proposals import Exact, Guided
from svlearn.randomness import seeded
from svlearn.transitions import CategoricalTransition, FieldTransition, GaussianTransition, ListedTransition

GAUSSIAN, MARKOV = LinearGaussianChain.random(2, 4, seed=1), FiniteMarkovChain.random(3, 4, seed=2)


class Pair(sv.Reference):
    """Both oracles at once, with a label that no step changes: r = r_gaussian + r_markov, so log Z adds up."""

    num_steps = 4

    def initial(self, batch_size, *, condition=None, generator=None):
        x = GAUSSIAN.initial(batch_size, generator=generator)
        s = MARKOV.initial(batch_size, generator=generator)
        label = torch.arange(batch_size)
        return TensorDict({"x": x, "inner": {"s": s}, "label": label}, batch_size=[batch_size])

    def forward(self, x, t, previous=None):
        one, two = GAUSSIAN(x["x"], t), MARKOV(x["inner", "s"], t)
        law = FieldTransition({"x": one.transition, ("inner", "s"): two.transition}, x)
        clean = x.copy()
        clean["x"], clean["inner", "s"] = one.clean, two.clean
        return sv.Prediction(law, clean=clean)


class Sum(sv.Value):
    """The exact soft value of the pair: that of both oracles, added."""

    def __init__(self, alpha):
        super().__init__()
        self.one, self.two = GAUSSIAN.soft_value(alpha), MARKOV.soft_value(alpha)

    def forward(self, x, t, prediction=None):
        return self.one(x["x"], t) + self.two(x["inner", "s"], t)


def target(alpha=0.7):
    return sv.Target(lambda x: GAUSSIAN.reward(x["x"]) + MARKOV.reward(x["inner", "s"]), alpha)


def pair(size=5, seed=0):
    generator = seeded("cpu", seed)
    mean = torch.randn(size, 2, generator=generator, dtype=torch.float64)
    logits = torch.randn(size, 1, 3, generator=generator, dtype=torch.float64)
    x = TensorDict(
        {"x": mean, "s": torch.zeros(size, 1, dtype=torch.long), "prompt": torch.arange(2 * size).view(size, 2)},
        batch_size=[size],
    )
    return x, {"x": GaussianTransition(mean, 0.5), "s": CategoricalTransition(logits)}


def test_log_prob_is_the_sum_over_the_leaves_and_conditions_stay():
    x, laws = pair()
    law = FieldTransition(laws, x)
    drawn = law.sample(generator=seeded("cpu", 1))
    assert torch.equal(drawn["prompt"], x["prompt"]) and drawn.batch_size == x.batch_size
    torch.testing.assert_close(law.log_prob(drawn), laws["x"].log_prob(drawn["x"]) + laws["s"].log_prob(drawn["s"]))
    other = drawn.clone()
    other["prompt"][2, 1] += 1
    assert law.log_prob(other).isneginf().tolist() == [False, False, True, False, False]
    assert law.log_ratio(law, other).tolist() == [0.0, 0.0, -math.inf, 0.0, 0.0]


def test_several_draws_of_a_row_are_those_of_its_copies_to_the_bit():
    x, laws = pair()
    law, parents = FieldTransition(laws, x), torch.arange(5).repeat_interleave(3)
    several = law.sample_each(parents, generator=seeded("cpu", 3))
    copies = law[parents].sample(generator=seeded("cpu", 3))
    assert torch.equal(several["prompt"], copies["prompt"])
    assert torch.equal(several["x"], copies["x"]) and torch.equal(several["s"], copies["s"])


def test_rows_and_their_union():
    x, laws = pair()
    law = FieldTransition(laws, x)
    drawn = law.sample(generator=seeded("cpu", 1))
    index = torch.tensor([3, 0, 3])
    assert torch.equal(law[index].log_prob(drawn[index]), law.log_prob(drawn)[index])
    joined = FieldTransition.cat([law[:2], law[2:]])
    assert torch.equal(joined.log_prob(drawn), law.log_prob(drawn))


def test_log_ratio_is_the_sum_over_leaves_and_infinite_where_one_side_cannot():
    x, laws = pair()
    p = FieldTransition(laws, x)
    q = p.tilt(TensorDict({"x": torch.ones(5, 2, dtype=torch.float64)}, batch_size=[5]))
    assert q.laws["s"] is laws["s"]
    drawn = q.sample(generator=seeded("cpu", 2))
    torch.testing.assert_close(p.log_ratio(q, drawn), p.log_prob(drawn) - q.log_prob(drawn))
    impossible = laws["s"].log_probs.clone()
    impossible[:, :, 1] = -math.inf
    r = FieldTransition({"x": laws["x"], "s": CategoricalTransition(impossible)}, x)
    drawn["s"][:] = 1
    assert r.log_ratio(p, drawn).isneginf().all() and p.log_ratio(r, drawn).isposinf().all()


def test_outcomes_are_the_product_of_those_of_the_leaves():
    x, laws = pair()
    listed = ListedTransition(torch.stack([x["x"], x["x"] + 1], dim=1), torch.zeros(5, 2))
    law = FieldTransition({"x": listed, "s": laws["s"]}, x)
    states, log_probs = law.outcomes(6)
    assert states.batch_size == torch.Size([5, 6]) and torch.equal(
        states["prompt"], x["prompt"][:, None].expand(-1, 6, -1)
    )
    torch.testing.assert_close(log_probs.exp().sum(dim=1), torch.ones(5, dtype=torch.float64))
    flat = states.flatten(0, 1)
    torch.testing.assert_close(law[torch.arange(5).repeat_interleave(6)].log_prob(flat).view(5, 6), log_probs)
    with pytest.raises(ValueError, match="outcomes: 6 next states, the limit is 5"):
        law.outcomes(5)


def test_what_cannot_be_tilted_moves_as_it_would():
    x, laws = pair()
    listed = ListedTransition(x["x"][:, None], torch.zeros(5, 1))
    with pytest.raises(TypeError, match="expansion_point: no leaf can be tilted by a gradient: ListedTransition"):
        FieldTransition({"x": listed}, x).expansion_point(x)
    point = FieldTransition({"x": listed, "s": laws["s"]}, x).expansion_point(x)
    assert torch.equal(point["x"], x["x"]) and point["s"].shape == (5, 1, 3)


def test_bad_arguments():
    x, laws = pair()
    with pytest.raises(ValueError, match="laws: expected a Transition for at least one leaf"):
        FieldTransition({}, x)
    with pytest.raises(TypeError, match=r"laws\['x'\]: expected a Transition, got Tensor"):
        FieldTransition({"x": x["x"]}, x)
    with pytest.raises(TypeError, match="x: expected the TensorDict that the laws are given, or None, got Tensor"):
        FieldTransition(laws, x["x"])


def test_without_conditions_a_state_has_the_named_leaves_alone():
    _, laws = pair()
    law = FieldTransition(laws)
    drawn = law.sample(generator=seeded("cpu", 1))
    assert set(drawn.keys()) == {"x", "s"} and drawn.batch_size == torch.Size([5])
    assert law.log_prob(drawn).isfinite().all()


@pytest.mark.parametrize("proposal", [None, "guided"])
def test_two_oracles_side_by_side_have_the_sum_of_their_log_normalizers(proposal):
    alpha = 0.7
    exact = float(GAUSSIAN.log_normalizer(alpha) + MARKOV.log_normalizer(alpha))
    guided = None if proposal is None else Guided(Sum(alpha))
    samples = sv.smc(Pair(), target(alpha), Sum(alpha), 16, proposal=guided).sample(1500, generator=seeded("cpu", 7))
    ratios = (samples.log_normalizer - exact).exp()
    assert (ratios.mean() - 1).abs() < 4 * ratios.std() / math.sqrt(len(ratios))
    groups = samples.states["label"] // 16  # each particle keeps its label, and no group gets one of another
    assert torch.equal(groups, torch.arange(1500)[:, None].expand(-1, 16))


def test_exact_steps_of_a_state_with_conditions_leave_nothing_to_weigh():
    class Tokens(Pair):
        def forward(self, x, t, previous=None):
            two = MARKOV(x["inner", "s"], t)
            return sv.Prediction(FieldTransition({("inner", "s"): two.transition}, x))

    value = MARKOV.soft_value(0.7)

    class OfTokens(sv.Value):
        def forward(self, x, t, prediction=None):
            return value(x["inner", "s"], t)

    aim = sv.Target(lambda x: MARKOV.reward(x["inner", "s"]), 0.7)
    samples = sv.smc(Tokens(), aim, OfTokens(), 1, proposal=Exact(OfTokens())).sample(64, generator=seeded("cpu", 5))
    start = samples.log_normalizer  # w_T = exp(v_0(x_0)/alpha): it varies with x_0 alone
    known = torch.stack([value(torch.tensor([[k]]), torch.tensor([0]))[0] for k in range(3)]) / 0.7
    assert (start[:, None] - known).abs().min(dim=1).values.max() < 1e-9
