"""Grammars over tokens against brute force: which tokens may follow a prefix, where it may end, what is a text."""

import json
import re

import pytest
import torch
from grammar_toys import byte_tokenizer, letters_reference, strings, texts, tokens_of
from language_toys import tiny_llama

from svlearn.domains.language import CausalLM, stories
from svlearn.domains.language.constraints import Grammar

REGEXES = ["ab|cc*", "(a|b)*c", "a{3}|b{2}", "(ab)*", "", "[ab]?c.b?", "((a|bb)c)+"]
SIX = {"x-guidance": {"whitespace_flexible": False}, "type": "array", "items": {"enum": [1, 11]}, "maxItems": 2}


def check(grammar, letters, language, longest):
    """Masks, ends and membership of every prefix of at most `longest` letters against the language, a set of texts."""
    begun = {text[:place] for text in language for place in range(len(text) + 1)}
    end = len(letters)
    for prefix in strings(letters, longest):
        tokens = tokens_of(prefix, letters)
        assert grammar.completes(tokens) == (prefix in begun), prefix
        assert grammar.accepts(tokens) == grammar.accepts([*tokens, end]) == (prefix in language), prefix
        assert grammar.completes([*tokens, end]) == (prefix in language), prefix
        wanted = [prefix + letter in begun for letter in letters] + [prefix in language]
        assert grammar.next_tokens(tokens).tolist() == wanted, prefix
        assert not grammar.completes([*tokens, end, 0]) and not grammar.next_tokens([*tokens, end]).any()


@pytest.mark.parametrize("pattern", REGEXES)
def test_a_regular_expression_as_python_matches_all_strings(pattern):
    """Every prefix of four letters; the language is known up to seven, which completes each of them."""
    language = {text for text in strings("abc", 7) if re.fullmatch(pattern, text)}
    assert language
    check(Grammar.regex(pattern, letters_reference()), "abc", language, 4)


def test_a_json_schema_as_json_reads_all_strings():
    letters = '[]1,"'

    def fits(text):
        try:
            read = json.loads(text)
        except json.JSONDecodeError:
            return False
        return isinstance(read, list) and len(read) <= 2 and all(each in (1, 11) for each in read)

    language = {text for text in strings(letters, 7) if fits(text)}
    assert language == {"[]", "[1]", "[11]", "[1,1]", "[11,1]", "[1,11]", "[11,11]"}
    reference = letters_reference(letters)
    check(Grammar.json_schema(SIX, reference), letters, language, 5)
    name = Grammar.json_schema(SIX, reference).name
    assert Grammar.json_schema(json.dumps(SIX), reference).name == name
    reference.tokenizer.backend_tokenizer.enable_truncation(1)  # as a call with truncation leaves it
    assert Grammar.json_schema(SIX, reference).name == name


def test_a_context_free_grammar_as_counting_matches_all_strings():
    """Pairs of a and b around at least one c; no regular expression says so."""
    language = {"a" * n + "c" * m + "b" * n for n in range(6) for m in range(1, 7)}
    grammar = Grammar.lark('start: "a" start "b" | many\nmany: "c" many | "c"', letters_reference())
    check(grammar, "abc", language, 4)


def test_finished_texts_are_in_the_language_as_a_whole():
    reference = letters_reference()
    grammar = Grammar.regex("ab*", reference)
    rows = [[0, 3], [0, 1, 1, 1], [0, 1, 1, 2], [3], [0, 1, 3], [1, 3], []]
    states = texts(reference, "ab", rows)
    assert grammar(states).tolist() == [True, True, False, False, True, False, False]
    assert grammar(states[[3, 0, 0]]).tolist() == [False, True, True]


def test_a_stop_string_is_part_of_the_text():
    reference = letters_reference("abcdef", stop_strings=["bc"])  # transformers 4 wants all six for its own search
    rows = [[0, 1, 2], [0, 0, 1, 2]]
    states = texts(reference, "a", rows)
    assert bool(reference.finished(states).all())
    assert Grammar.regex("a*bc", reference)(states).tolist() == [True, True]
    assert Grammar.regex("a*", reference)(states).tolist() == [False, False]


