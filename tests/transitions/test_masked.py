"""The law of a step of a masked diffusion, by enumeration of all states that it can reach."""

import itertools
import math

import pytest
import torch
from tensordict import TensorDict

import svlearn as sv
from svlearn.inference.proposals import Exact
from svlearn.randomness import seeded
from svlearn.transitions import FieldTransition, MaskedTransition

MASK, V, DOUBLE = 4, 4, torch.float64
LEAVES = ("nodes", "edges")


def masked(batch_size=1):
    """Three nodes and three edges, as of a graph, all masked, and a label that no step changes."""
    leaves = {name: torch.full((batch_size, 3), MASK) for name in LEAVES}
    return TensorDict({**leaves, "label": torch.arange(batch_size)}, [batch_size])


def half_drawn(batch_size=1):
    """Of each leaf one place is masked; the others hold tokens, as what is given or is no place of this graph."""
    x = masked(batch_size)
    x["nodes"], x["edges"] = (torch.tensor([row]).repeat(batch_size, 1) for row in ([1, MASK, 0], [MASK, 0, 0]))
    return x


def law(x, num_nodes, num_edges, seed=0):
    """k of each leaf's places, or the probability of each where the number is a float."""
    generator, laws = seeded("cpu", seed), {}
    for name, number in zip(LEAVES, (num_nodes, num_edges)):
        logits = torch.randn(1, 3, V, generator=generator, dtype=DOUBLE).expand(len(x), -1, -1)
        which = {"probability" if isinstance(number, float) else "number": number}
        laws[name] = MaskedTransition(x[name], logits, MASK, **which)
    return FieldTransition(laws, x)


def every_state(x):
    """All states that keep what is unmasked, however much they unmask."""
    choices = []
    for name in LEAVES:
        choices += [range(V + 1) if value == MASK else [value] for value in x[name][0].tolist()]
    rows = torch.tensor(list(itertools.product(*choices)))
    return TensorDict({"nodes": rows[:, :3], "edges": rows[:, 3:], "label": torch.zeros(len(rows)).long()}, [len(rows)])


def rows_of(x):
    return torch.cat([x["nodes"], x["edges"]], dim=1)


STEPS = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 2), (3, 3), (7, 1), (0.3, 1), (0.0, 0.8), (1.0, 0.5)]


@pytest.mark.parametrize(("num_nodes", "num_edges"), STEPS)
def test_probabilities_sum_to_one_over_all_states(num_nodes, num_edges):
    states = every_state(masked())
    step = law(masked(), num_nodes, num_edges)[torch.zeros(len(states), dtype=torch.long)]
    assert step.log_prob(states).exp().sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize(("num_nodes", "num_edges"), [(2, 1), (1, 0), (1, 1), (0, 2), (0.4, 0), (0.2, 1)])
def test_frequencies_are_the_probabilities(num_nodes, num_edges, each):
    """Of one draw for each of many rows, or of many from one; a single place and its token are one draw."""
    number = 60_000
    x = masked(number)
    x["label"][:] = 0
    step, generator = law(x, num_nodes, num_edges), seeded("cpu", 1)
    drawn = step.sample(generator=generator)
    if each:
        drawn = step[:1].sample_each(torch.zeros(number, dtype=torch.long), generator=generator)
    distinct, first, counts = rows_of(drawn).unique(dim=0, return_inverse=True, return_counts=True)
    where = torch.zeros(len(distinct), dtype=torch.long).scatter_(0, first, torch.arange(number))
    p = step.log_prob(drawn)[where].exp()
    error = (p * (1 - p) / number).sqrt()
    often = p * number > 5  # the counts of rarer ones are not normal
    assert ((counts / number - p).abs() <= 5 * error)[often].all()  # hundreds of states: five standard errors, not four
    assert p.sum() > 0.99


def test_the_two_ways_by_hand():
    """Two masked places of three, tokens a (1/4) and b (3/4): one of them, and each with probability 0.2."""
    x = torch.tensor([[2, 0, 2]])
    logits = torch.tensor([0.25, 0.75]).log().expand(1, 3, 2)
    after = torch.tensor([[1, 0, 2], [1, 0, 0], [2, 0, 2], [2, 1, 0], [1, 0, 7]])
    one = MaskedTransition(x, logits, 2, number=1)[torch.zeros(5, dtype=torch.long)]
    assert one.log_prob(after).exp().tolist() == pytest.approx([0.375, 0, 0, 0, 0])
    alone = MaskedTransition(x, logits, 2, probability=0.2)[torch.zeros(5, dtype=torch.long)]
    expected = [0.2 * 0.75 * 0.8, 0.2 * 0.75 * 0.2 * 0.25, 0.64, 0, 0]
    assert alone.log_prob(after).exp().tolist() == pytest.approx(expected)
    assert one.log_ratio(alone, after)[0].item() == pytest.approx(math.log(0.375 / 0.12))
    assert one.log_ratio(alone, after)[1:].isneginf().all()
    assert alone.log_ratio(one, after)[1:3].isposinf().all() and alone.log_ratio(one, after)[3:].isneginf().all()


