"""Prefixes that can be completed before the buffer is full, against brute force; and what masking by them does."""

import math
import pickle
import re

import pytest
import torch
from grammar_toys import every_text, letters_reference, strings, texts, tokens_of
from test_completable import DEAD_ENDS, LANGUAGE, PROMPT, string

from svlearn.domains.language.constraints import CompletableInTime, Grammar
from svlearn.domains.language.constraints.automaton import TokenAutomaton
from svlearn.domains.language.texts import written_tokens
from svlearn.identity import identity
from svlearn.inference.proposals import Exact
from svlearn.inference.samplers import smc
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.targets import constraint
from svlearn.transitions import ListedTransition
from svlearn.values.outcomes import evaluate_outcomes
from svlearn.values.value import evaluate

LENGTH = 4


def may_be_completed(prefix, exactly=False):
    """Whether some text of the language begins so and is no longer than the buffer, or just as long."""
    return any(
        text.startswith(prefix) and (len(text) == LENGTH if exactly else len(text) <= LENGTH) for text in LANGUAGE
    )


@pytest.mark.parametrize("ends", [True, False])
def test_what_fits_as_brute_force_has_it(ends):
    """With an end token texts may be short; without, exactly as long as the buffer."""
    reference = letters_reference(seed=2) if ends else letters_reference(seed=2, end_tokens=[])
    value = CompletableInTime(Grammar.regex(DEAD_ENDS, reference))
    for t in range(LENGTH):
        prefixes = [each for each in strings("abc", LENGTH) if len(each) == t]
        x = texts(reference, PROMPT, [tokens_of(each, "abc") for each in prefixes])
        wanted = [0.0 if may_be_completed(each, not ends) else -100.0 for each in prefixes]
        assert evaluate(value, x, t).tolist() == wanted


@pytest.mark.parametrize("ends", [True, False])
def test_of_all_outcomes_as_of_each(ends):
    reference = letters_reference(seed=2) if ends else letters_reference(seed=2, end_tokens=[])
    value = CompletableInTime(Grammar.regex(DEAD_ENDS, reference))
    rows = [tokens_of(each, "abc") for each in strings("abc", 2)] + ([[0, 3], [0, 1, 3], [3], [1, 3]] if ends else [])
    for t in range(LENGTH - 1):
        kept = [row for row in rows if len(row) == t or (len(row) < t and row and row[-1] == 3)]
        x = texts(reference, PROMPT, kept)
        prediction = predict(reference, x, t)
        listed = ListedTransition(*prediction.transition.outcomes(8))
        values = evaluate_outcomes(value, x, t, type(prediction)(listed))
        each = evaluate(value, listed.states.reshape(-1), t + 1)
        assert torch.equal(values.flatten(), each) and {0.0, -100.0} == set(each.tolist())


@pytest.mark.parametrize("ends", [True, False])
def test_the_last_token_is_judged_as_the_reward_does(ends):
    """v_T of all outcomes from one look at T - 1, which no `forward` is asked for."""
    reference = letters_reference(seed=2) if ends else letters_reference(seed=2, end_tokens=[])
    grammar = Grammar.regex(DEAD_ENDS, reference)
    rows = [tokens_of(each, "abc") for each in strings("abc", 3) if len(each) == 3] + ([[0, 1, 3]] if ends else [])
    x = texts(reference, PROMPT, rows)
    prediction = predict(reference, x, 3)
    listed = ListedTransition(*prediction.transition.outcomes(8))
    values = CompletableInTime(grammar).of_outcomes(x, torch.full((len(x),), 3), type(prediction)(listed))
    assert torch.equal(values.flatten() == 0, grammar(listed.states.reshape(-1))) and bool((values == 0).any())


def test_masking_by_it_ends_in_no_dead_end_and_smc_is_right():
    reference = letters_reference(seed=2)
    grammar = Grammar.regex(DEAD_ENDS, reference)
    value = CompletableInTime(grammar)
    rows, log_probs = every_text(reference, PROMPT)
    within = torch.tensor([string(row) in LANGUAGE for row in rows])
    sampler = smc(reference, constraint(grammar), value, 8, proposal=Exact(value))
    samples = sampler.sample(2_000, condition=[PROMPT] * 2_000, generator=seeded("cpu", 5))
    assert bool((samples.rewards == 0).all())
    assert {string(row) for row in written_tokens(samples.states.flatten())} == {
        string(row) for row, inside in zip(rows, within.tolist()) if inside
    }
    estimates = samples.log_normalizer.exp()
    error = float(estimates.std()) / math.sqrt(len(estimates))
    normalizer = float(log_probs.exp()[within].sum())
    assert abs(float(estimates.mean()) - normalizer) < 3 * error and error < 0.01 * normalizer