@pytest.mark.parametrize("named", [True, False])
def test_without_an_end_token_a_text_fills_its_buffer(named):
    """Whether the tokenizer has a token of that name or not: its first token is none, then."""
    model, tokenizer = tiny_llama(), byte_tokenizer() if named else byte_tokenizer("abcd", end=False)
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token = None
    with pytest.warns(UserWarning, match="neither it nor the model has an end token"):
        reference = CausalLM(model, tokenizer, 4).requires_grad_(False)
    grammar = Grammar.regex("a*", reference)
    assert grammar.next_tokens([0]).tolist() == [True, False, False, False]
    assert grammar(texts(reference, "a", [[0] * 4, [0, 0, 0, 1]])).tolist() == [True, False]


def test_tokens_of_the_model_beyond_the_tokenizer_s_write_nothing():
    reference = CausalLM(tiny_llama(7), byte_tokenizer(), 4, end_tokens=[3]).requires_grad_(False)
    grammar = Grammar.regex("a*", reference)
    assert grammar.next_tokens([0]).tolist() == [True, False, False, True, False, False, False]
    assert not any(grammar.accepts([token]) for token in (1, 2, 4, 5, 6))
    assert grammar(texts(reference, "a", [[0, 4], [4], [0, 3]])).tolist() == [False, False, True]


def test_an_end_token_may_write_something():
    """A full stop that ends a text is no part of it, and nothing is the text before."""
    grammar = Grammar.regex("(ab*c?)+", letters_reference("ab", end_tokens=[1]))
    assert grammar.next_tokens([0]).tolist() == [True, True, False]
    assert grammar.accepts([0, 1]) and not grammar.completes([0, 1, 0]) and not grammar.completes([1])


def test_few_are_remembered_and_all_are_right():
    grammar, other = (Grammar.regex("(a|b)*c", letters_reference()) for _ in range(2))
    grammar.matchers.kept = 3
    prefixes = [tokens_of(each, "abc") for each in strings("abc", 4)]
    order = torch.randperm(len(prefixes), generator=torch.Generator().manual_seed(0)).tolist()
    for place in order:
        assert grammar.completes(prefixes[place]) == other.completes(prefixes[place])
        assert torch.equal(grammar.next_tokens(prefixes[place]), other.next_tokens(prefixes[place]))
        assert len(grammar.matchers._known) <= 3


@pytest.mark.parametrize("kind", ["regex", "json_schema", "lark"])
def test_a_text_that_must_come_may_be_cut_as_the_tokenizer_would_not(kind):
    """After c only ab may follow, which is a token, or two."""
    tokenizer = byte_tokenizer('abc"', merged=["ab"])
    reference = CausalLM(tiny_llama(6), tokenizer, 4, end_tokens=[4]).requires_grad_(False)
    text, before = {
        "regex": ("cab", [2]),
        "lark": ('start: "c" "ab"', [2]),
        "json_schema": ('{"const": "cab"}', [3, 2]),
    }[kind]
    grammar = Grammar(kind, text, reference)
    assert grammar.next_tokens(before).nonzero().flatten().tolist() == [0, 5]
    assert grammar.completes([*before, 0, 1]) and grammar.completes([*before, 5])


def test_all_ways_to_cut_a_text_into_real_tokens_are_known(assets):
    """Of stories260k: after every prefix a token may follow where its letters go on with a text, bytes too."""
    assets("language/stories260K.bin"), assets("language/tok512.bin")
    reference = stories.load(max_new_tokens=4)
    grammar = Grammar.regex(r" (sad|glad)\.", reference)
    written = [each.replace("▁", " ") for each in reference.tokenizer.convert_ids_to_tokens(range(512))]
    written = [chr(int(each[3:-1], 16)) if each.startswith("<0x") else each for each in written]
    begun = {text[:place] for text in (" sad.", " glad.") for place in range(1, len(text) + 1)}
    ways, whole = [[]], 0
    while ways:
        longer = []
        for way in ways:
            text = "".join(written[token] for token in way)
            after = [token for token in range(3, 512) if text + written[token] in begun]
            assert grammar.next_tokens(way).nonzero().flatten().tolist() == [
                *([1, 2] if text.endswith(".") else []),
                *after,
            ]
            longer += [[*way, token] for token in after]
            whole += text.endswith(".")
        ways = longer
    assert whole > 100
