"""Bits a letter, words and distances, against numbers worked out by hand and by enumeration."""

import math

import pytest
import torch
from sequence_toys import LENGTH, all_states, toy

from svlearn.domains.sequences.markov_model import MarkovModel
from svlearn.domains.sequences.metrics import (
    bits_per_letter,
    mean_hamming_distance,
    word_correlation,
    word_frequencies,
)


def test_a_markov_model_counts():
    """AAB, ABB with one more of each: p(A) = 3/4 at first; after A: A 2, B 3 of 5; after B: A 1, B 2 of 3."""
    model = MarkovModel(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, order=1)
    wanted = -(math.log2(3 / 4) + math.log2(3 / 5) + math.log2(1 / 3)) / 3
    assert model.bits(torch.tensor([[0, 1, 0]])) == pytest.approx(wanted)


def test_a_markov_model_counts_at_its_places_alone():
    """At place 2 of AAB, ABB: after A: B 1, after B: B 1, and one more of each."""
    model = MarkovModel(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 1, [2])
    assert model.bits(torch.tensor([[0, 1, 0]])) == pytest.approx(-math.log2(1 / 3))


def test_a_markov_model_of_order_zero_is_a_composition():
    model = MarkovModel(torch.tensor([[0, 0, 1, 0]]), 2, order=0)
    assert model.bits(torch.tensor([[0, 0, 0, 0]])) == pytest.approx(-math.log2(4 / 6))


def test_the_bits_are_the_bound_over_all_orders():
    """Every number of masks is asked for as often: against the mean over all 24 orders of -log2 p(x | order)/4."""
    import itertools

    reference, clean = toy("one_place"), all_states(3)[:20]
    wanted = torch.zeros(len(clean), dtype=torch.float64)
    for order in itertools.permutations(range(LENGTH)):
        x = torch.full_like(clean, 3)
        for place in order:
            logs = reference.network(x, torch.zeros(len(x))).log_softmax(dim=2)[:, place]
            wanted -= logs.gather(1, clean[:, [place]])[:, 0] / math.log(2) / LENGTH / 24
            x[:, place] = clean[:, place]
    found, error = bits_per_letter(reference, clean, num_samples=400)
    assert found == pytest.approx(float(wanted.mean()), abs=0.02)
    assert error == pytest.approx(float(wanted.std()) / math.sqrt(20), rel=0.2)


def test_words_are_counted_wherever_they_stand():
    found = word_frequencies(torch.tensor([[0, 1, 1, 0]]), 2, 2)
    assert found.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    same = torch.tensor([[0, 1, 0, 0, 1, 1, 1]])
    assert word_correlation(same, same.repeat(3, 1), 2, 2) == pytest.approx(1)
    assert word_correlation(same, 1 - same, 2, 2) < 1


def test_the_mean_distance_is_that_of_all_pairs():
    assert mean_hamming_distance(["abc", "abd", "xbd"]) == pytest.approx((1 + 2 + 1) / 3)
    assert math.isnan(mean_hamming_distance(["a"]))
