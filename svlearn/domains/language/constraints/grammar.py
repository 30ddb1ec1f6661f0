"""A language of continuations, as a regular expression, a JSON schema or a context-free grammar says it."""

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import expect
from svlearn.bytecode import digest
from svlearn.domains.language.causal_lm import CausalLM
from svlearn.domains.language.constraints.matchers import Matchers
from svlearn.domains.language.constraints.tokens import read_tokens
from svlearn.domains.language.opening import settings_of_tokenizer
from svlearn.domains.language.texts import TEXT, expect_texts, written_tokens

EVERY_TOKEN = '%llguidance {"no_forcing": true}'  # else a mask has but one of the tokens that write what must come
KINDS = {"regex": "a regular expression", "json_schema": "a JSON schema", "lark": "a grammar in Lark's format"}


class Grammar:
    """The continuations that a regular expression, a JSON schema or a context-free grammar describes, token by token.

        Grammar.regex(r" (sad|glad) day\\.", reference)
        Grammar.json_schema({"type": "array", "items": {"type": "integer"}}, reference)
        Grammar.lark('start: "(" start ")" | "x"', reference)

    It reads what the new tokens write, from the first byte, such as the space that a tokenizer puts before a word, and
    to the last: the whole continuation has to match, and stop strings are part of it; end tokens are not. A text that
    is cut by its full buffer has to match as well. Compiled by llguidance: regular expressions are those of Rust's
    regex, without look-around; a terminal of a Lark grammar is matched as a lexer does, as long as it can be; a JSON
    schema allows white space, unless {"x-guidance": {"whitespace_flexible": false}} stands in it.

    A grammar is the predicate of `targets.constraint`: called with finished texts x (B,) it says which are in the
    language, (B,) bool. `Constraint` is the same as a reward, `Completable` the value of a prefix.
    reference: the CausalLM whose tokens it is over; it is held, never copied.
    Raises ValueError for what does not compile, with llguidance's words, for a language that has no text which the
    tokens can write, for a tokenizer that llguidance cannot read, and for texts with other tokens than the reference's;
    RuntimeError where llguidance gives up a grammar as too large. Warns of what llguidance leaves out.
    """

    def __init__(self, kind: str, text: str, reference: CausalLM):
        if kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
        self.kind, self.text, self.reference = kind, text, expect(reference, CausalLM, "reference")
        self.ends = frozenset(reference.ends.tolist())
        self.tokens, self._end = read_tokens(reference)
        self.matchers = Matchers(self._compiled(), reference.vocabulary)
        if not bool(self.next_tokens(()).any()):
            raise ValueError(
                f"{kind}: expected {KINDS[kind]} of some text that the tokens can write, got one that accepts nothing: "
                f"{text!r:.200}"
            )

    @classmethod
    def regex(cls, pattern: str, reference: CausalLM) -> "Grammar":
        """Of a regular expression, which the whole continuation has to match."""
        return cls("regex", expect(pattern, str, "pattern"), reference)

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | str, reference: CausalLM) -> "Grammar":
        """Of the JSON that fits a schema, itself a dict or JSON."""
        if isinstance(schema, str):
            try:
                schema = json.loads(schema)
            except json.JSONDecodeError as error:
                raise ValueError(f"schema: expected a dict or JSON, got a text that is none ({error})") from error
        return cls("json_schema", json.dumps(expect(schema, Mapping, "schema")), reference)

    @classmethod
    def lark(cls, text: str, reference: CausalLM) -> "Grammar":
        """Of a context-free grammar in Lark's format, whose first rule is `start`; every rule must come to an end."""
        return cls("lark", expect(text, str, "text"), reference)

    def completes(self, tokens: Sequence[int]) -> bool:
        """Whether a prefix can become a text of the language, however long; one that has ended must be one. It looks at
        letters: where a vocabulary lacks one, a prefix that only that letter could complete counts."""
        body, ended = self._split(tokens)
        matcher = self._after(body)
        return matcher is not None and (not ended or matcher.is_accepting())

    def accepts(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens, with an end token or without, are a text of the language."""
        matcher = self._after(self._split(tokens)[0])
        return matcher is not None and matcher.is_accepting()

    def next_tokens(self, tokens: Sequence[int]) -> Tensor:
        """Which next tokens keep a prefix completable, (V,) bool, and end tokens where it may end."""
        body, ended = self._split(tokens)
        matcher = None if ended else self._after(body)
        if matcher is None:
            return torch.zeros(self.reference.vocabulary, dtype=torch.bool)
        mask = self.matchers.mask(matcher)
        mask[self._end : self._end + 1] = False  # where the model has more tokens than its tokenizer
        mask[list(self.ends)] = matcher.is_accepting()
        return mask

    def prefixes(self, x: TensorDict) -> list[tuple[int, ...]]:
        """The new tokens of texts (B,), checked."""
        rows = [tuple(row) for row in written_tokens(expect_texts(x))]
        self.check_tokens(max((max(row) for row in rows if row), default=0))
        return rows

    def check_tokens(self, most: int) -> None:
        """Raise ValueError where the largest token is none of the reference's."""
        if most >= self.reference.vocabulary:
            raise ValueError(
                f"x: expected the {self.reference.vocabulary} tokens of the reference that the grammar is of, got "
                f"token {most}; make the grammar of the reference whose texts these are"
            )

    def __call__(self, x: TensorDict) -> Tensor:
        """Which finished texts (B,) are in the language, (B,) bool."""
        rows = self.prefixes(x)
        accepted = {row: self.accepts(row) for row in set(rows)}
        return torch.tensor([accepted[row] for row in rows], device=x[TEXT].device)

    @cached_property
    def name(self) -> str:
        """What stored rollouts tell it apart by: its text, and a digest of the tokens."""
        tokens = json.dumps(settings_of_tokenizer(self.reference.tokenizer), sort_keys=True)
        ends = str((sorted(self.ends), self.reference.vocabulary))
        return f"{self.kind} {self.text} {digest('tokens', tokens.encode(), ends.encode()).hex()[:32]}"

    def __deepcopy__(self, memory: dict) -> "Grammar":
        return self

    def __reduce__(self) -> tuple:
        return Grammar, (self.kind, self.text, self.reference)

    def __repr__(self) -> str:
        return f"Grammar.{self.kind}({self.text!r:.200})"

    def _split(self, tokens: Sequence[int]) -> tuple[tuple[int, ...], bool]:
        """What stands before the end token, and whether there is one."""
        body = tuple(tokens)
        return (body[:-1], True) if body and body[-1] in self.ends else (body, False)

    def _after(self, body: tuple[int, ...]) -> Any:
        """None also where an end token stands in the middle."""
        return None if self._end in body or self.ends.intersection(body) else self.matchers.after(body)

    def _as_lark(self) -> str:
        import llguidance

        if self.kind == "json_schema":
            return f"start: %json {self.text}"
        if self.kind == "regex":
            return json.loads(llguidance.LLMatcher.grammar_from_regex(self.text))["grammars"][0]["lark_grammar"]
        return self.text

    def _compiled(self) -> Any:
        import llguidance

        source = llguidance.LLMatcher.grammar_from_lark(f"{self._as_lark()}\n{EVERY_TOKEN}")
        failed, messages = llguidance.LLMatcher.validate_grammar_with_warnings(source, self.tokens)
        matcher = None if failed else llguidance.LLMatcher(self.tokens, source, log_level=0)
        if matcher is None or matcher.is_error():
            message = messages[0] if matcher is None else matcher.get_error()
            raise ValueError(
                f"{self.kind}: expected {KINDS[self.kind]} that llguidance compiles, got {self.text!r:.200}: {message}"
            )
        for message in messages:
            warnings.warn(f"{self.kind}: {message}", stacklevel=4)
        return matcher