def test_the_fewest_tokens_are_those_of_the_shortest_text():
    automaton = TokenAutomaton(Grammar.regex(DEAD_ENDS, letters_reference()))
    for prefix in strings("abc", 3):
        rest = [len(text) - len(prefix) for text in LANGUAGE if text.startswith(prefix)]
        state = automaton.after(tokens_of(prefix, "abc"))
        assert (state is None) == (not rest)
        assert not rest or automaton.fewest[state] == min(rest)
    assert re.fullmatch(DEAD_ENDS, "baaaa") and automaton.fewest[automaton.after([1])] == 4


@pytest.mark.parametrize("pattern", ["a|ab", "(a|ab)(c|bcb)?", "a+?b?", "(?i)aB|[^a]{2}", "(a{1,2}|ab|b.?)c?"])
def test_all_texts_are_known_and_not_only_the_first_match(pattern):
    automaton = TokenAutomaton(Grammar.regex(pattern, letters_reference()))
    for text in strings("abc", 4):
        state = automaton.after(tokens_of(text, "abc"))
        assert (state in automaton.accepting) == bool(re.fullmatch(pattern, text)), text


WITH_EMPTY = ["(?:ab)*", "(?:a|bb)?", "a*(?:bc)?", "(?:(?:a|b)(?:a|b))*|c"]


@pytest.mark.parametrize(
    ("pattern", "ends"), [("", True), *((each, ends) for each in WITH_EMPTY for ends in (True, False))]
)
def test_a_language_with_the_empty_text_as_brute_force_has_it(pattern, ends):
    """Of every prefix that may stand at t, and of every next token; without an end token no text can be empty."""
    reference = letters_reference(seed=2) if ends else letters_reference(seed=2, end_tokens=[])
    value = CompletableInTime(Grammar.regex(pattern, reference))
    language = {each for each in strings("abc", LENGTH) if re.fullmatch(pattern, each)}
    reached = {text for text in language if ends or len(text) == LENGTH}
    for t in range(LENGTH):
        prefixes = [each for each in strings("abc", LENGTH) if len(each) == t]
        rows = [tokens_of(each, "abc") for each in prefixes]
        wanted = [0.0 if any(text.startswith(each) for text in reached) else -100.0 for each in prefixes]
        if ends and t:  # what has ended now, the empty text among it
            whole = [each for each in strings("abc", LENGTH) if len(each) == t - 1]
            rows += [[*tokens_of(each, "abc"), 3] for each in whole]
            wanted += [0.0 if each in language else -100.0 for each in whole]
        x = texts(reference, PROMPT, rows)
        assert evaluate(value, x, t).tolist() == wanted
        listed = ListedTransition(*predict(reference, x, t).transition.outcomes(8))
        times = torch.full((len(x),), t)
        said = value.of_outcomes(x, times, type(predict(reference, x, t))(listed))
        after = listed.states.reshape(-1)
        each = value.grammar(after) if t + 1 == LENGTH else evaluate(value, after, t + 1) == 0
        assert torch.equal(said.flatten() == 0, each)


def test_locally_masked_texts_of_a_language_with_the_empty_text_are_all_in_it():
    reference = letters_reference(seed=2)
    grammar = Grammar.regex("(?:ab)*", reference)
    value = CompletableInTime(grammar)
    rows, log_probs = every_text(reference, PROMPT)
    within = torch.tensor([re.fullmatch("(?:ab)*", string(row)) is not None for row in rows])
    sampler = smc(reference, constraint(grammar), value, 8, proposal=Exact(value, last="value"))
    samples = sampler.sample(1_000, condition=[PROMPT] * 1_000, generator=seeded("cpu", 5))
    assert bool((samples.rewards == 0).all())
    assert {string(row) for row in written_tokens(samples.states.flatten())} == {"", "ab", "abab"}
    estimates = samples.log_normalizer.exp()
    error = float(estimates.std()) / math.sqrt(len(estimates))
    assert abs(float(estimates.mean()) - float(log_probs.exp()[within].sum())) < 3 * error


def test_another_grammar_is_refused_and_it_travels():
    reference = letters_reference()
    with pytest.raises(ValueError, match=r"grammar: expected a Grammar.regex, .* got Grammar.lark"):
        CompletableInTime(Grammar.lark('start: "a" start | "b"', reference))
    with pytest.raises(
        ValueError, match=r"(?s)a regular expression that outlines-core compiles, got '\(\?x\)a # b': .*"
    ):
        CompletableInTime(Grammar.regex("(?x)a # b", reference))
    value = CompletableInTime(Grammar.regex("ab{2,}", reference))
    x = texts(reference, "ab", [[0, 1], [1, 0]])
    read = pickle.loads(pickle.dumps(value))
    assert torch.equal(evaluate(read, x, 2), evaluate(value, x, 2)) and identity(read) == identity(value)
