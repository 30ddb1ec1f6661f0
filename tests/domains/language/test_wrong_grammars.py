"""What is wrong with a grammar is said where it is made; what tells grammars apart, and that they travel."""

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from grammar_toys import letters_reference, texts
from language_toys import tiny_reference

from svlearn.domains.language.constraints import Completable, Constraint, Grammar
from svlearn.domains.language.constraints.matchers import Matchers
from svlearn.identity import identity
from svlearn.process import predict
from svlearn.transitions import ListedTransition
from svlearn.values.outcomes import evaluate_outcomes
from svlearn.values.value import evaluate

REFERENCE = letters_reference()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Grammar.regex("a(", REFERENCE),
            r"regex: expected .* llguidance compiles, got 'a\(': .*unclosed group",
        ),
        (lambda: Grammar.regex("a(?=b)", REFERENCE), "regex: expected .*look-around"),
        (lambda: Grammar.lark("begin: 'a'", REFERENCE), "lark: expected a grammar in Lark's format .* got \"begin"),
        (lambda: Grammar.lark('start: "a" rest', REFERENCE), 'lark: expected .*unknown name: "rest"'),
        (lambda: Grammar.json_schema({"type": "arrayy"}, REFERENCE), "json_schema: expected .*Invalid type: arrayy"),
        (lambda: Grammar.json_schema("{a", REFERENCE), "schema: expected a dict or JSON, got a text that is none"),
        (lambda: Grammar("regexp", "a", REFERENCE), "kind: expected one of regex, json_schema, lark, got 'regexp'"),
        (lambda: Grammar.regex("d", REFERENCE), "regex: expected .* got one that accepts nothing: 'd'"),
        (lambda: Grammar.regex(r"[^\s\S]", REFERENCE), "accepts nothing"),
        (lambda: Completable(Grammar.regex("a", REFERENCE), 0.0), "floor: expected a finite number below 0, got 0.0"),
    ],
)
def test_what_is_wrong_is_said(make, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grammar.regex(5, REFERENCE), "pattern: expected a str, got int"),
        (lambda: Grammar.json_schema([1], REFERENCE), "schema: expected a Mapping, got list"),
        (lambda: Grammar.regex("a", REFERENCE.tokenizer), "reference: expected a CausalLM"),
        (lambda: Constraint("a"), "grammar: expected a Grammar, got str"),
        (lambda: Completable("a"), "grammar: expected a Grammar, got str"),
        (lambda: Grammar.regex("a", REFERENCE)(["a"]), "x: expected states of texts, .* got list"),
    ],
)
def test_another_kind_is_a_type_error(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_a_tokenizer_that_cannot_be_read_is_named():
    """One whose decoder only joins; and one without a backend, as the slow ones are."""
    reference = tiny_reference()
    with pytest.raises(ValueError, match=r"reference.tokenizer: expected .*ByteLevel.* cannot read \(.*Fuse.*decoder"):
        Grammar.regex("a", reference)
    reference.tokenizer = SimpleNamespace()
    with pytest.raises(ValueError, match=r"reference.tokenizer: .* got a SimpleNamespace, which has no backend"):
        Grammar.regex("a", reference)


def test_texts_and_outcomes_of_another_vocabulary_are_refused():
    other, grammar = letters_reference("abcdef"), Grammar.regex("a*", REFERENCE)
    message = "expected the 4 tokens of the reference that the grammar is of, got token 6"
    x = texts(other, "ab", [[0, 6, 1]])
    for call in (lambda: grammar(x), lambda: Constraint(grammar)(x), lambda: evaluate(Completable(grammar), x, 3)):
        with pytest.raises(ValueError, match=message):
            call()
    x = texts(other, "ab", [[0]])
    prediction = predict(other, x, 1)
    listed = ListedTransition(*prediction.transition.outcomes(8))
    with pytest.raises(ValueError, match=message):
        evaluate_outcomes(Completable(grammar), x, 1, type(prediction)(listed))


def test_a_grammar_that_grows_too_large_is_given_up_aloud():
    import llguidance

    grammar = Grammar.regex("(a|b){200}c", REFERENCE)
    limits = llguidance.LLParserLimits(step_lexer_fuel=1)
    source = llguidance.LLMatcher.grammar_from_regex(r"([ab]{3,40}c?){4,30}(a|b[abc]{5}c)")
    matchers = Matchers(llguidance.LLMatcher(grammar.tokens, source, log_level=0, limits=limits), 4)
    with pytest.raises(RuntimeError, match="grammar: llguidance gave it up after a prefix"):
        matchers.mask(matchers.after([0, 1, 0, 1, 0]))


def test_what_a_schema_leaves_out_is_warned_of():
    schema = {"x-guidance": {"lenient": True}, "type": "string", "not": {"const": "a"}}
    with pytest.warns(UserWarning, match="json_schema: .*not"):
        Grammar.json_schema(schema, letters_reference('ab"'))


def test_grammars_are_told_apart_by_text_kind_and_tokens():
    names = [
        identity(each)
        for each in (
            Grammar.regex("a", REFERENCE),
            Grammar.regex("a*", REFERENCE),
            Grammar.lark("start: /a/", REFERENCE),
            Grammar.regex("a", letters_reference("acb")),
            Constraint(Grammar.regex("a", REFERENCE)),
        )
    ]
    assert len(set(names)) == len(names)
    assert identity(Grammar.regex("a", letters_reference(seed=5))) == names[0]  # the weights are no part of it
    values = [identity(Completable(Grammar.regex(each, REFERENCE))) for each in ("a", "a", "b")]
    assert values[0] == values[1] != values[2]


def test_a_grammar_travels_and_is_not_copied():
    value = Completable(Grammar.regex("ab*", REFERENCE))
    assert copy.deepcopy(value).grammar is value.grammar
    read = pickle.loads(pickle.dumps(value))
    x = texts(REFERENCE, "ab", [[0, 1], [1, 0], [0, 3]])
    assert read.grammar.name == value.grammar.name
    assert torch.equal(evaluate(read, x, 2), evaluate(value, x, 2))


def test_a_letter_that_no_token_writes_is_a_dead_end():
    """The prefix counts as completable, for letters are looked at; nothing may follow it, and it may not end."""
    grammar = Grammar.regex("ad|b", REFERENCE)
    assert grammar.completes([0]) and not grammar.accepts([0]) and not grammar.next_tokens([0]).any()
    assert grammar.next_tokens([]).tolist() == [True, True, False, False]
