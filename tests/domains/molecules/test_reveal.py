"""The law of a step of the graph diffusion, by enumeration of all states that it can reach."""

import itertools
import math

import pytest
import torch

from svlearn.domains.molecules.graph import MASKED_ATOM, MASKED_BOND, from_places, graph_state, to_places
from svlearn.domains.molecules.reveal import RevealTransition


def half_drawn(batch_size=1):
    """Three atoms of which one does not exist: atoms (N, masked, -), bonds (masked, -, -)."""
    return graph_state(
        torch.tensor([[1, MASKED_ATOM, 0]]).expand(batch_size, -1).clone(),
        torch.tensor([[MASKED_BOND, 0, 0]]).expand(batch_size, -1).clone(),
        torch.tensor([[True, True, False]]).expand(batch_size, -1).clone(),
    )


def masked(batch_size=1, num_atoms=3):
    mask = torch.ones(batch_size, num_atoms, dtype=torch.bool)
    pairs = num_atoms * (num_atoms - 1) // 2
    return graph_state(
        torch.full((batch_size, num_atoms), MASKED_ATOM), torch.full((batch_size, pairs), MASKED_BOND), mask
    )


def law(x, num_atoms, num_bonds, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size, n, pairs = len(x), x["atoms"].shape[1], x["bonds"].shape[1]
    atoms = torch.randn(1, n, 4, generator=generator, dtype=torch.float64).expand(size, -1, -1)
    bonds = torch.randn(1, pairs, 4, generator=generator, dtype=torch.float64).expand(size, -1, -1)
    log_probs = torch.cat([atoms, bonds], dim=1).log_softmax(-1)
    numbers = torch.tensor([[num_atoms, num_bonds]]).expand(size, -1)
    return RevealTransition(to_places(x), x["mask"], log_probs, numbers)


def every_state(x):
    """All states that keep what is decided, however much they decide."""
    choices = []
    for name, token in (("atoms", MASKED_ATOM), ("bonds", MASKED_BOND)):
        choices += [range(5) if value == token else [value] for value in x[name][0].tolist()]
    rows = torch.tensor(list(itertools.product(*choices)))
    n = x["atoms"].shape[1]
    return graph_state(rows[:, :n], rows[:, n:], x["mask"].expand(len(rows), -1).clone())


@pytest.mark.parametrize(("num_atoms", "num_bonds"), [(0, 0), (1, 0), (0, 1), (2, 0), (1, 2), (3, 3)])
def test_probabilities_sum_to_one_over_all_states(num_atoms, num_bonds):
    states = every_state(masked())
    step = law(masked(), num_atoms, num_bonds)[torch.zeros(len(states), dtype=torch.long)]
    assert step.log_prob(states).exp().sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize(("num_atoms", "num_bonds"), [(2, 1), (1, 0), (1, 1), (0, 2)])
def test_frequencies_are_the_probabilities(num_atoms, num_bonds, each):
    """Of one draw for each of many rows, or of many from one; a single place and its token are one draw."""
    number = 60_000
    step, generator = law(masked(number), num_atoms, num_bonds), torch.Generator().manual_seed(1)
    drawn = step.sample(generator=generator)
    if each:
        drawn = step[:1].sample_each(torch.zeros(number, dtype=torch.long), generator=generator)
    rows = to_places(drawn)
    distinct, first, counts = rows.unique(dim=0, return_inverse=True, return_counts=True)
    where = torch.zeros(len(distinct), dtype=torch.long).scatter_(0, first, torch.arange(number))
    p = step.log_prob(drawn)[where].exp()
    error = (p * (1 - p) / number).sqrt()
    assert ((counts / number - p).abs() <= 5 * error).all()  # hundreds of states: five standard errors, not four
    assert p.sum() > 0.99


def test_rows_that_decide_nothing_stay_beside_some_that_do():
    """By turns one atom or none: half of the rows change, in one place, and the bonds of none."""
    x = masked(400)
    step = law(x, 1, 0)
    step.numbers = torch.tensor([[1, 0], [0, 0]]).repeat(200, 1)
    drawn = step.sample(generator=torch.Generator().manual_seed(0))
    assert torch.equal((drawn["atoms"] != MASKED_ATOM).sum(dim=1), step.numbers[:, 0])
    assert torch.equal(drawn["bonds"], x["bonds"])
    places = (drawn["atoms"][::2] != MASKED_ATOM).int().argmax(dim=1).bincount()
    assert len(places) == 3 and places.min() > 40


@pytest.mark.parametrize(("num_atoms", "num_bonds"), [(1, 0), (0, 1), (2, 1)])
def test_draws_for_each_row_are_those_of_its_copies(num_atoms, num_bonds):
    step, parents = law(masked(4), num_atoms, num_bonds), torch.arange(4).repeat_interleave(3)
    own = 3 * torch.randn(4, 6, 4, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    step.log_probs = own.log_softmax(dim=2)  # each row has a law of its own
    one, other = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    drawn, copied = step.sample_each(parents, generator=one), step[parents].sample(generator=other)
    assert torch.equal(to_places(drawn), to_places(copied)) and torch.equal(drawn["mask"], copied["mask"])
    assert torch.equal(one.get_state(), other.get_state())


def test_what_is_decided_stays_and_places_without_atoms_too():
    x = half_drawn(500)
    drawn = law(x, 1, 1).sample(generator=torch.Generator().manual_seed(0))
    assert (drawn["atoms"][:, 0] == 1).all() and (drawn["atoms"][:, 1] < MASKED_ATOM).all()
    assert (drawn["atoms"][:, 2] == 0).all() and (drawn["bonds"][:, 1:] == 0).all()
    assert torch.equal(drawn["mask"], x["mask"])
    assert (x["atoms"][:, 1] == MASKED_ATOM).all()  # and the state it came from is as it was


@pytest.mark.parametrize("spoil", ["changes a decided atom", "decides too little", "gives a place without an atom one"])
def test_states_out_of_reach_have_no_probability(spoil):
    x, x_next = half_drawn(), half_drawn()
    x_next["atoms"][0, 1] = 2
    assert law(x, 1, 0).log_prob(x_next).item() > -math.inf
    if spoil == "changes a decided atom":
        x_next["atoms"][0, 0] = 3
    elif spoil == "decides too little":
        x_next["atoms"][0, 1] = MASKED_ATOM
    else:
        x_next["atoms"][0, 2] = 2
    assert law(x, 1, 0).log_prob(x_next).item() == -math.inf
    assert law(x, 1, 0).log_ratio(law(x, 1, 0, seed=1), x_next).item() == -math.inf


def test_log_ratio_is_the_difference_of_log_probs():
    x = masked(200)
    p, q = law(x, 2, 1), law(x, 2, 1, seed=5)
    x_next = q.sample(generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(p.log_ratio(q, x_next), p.log_prob(x_next) - q.log_prob(x_next))
    slope = torch.randn(p.log_probs.shape, generator=torch.Generator().manual_seed(4))
    tilted = p.tilt(from_places(torch.cat([slope, slope[..., :1]], dim=2), x["mask"]))
    drawn = tilted.sample(generator=torch.Generator().manual_seed(5))
    expected = p.log_prob(drawn) - tilted.log_prob(drawn)
    torch.testing.assert_close(p.log_ratio(tilted, drawn), expected, rtol=0, atol=1e-12)
    assert (p.log_ratio(tilted, x) == -math.inf).all()  # which neither reaches
    more = law(x, 3, 1, seed=5)
    reached = p.sample(generator=torch.Generator().manual_seed(3))
    assert (p.log_ratio(more, reached) == math.inf).all()


def test_rows_can_be_taken_and_joined():
    x = masked(6)
    x["atoms"][3:, 0] = 1
    step = law(x, 1, 0)
    x_next = step.sample(generator=torch.Generator().manual_seed(0))
    expected = step.log_prob(x_next)
    index = torch.tensor([5, 0, 5])
    assert torch.equal(step[index].log_prob(x_next[index]), expected[index])
    assert torch.equal(RevealTransition.cat([step[:4], step[4:]]).log_prob(x_next), expected)