def test_rows_that_unmask_nothing_stay_beside_some_that_do():
    """By turns one node or none: half of the rows change, in one place, and the edges of none."""
    x, number = masked(400), torch.tensor([1, 0]).repeat(200)
    drawn = law(x, number, 0).sample(generator=seeded("cpu", 0))
    assert torch.equal((drawn["nodes"] != MASK).sum(dim=1), number)
    assert torch.equal(drawn["edges"], x["edges"])
    places = (drawn["nodes"][::2] != MASK).int().argmax(dim=1).bincount()
    assert len(places) == 3 and places.min() > 40


@pytest.mark.parametrize(("num_nodes", "num_edges"), [(1, 0), (0, 1), (2, 1), (0.5, 0.5)])
def test_draws_for_each_row_are_those_of_its_copies(num_nodes, num_edges):
    step, parents = law(masked(4), num_nodes, num_edges), torch.arange(4).repeat_interleave(3)
    for name in LEAVES:  # each row has a law of its own
        step.laws[name] = step.laws[name].tilt(3 * torch.randn(4, 3, V, generator=seeded("cpu", 7), dtype=DOUBLE))
    one, other = seeded("cpu", 3), seeded("cpu", 3)
    drawn, copied = step.sample_each(parents, generator=one), step[parents].sample(generator=other)
    assert torch.equal(rows_of(drawn), rows_of(copied)) and torch.equal(drawn["label"], copied["label"])
    assert torch.equal(one.get_state(), other.get_state())


@pytest.mark.parametrize("number", [1, 1.0, 5])
def test_given_places_stay(number):
    x = half_drawn(500)
    drawn = law(x, number, number).sample(generator=seeded("cpu", 0))
    assert (drawn["nodes"][:, 0] == 1).all() and (drawn["nodes"][:, 1] < MASK).all()
    assert (drawn["nodes"][:, 2] == 0).all() and (drawn["edges"][:, 1:] == 0).all()
    assert torch.equal(drawn["label"], x["label"])
    assert (x["nodes"][:, 1] == MASK).all()  # and the state it came from is as it was


@pytest.mark.parametrize("spoil", ["changes a given place", "unmasks too little", "changes the label", "has no token"])
def test_states_out_of_reach_have_no_probability(spoil):
    x, x_next = half_drawn(), half_drawn()
    x_next["nodes"][0, 1] = 2
    assert law(x, 1, 0).log_prob(x_next).item() > -math.inf
    if spoil == "changes a given place":
        x_next["nodes"][0, 0] = 3
    elif spoil == "unmasks too little":
        x_next["nodes"][0, 1] = MASK
    elif spoil == "has no token":
        x_next["nodes"][0, 1] = MASK + 1
    else:
        x_next["label"][0] = 2
    for one, other in ((law(x, 1, 0), law(x, 1, 0, seed=1)), (law(x, 1.0, 0.0), law(x, 1.0, 0.0, seed=1))):
        assert one.log_prob(x_next).item() == -math.inf
        assert one.log_ratio(other, x_next).item() == -math.inf


@pytest.mark.parametrize(("num_nodes", "num_edges"), [(2, 1), (0.7, 0.4)])
def test_log_ratio_is_the_difference_of_log_probs(num_nodes, num_edges):
    x = masked(200)
    p, q = law(x, num_nodes, num_edges), law(x, num_nodes, num_edges, seed=5)
    x_next = q.sample(generator=seeded("cpu", 2))
    torch.testing.assert_close(p.log_ratio(q, x_next), p.log_prob(x_next) - q.log_prob(x_next))
    slope = torch.randn(200, 3, V + 1, generator=seeded("cpu", 4), dtype=DOUBLE)
    tilted = p.tilt(TensorDict({"nodes": slope, "edges": -slope}, [200]))
    drawn = tilted.sample(generator=seeded("cpu", 5))
    expected = p.log_prob(drawn) - tilted.log_prob(drawn)
    torch.testing.assert_close(p.log_ratio(tilted, drawn), expected, rtol=0, atol=1e-12)
    by_hand = p.laws["nodes"].log_probs + slope[..., :V]
    torch.testing.assert_close(tilted.laws["nodes"].log_probs, by_hand.log_softmax(-1))


def test_laws_that_unmask_other_numbers_never_meet():
    x = masked(200)
    p, more = law(x, 2, 1), law(x, 3, 1, seed=5)
    reached = p.sample(generator=seeded("cpu", 3))
    assert (p.log_ratio(more, reached) == math.inf).all()
    assert (more.log_ratio(p, reached) == -math.inf).all()
    tilted = p.tilt(TensorDict({"nodes": torch.ones(200, 3, V)}, [200]))
    assert (p.log_ratio(tilted, x) == -math.inf).all()  # which neither reaches


