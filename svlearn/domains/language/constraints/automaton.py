"""A regular expression as moves between few states, token by token, and how many tokens each is from a whole text."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from svlearn.domains.language.constraints.grammar import Grammar

NEVER = 2**31  # tokens
MARK = "\n"  # what stands before every text where one of them is empty: it begins a line, as the text does


class TokenAutomaton:
    """The states of a regular expression over a reference's tokens, by outlines-core, and the fewest tokens from each
    to a text of the language.

    Where a text has no way to end but a full buffer, what counts is whether exactly the tokens that are left do.
    outlines-core takes no language L that has the empty text. Of such a one the states are those of m L, m a mark that
    a token of its own writes: no text of m L is empty, and what completes m w to a text of m L completes w to one of L,
    so the state after m is where L starts.
    Raises ValueError for a grammar that is no regular expression, or that outlines-core does not compile.
    """

    def __init__(self, grammar: Grammar):
        import outlines_core

        if grammar.kind != "regex":
            raise ValueError(
                f"grammar: expected a Grammar.regex, whose shortest completions are known, got {grammar!r}"
            )
        self.size = grammar.reference.vocabulary
        self.may_stop = bool(grammar.ends or grammar.reference.stop_strings)
        mark = self.size + 1
        writers, marked = _writers(grammar), grammar.accepts(())
        if marked:
            writers.setdefault(MARK.encode(), []).append(mark)
        vocabulary = outlines_core.Vocabulary(self.size, writers)  # an end token that no text has
        pattern = rf"(?:{grammar.text})\z"  # else a|ab would match no more than a
        try:
            index = outlines_core.Index(MARK + pattern if marked else pattern, vocabulary)
        except ValueError as error:
            raise ValueError(
                "grammar: expected a regular expression that outlines-core compiles, got "
                f"{grammar.text!r:.200}: {error}"
            ) from error
        first, transitions = int(index.get_initial_state()), index.get_transitions()
        self.start = int(transitions[first][mark]) if marked else first
        self.accepting = frozenset(index.get_final_states())
        self.moves: dict[int, dict[int, int]] = {state: {} for state in {self.start, *self.accepting}}
        for state, moves in transitions.items():
            self.moves[state] = {token: after for token, after in moves.items() if token < self.size}
        self.fewest = self._distances()
        self._reaching = [self.accepting]
        self._needs: dict[int, Tensor] = {}

    def after(self, tokens: Sequence[int]) -> int | None:
        """The state after these tokens; None where they begin no text that the tokens can write."""
        state: int | None = self.start
        for token in tokens:
            state = None if state is None else self.moves.get(state, {}).get(token)
        return state

    def fits(self, state: int | None, left: int) -> bool:
        """Whether some of the tokens that are left make the text whole."""
        if state is None or left < 0:
            return False
        return self.fewest.get(state, NEVER) <= left if self.may_stop else state in self._in_exactly(left)

    def next_fits(self, state: int | None, left: int) -> Tensor:
        """Which next tokens leave a state that fits, (V,) bool, where `left` tokens are left before them."""
        if state is None or left < 1:
            return torch.zeros(self.size, dtype=torch.bool)
        if self.may_stop:
            return self._fewest_after(state) <= left - 1
        reaching = self._in_exactly(left - 1)
        tokens = [token for token, after in self.moves.get(state, {}).items() if after in reaching]
        return torch.zeros(self.size, dtype=torch.bool).index_fill(0, torch.tensor(tokens, dtype=torch.long), True)

    def _fewest_after(self, state: int) -> Tensor:
        """The fewest tokens after each next one, (V,)."""
        if state not in self._needs:
            moves = self.moves.get(state, {})
            numbers = [self.fewest.get(after, NEVER) for after in moves.values()]
            needs = torch.full((self.size,), NEVER)
            needs[list(moves)] = torch.tensor(numbers, dtype=torch.long)
            self._needs[state] = needs
        return self._needs[state]

    def _in_exactly(self, number: int) -> frozenset[int]:
        """The states that so many tokens bring to an accepting one."""
        while len(self._reaching) <= number:
            last = self._reaching[-1]
            self._reaching.append(
                frozenset(state for state, moves in self.moves.items() if not last.isdisjoint(moves.values()))
            )
        return self._reaching[number]

    def _distances(self) -> dict[int, int]:
        """Backwards from the accepting states, in breadth."""
        before: dict[int, set[int]] = {}
        for state, moves in self.moves.items():
            for after in set(moves.values()):
                before.setdefault(after, set()).add(state)
        distances, front = dict.fromkeys(self.accepting, 0), set(self.accepting)
        while front:
            number = distances[next(iter(front))] + 1
            front = {each for state in front for each in before.get(state, ())} - distances.keys()
            distances |= dict.fromkeys(front, number)
        return distances


def _writers(grammar: Grammar) -> dict[bytes, list[int]]:
    """The tokens that write each string of bytes."""
    tokens: Any = grammar.tokens
    writers: dict[bytes, list[int]] = {}
    for token in range(grammar.reference.vocabulary):
        written = b"" if tokens.is_special_token(token) or token in grammar.ends else tokens.decode_bytes([token])
        if written:
            writers.setdefault(written, []).append(token)
    return writers
