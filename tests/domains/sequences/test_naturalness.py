"""What a comparison says of sequences beside their reward: against enumeration and numbers worked out by hand."""

import itertools
import math
import re

import pytest
import torch
from sequence_toys import ABC, LENGTH, all_states, rewards, toy

import svlearn as sv
from svlearn.domains.sequences import metrics
from svlearn.domains.sequences.metrics import bits_per_letter, describe, mean_edit_distance, uniqueness
from svlearn.domains.sequences.naturalness import WordCorrelation


def distance(one: str, other: str) -> int:
    """Levenshtein's recursion, as it is written."""
    if not one or not other:
        return len(one) + len(other)
    replaced = distance(one[1:], other[1:]) + (one[0] != other[0])
    return min(distance(one[1:], other) + 1, distance(one, other[1:]) + 1, replaced)


def test_the_edit_distance_is_the_mean_over_all_pairs():
    assert mean_edit_distance(["abab", "baba", "abab"]) == pytest.approx((2 + 2 + 0) / 3)  # shifted by one, not four
    sequences = ABC.decode(all_states(3)[::7])
    each = [distance(*pair) for pair in itertools.combinations(sequences, 2)]
    assert mean_edit_distance(sequences) == pytest.approx(sum(each) / len(each))
    assert math.isnan(mean_edit_distance(["ab"]))


def test_of_many_pairs_some_are_drawn_uniformly_and_the_same_each_time():
    sequences = ABC.decode(all_states(3))
    each = torch.tensor([float(distance(*pair)) for pair in itertools.combinations(sequences, 2)])
    some = mean_edit_distance(sequences, max_pairs=3000)
    error = float(each.std()) / math.sqrt(3000)
    assert abs(some - float(each.mean())) < 4 * error and some != float(each.mean())
    assert some == mean_edit_distance(sequences, max_pairs=3000)
    unlike = [4 * letter for letter in "abcdefghij"]
    assert mean_edit_distance(unlike, max_pairs=40) == 4.0  # none is paired with itself


def test_doubles_are_counted():
    assert uniqueness(["aa", "ab", "aa", "aa"]) == 0.5 and math.isnan(uniqueness([]))
    with pytest.raises(TypeError, match="sequences: expected a list of str or None, got one str"):
        uniqueness("abc")


def test_a_reference_describes_its_samples():
    reference, sequences = toy("one_place"), ABC.decode(all_states(3)[:20])
    figures = reference.describe(sequences)
    assert list(figures) == ["bits_per_letter", "bits_per_letter_standard_error", "uniqueness", "edit_distance"]
    bits = bits_per_letter(reference, all_states(3)[:20], metrics.NUM_MASKINGS)
    assert (figures["bits_per_letter"], figures["bits_per_letter_standard_error"]) == bits
    assert figures["uniqueness"] == 1.0 and figures["edit_distance"] == mean_edit_distance(sequences)


def test_of_many_samples_the_bits_are_of_some_from_first_to_last(monkeypatch):
    """As of several conditions, whose samples follow one another."""
    monkeypatch.setattr(metrics, "MAX_BOUNDED", 3)
    reference, sequences = toy("one_place"), ABC.decode(all_states(3))
    chosen = bits_per_letter(reference, all_states(3)[[0, 40, 80]], metrics.NUM_MASKINGS)[0]
    assert describe(reference, sequences)["bits_per_letter"] == chosen


def test_one_sample_has_no_error_and_no_distance():
    figures = toy().describe(["abca"])
    assert math.isfinite(figures["bits_per_letter"]) and math.isnan(figures["bits_per_letter_standard_error"])
    assert math.isnan(figures["edit_distance"])


def test_what_is_not_finished_has_no_bits():
    with pytest.raises(ValueError, match=r"tokens\[1\]: expected a finished sequence, got one with masked places"):
        toy().describe(["abca", "ab_a"])


def test_a_comparison_shows_bits_with_their_error_and_a_logo_of_each_sampler(tmp_path):
    reference = toy()
    target = sv.Target(rewards, alpha=0.5)
    samplers = {"plain": sv.ancestral(reference, target), "best": sv.best_of_n(reference, target, 4)}
    comparison = sv.compare(samplers, 30, judges={"begins with b": lambda x: x[:, 0] == 1})
    assert not comparison.notes
    page = comparison.to_html(tmp_path / "page.html").read_text()
    assert re.search(r'<th scope="col"[^>]*>Bits per letter</th>', page) and page.count('class="all"') == 2
    assert "Begins with b" in comparison.to_markdown() and "No picture" not in page


def test_words_are_correlated_where_letters_are_drawn(assets):
    """The flanks of the vector, which are the same in all, are left out: with them any sequences would correlate."""
    assets("promoters/yeast_promoters_demo.tsv")
    from svlearn.domains.sequences.data import read

    metric = WordCorrelation("yeast-promoters")
    train, held_out = read("yeast-promoters")
    assert metric(train) == pytest.approx(1.0) and 0.5 < metric(held_out) < 1.0
    source = metric.source
    repeated = source.fixed.replace("_" * 80, "ACGGTTCA" * 10)
    assert metric([repeated] * 2) < 0.3
    assert metric.data.shape[1] == 80
    with pytest.raises(ValueError, match=r"sequences\[0\]: expected 110 letters, got 3"):
        metric(["ACG"])


def test_words_have_a_source_and_fit_it():
    with pytest.raises(ValueError, match="name: expected one of utr5, .*got 'none'"):
        WordCorrelation("none")
    with pytest.raises(ValueError, match="length: expected 80 at most, got 81"):
        WordCorrelation("yeast-promoters", 81)


def test_the_length_is_that_of_the_reference():
    assert LENGTH == 4
    with pytest.raises(ValueError, match=r"sequences\[0\]: expected 4 letters, got 3"):
        toy().describe(["abc"])