def test_rows_can_be_taken_and_joined():
    x = masked(6)
    x["nodes"][3:, 0] = 1
    for step in (law(x, 1, 0), law(x, 0.5, 2)):
        x_next = step.sample(generator=seeded("cpu", 0))
        expected, index = step.log_prob(x_next), torch.tensor([5, 0, 5])
        assert torch.equal(step[index].log_prob(x_next[index]), expected[index])
        assert torch.equal(FieldTransition.cat([step[:4], step[4:]]).log_prob(x_next), expected)


@pytest.mark.parametrize(("num_nodes", "num_edges"), [(1, 0), (2, 1), (0.5, 1), (1.0, 0.0)])
def test_outcomes_are_all_there_is(num_nodes, num_edges):
    """Of rows with other numbers of masked places too: those of a row have its log_prob, and sum to 1."""
    x = torch.cat([masked(1), half_drawn(1)])
    step = law(x, num_nodes, num_edges)
    states, log_probs = step.outcomes(60_000)
    number = log_probs.shape[1]
    torch.testing.assert_close(log_probs.exp().sum(dim=1), torch.ones(2, dtype=DOUBLE))
    repeated = step[torch.arange(2).repeat_interleave(number)].log_prob(states.flatten(0, 1)).view(2, number)
    possible = log_probs > -math.inf
    torch.testing.assert_close(repeated[possible], log_probs[possible])
    for row, some in enumerate(possible):
        assert len(rows_of(states[row][some]).unique(dim=0)) == int(some.sum())
    for name in LEAVES:
        listed, of_leaf = step.laws[name].outcomes(200)
        filled = listed[of_leaf == -math.inf]
        assert torch.equal(filled, x[name][(of_leaf == -math.inf).nonzero()[:, 0]])
    with pytest.raises(ValueError, match=f"outcomes: {number} next states, the limit is {number - 1}"):
        step.outcomes(number - 1)


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


def test_the_completed_law_and_the_most_probable_state():
    x = half_drawn(3)
    step = law(x, 0, 0.1).laws["edges"]
    whole = step.completed()
    drawn = whole.sample(generator=seeded("cpu", 0))
    assert (drawn != MASK).all() and (drawn[:, 1:] == 0).all()
    torch.testing.assert_close(whole.log_prob(drawn), step.log_probs[torch.arange(3), 0, drawn[:, 0]])
    assert torch.equal(step.most_probable()[:, 0], step.log_probs[:, 0].argmax(dim=1))


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


def test_bad_arguments_are_named():
    x, logits = torch.full((2, 3), MASK), torch.zeros(2, 3, V)
    with pytest.raises(TypeError, match="x: expected token ids"):
        MaskedTransition(x.float(), logits, MASK, number=1)
    with pytest.raises(TypeError, match="logits: expected a float tensor"):
        MaskedTransition(x, x, MASK, number=1)
    with pytest.raises(ValueError, match=r"logits: expected \(B, ..., V\) .*got \(2, 3\) and \(2, 2, 4\)"):
        MaskedTransition(x, logits[:, :2], MASK, number=1)
    for given, came in (({}, "neither"), ({"number": 1, "probability": 0.5}, "both")):
        with pytest.raises(ValueError, match=f"number, probability: expected one of them, got {came}"):
            MaskedTransition(x, logits, MASK, **given)
    with pytest.raises(ValueError, match="number: expected at least 0, got -1"):
        MaskedTransition(x, logits, MASK, number=-1)
    with pytest.raises(TypeError, match="number: expected whole numbers"):
        MaskedTransition(x, logits, MASK, number=0.5)
    with pytest.raises(ValueError, match=r"number: expected a number or shape \(2,\), got \(3,\)"):
        MaskedTransition(x, logits, MASK, number=torch.ones(3).long())
    for probability in (1.5, math.nan):
        with pytest.raises(ValueError, match="probability: expected numbers from 0 to 1"):
            MaskedTransition(x, logits, MASK, probability=probability)


def test_log_ratio_of_laws_of_other_states_counts_the_places_that_each_unmasks():
    """One has place 0 already, the other unmasks it too: log 0.5 + log(3/4) less log 0.5 - log(3/4) - log(1/4)."""
    x_next = torch.tensor([[0, 1]])
    logits = torch.tensor([[[0.75, 0.25], [0.25, 0.75]]], dtype=torch.float64).log()
    one = MaskedTransition(torch.tensor([[0, 2]]), logits, 2, probability=0.5)
    other = MaskedTransition(torch.tensor([[2, 2]]), logits, 2, probability=0.5)
    assert one.log_ratio(other, x_next).item() == pytest.approx(-math.log(0.5) - math.log(0.75))
    assert other.log_ratio(one, x_next).item() == pytest.approx(math.log(0.5) + math.log(0.75))
