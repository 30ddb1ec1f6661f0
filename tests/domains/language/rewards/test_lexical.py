"""Constraints of words and of length, on texts whose answer is known by reading them."""

import json

import pytest
import torch
from text_toys import Letters, written

import svlearn as sv
from svlearn.description import describe
from svlearn.domains.language.rewards import Length, MustContain, MustNotContain, OnTexts
from svlearn.identity import identity
from svlearn.recipes import Context, build

TEXTS = ["Tim was sad.", "Tim was sadly late", "SAD!", "a dog, a cat", "", "under_sad", "the ice cream fell"]


@pytest.mark.parametrize(
    ("words", "options", "wanted"),
    [
        ("sad", {}, [True, False, True, False, False, False, False]),
        ("sad", dict(ignore_case=False), [True, False, False, False, False, False, False]),
        ("sad", dict(whole_words=False), [True, True, True, False, False, True, False]),
        (["a", "cat"], {}, [False, False, False, True, False, False, False]),
        (["Tim", "LATE"], {}, [False, True, False, False, False, False, False]),
        ("ice cream", {}, [False, False, False, False, False, False, True]),
        ("sad.", {}, [True, False, False, False, False, False, False]),
        (".", {}, [True, False, False, False, False, False, False]),
    ],
)
def test_words_are_found(words, options, wanted):
    assert MustContain(words, **options)(TEXTS).tolist() == wanted
    several = [words] if isinstance(words, str) else words
    none = [not any(MustContain(each, **options)([text]).item() for each in several) for text in TEXTS]
    assert MustNotContain(words, **options)(TEXTS).tolist() == none


def test_letters_of_other_scripts_are_letters():
    assert MustContain("straße")(["Die STRAßE", "Straßenbahn"]).tolist() == [True, False]
    assert MustContain("猫")(["猫 ", "黒猫"]).tolist() == [True, False]
    assert MustContain("猫", whole_words=False)(["黒猫"]).tolist() == [True]


@pytest.mark.parametrize(
    ("length", "wanted"),
    [
        (Length(3), [True, True, False, True, False, False, True]),
        (Length(0, 2), [False, False, True, False, True, True, False]),
        (Length(4, 4), [False, True, False, True, False, False, True]),
        (Length(9, 12, "characters"), [True, False, False, True, False, True, False]),
    ],
)
def test_lengths(length, wanted):
    assert length(TEXTS).tolist() == wanted


def test_no_text_is_no_answer():
    for predicate in (MustContain("a"), MustNotContain(["a", "b"]), Length(1)):
        assert predicate([]).shape == (0,) and predicate([]).dtype == torch.bool


def test_a_predicate_of_texts_is_a_constraint_of_states():
    target = sv.targets.constraint(OnTexts(Letters(), MustNotContain("a"), of="continuation"))
    assert target(written("a bb", "bbaa", prompt="a ")).tolist() == [-float("inf"), 0.0]


@pytest.mark.parametrize(
    "predicate",
    [MustContain(["a", "b"], whole_words=False), MustNotContain("b"), Length(2, 3), Length(2, unit="words")],
)
def test_a_predicate_is_built_again(predicate):
    reference = Letters()
    recipe = json.loads(json.dumps(describe(OnTexts(reference, predicate), reference, "reward")))
    again = build(recipe, Context(defaults={"reference": reference}), "reward")
    assert again.reward == predicate and again.name == OnTexts(reference, predicate).name
    assert {again.reward: 1.0}[predicate] == 1.0


def test_predicates_that_differ_have_other_identities():
    several = [
        MustContain("a"),
        MustNotContain("a"),
        MustContain("b"),
        MustContain("a", False),
        Length(1),
        Length(1, 2),
    ]
    assert len({*map(identity, several)}) == len(several)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda: MustContain([]), ValueError, r"words: expected one at least, none of them empty, got \[\]"),
        (lambda: MustContain(["a", " "]), ValueError, "none of them empty, got"),
        (lambda: MustNotContain(""), ValueError, "none of them empty, got"),
        (lambda: MustContain(["a", 1]), TypeError, r"words\[1\]: expected a name \(a str\), got int"),
        (lambda: MustContain(3), TypeError, "words: expected a list of names, got int"),
        (lambda: Length(3, 2), ValueError, "highest: expected None or an integer of at least 3, got 2"),
        (lambda: Length(-1), ValueError, "lowest: expected an integer of at least 0, got -1"),
        (lambda: Length(1, unit="tokens"), ValueError, "unit: expected one of words, characters, got 'tokens'"),
    ],
)
def test_what_is_no_constraint_is_refused(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong()
