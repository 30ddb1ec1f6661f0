"""What llguidance knows after a prefix of tokens, for any prefix in any order: the last used are kept."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

KEPT = 8192  # prefixes, of some kB each at most
DEAD_END = "NoExtension"  # how llguidance's word begins for a prefix that no token continues, which is no fault


class Matchers:
    """The states of a grammar's matcher after token prefixes; `kept` of them are remembered, the last used.

    root: an `LLMatcher` that has read nothing. A longer prefix is a copy of its parent's matcher and one token more,
    and no matcher that is kept is ever moved: so a caller may cut, copy and reorder prefixes as it likes.
    Raises RuntimeError where llguidance gives a grammar up as too large.
    """

    def __init__(self, root: Any, size: int, kept: int = KEPT):
        self.root, self.size, self.kept = root, size, kept
        self._known: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def after(self, tokens: Sequence[int]) -> Any:
        """The matcher after these tokens; None where they begin no text of the language."""
        tokens = tuple(tokens)
        length = next((k for k in range(len(tokens), 0, -1) if tokens[:k] in self._known), 0)
        matcher = self._known[tokens[:length]] if length else self.root
        if length:
            self._known.move_to_end(tokens[:length])
        for place in range(length, len(tokens)):
            if matcher is None:
                return None
            matcher = self._moved(matcher, tokens[place])
            self._known[tokens[: place + 1]] = matcher
            if len(self._known) > self.kept:
                self._known.popitem(last=False)
        return matcher

    def mask(self, matcher: Any) -> Tensor:
        """Which tokens may follow, (V,) bool; what it says of end tokens is not to be read."""
        copied = matcher.deep_copy()  # a look at a dead end moves it
        bits = np.frombuffer(copied.compute_bitmask(), dtype=np.uint8)
        _check(copied)
        return torch.from_numpy(np.unpackbits(bits, count=self.size, bitorder="little").view(bool))

    def _moved(self, matcher: Any, token: int) -> Any:
        if not matcher.validate_tokens([token]):
            _check(matcher)
            return None
        child = matcher.deep_copy()
        child.consume_token(token)
        _check(child)
        return child


def _check(matcher: Any) -> None:
    if not matcher.is_error() or matcher.get_error().startswith(DEAD_END):
        return
    message = matcher.get_error().partition("<state>")[0]  # what follows is the parser's own
    raise RuntimeError(f"grammar: llguidance gave it up after a prefix ({' '.join(message.split())}); simplify it")
