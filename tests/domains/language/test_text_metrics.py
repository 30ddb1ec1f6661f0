"""Figures of texts against numbers worked out by hand."""

import math
import sys

import pytest

from svlearn.domains.language.metrics import describe, distinct, mean_length, self_bleu, uniqueness


class Said(str):
    """A text that knows its prompt."""

    def __new__(cls, prompt, continuation):
        text = super().__new__(cls, prompt + continuation)
        text.prompt, text.continuation = prompt, continuation
        return text


def test_different_runs_of_words():
    texts = ["a dog, a cat", "a dog", "the-dog"]
    # 10 words and signs: a dog , a cat | a dog | the - dog, of which a, dog, ",", cat, the, "-" are different
    assert distinct(texts) == pytest.approx(6 / 10)
    # pairs: a-dog dog-, ,-a a-cat | a-dog | the-- --dog
    assert distinct(texts, 2) == pytest.approx(6 / 7)
    assert distinct(texts, 3) == 1.0 and math.isnan(distinct(texts, 6)) and math.isnan(distinct(["", ""]))
    assert distinct(["A a"]) == 1.0


def test_the_length_and_the_uniqueness():
    texts = ["a dog, a cat", "", "  a\ndog ", ""]
    assert mean_length(texts) == pytest.approx(6 / 4) and uniqueness(texts) == 0.75
    assert math.isnan(mean_length([])) and math.isnan(uniqueness([]))


def test_self_bleu_by_hand():
    pytest.importorskip("nltk", reason="needs nltk: the extra `language`")
    # 4 of 5 words, 3 of 4 pairs, 2 of 3 triples and 1 of 2 fours are in the other
    assert self_bleu(["a b c d e", "a b c d f"]) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # a shorter one pays exp(1 - 6/4) and has 4/4, 3/3, 2/2, 1/1; the longer one 4/6, 3/5, 2/4, 1/3
    pair = [math.exp(1 - 6 / 4), (4 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25]
    assert self_bleu(["a b c d", "a b c d e f"]) == pytest.approx(sum(pair) / 2)
    # no four in common: 0.1 in the place of 0
    assert self_bleu(["a b c d", "a b c e"]) == pytest.approx((3 / 4 * 2 / 3 * 1 / 2 * 0.1 / 1) ** 0.25)
    assert self_bleu(["the dog was sad"] * 3) == pytest.approx(1.0)
    assert self_bleu(["a b c d", ""]) == 0.0 and math.isnan(self_bleu(["a"])) and math.isnan(self_bleu([]))


def test_self_bleu_of_so_many_texts_is_of_those_spread_over_all():
    pytest.importorskip("nltk", reason="needs nltk: the extra `language`")
    texts = ["a b c d e", "x", "y", "z", "a b c d f"]
    assert self_bleu(texts, max_compared=2) == self_bleu([texts[0], texts[-1]])
    with pytest.raises(ValueError, match="max_compared: expected an integer of at least 2, got 1"):
        self_bleu(texts, max_compared=1)


def test_a_description_is_of_continuations():
    pytest.importorskip("nltk", reason="needs nltk: the extra `language`")
    texts = [Said("once upon a time, ", "a dog ran"), Said("once upon a time, ", "a cat"), "a bird"]
    figures = describe(texts)
    assert figures == describe(["a dog ran", "a cat", "a bird"])
    assert figures["distinct_1"] == pytest.approx(5 / 7) and figures["mean_length"] == pytest.approx(7 / 3)
    assert list(figures) == ["uniqueness", "distinct_1", "distinct_2", "distinct_3", "self_bleu", "mean_length"]
    assert all(math.isnan(each) for each in describe([]).values())


def test_others_are_refused(monkeypatch):
    with pytest.raises(TypeError, match="texts: expected a list of str or None, got one str"):
        distinct("a text")
    with pytest.raises(TypeError, match=r"texts\[0\]: expected a str or None, got list"):
        describe([[1, 2]])
    with pytest.raises(TypeError, match="texts: expected a str, got NoneType"):
        describe([None])
    with pytest.raises(ValueError, match="n: expected an integer of at least 1, got 0"):
        distinct(["a"], 0)
    monkeypatch.setitem(sys.modules, "nltk.translate.bleu_score", None)
    with pytest.raises(ImportError, match=r"self-BLEU needs nltk: pip install 'svlearn\[language\]'"):
        self_bleu(["a", "b"])
