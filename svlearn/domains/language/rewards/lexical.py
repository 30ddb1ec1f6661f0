"""Words that a text must hold, words that it must not hold, and how long it may be: predicates for constraints."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import integer, names_of
from svlearn.domains.language.rewards.checks import texts_of

UNITS = ("words", "characters")


@dataclass(frozen=True)
class Words:
    """What the predicates of words share.

    words: one, or several; each is matched as it is written, the spaces of several words in a row included.
    ignore_case: "Sad" is found in "sad", by the simple case folding of Unicode. whole_words: where it begins or
    ends with a letter, a digit or an underscore, none may stand beside that, so that "sad" is not found in "sadly";
    False: anywhere.
    Raises TypeError for what are no words, ValueError for none and for an empty one.
    """

    words: str | Sequence[str]
    ignore_case: bool = True
    whole_words: bool = True

    def __post_init__(self) -> None:
        words = (self.words,) if isinstance(self.words, str) else tuple(names_of(self.words, "words"))
        if not words or not all(word.strip() for word in words):
            raise ValueError(f"words: expected one at least, none of them empty, got {list(words)}")
        object.__setattr__(self, "words", words)

    def matches(self, texts: Any) -> Tensor:
        """Which words are in which texts, (B, number of words) bool."""
        patterns = [_pattern(word, self.ignore_case, self.whole_words) for word in self.words]
        rows = [[pattern.search(text) is not None for pattern in patterns] for text in texts_of(texts, self)]
        return torch.tensor(rows, dtype=torch.bool).view(len(rows), len(patterns))


class MustContain(Words):
    """Whether a text holds all of these words, bool (B,): `targets.constraint` takes it. See `Words`."""

    def __call__(self, texts: Any) -> Tensor:
        return self.matches(texts).all(dim=1)


class MustNotContain(Words):
    """Whether a text holds none of these words, bool (B,): `targets.constraint` takes it. See `Words`."""

    def __call__(self, texts: Any) -> Tensor:
        return ~self.matches(texts).any(dim=1)


@dataclass(frozen=True)
class Length:
    """Whether lowest <= length of a text <= highest, bool (B,): `targets.constraint` takes it.

    highest: None is without end. unit: "words", what stands between white space, or "characters", of Unicode.
    Raises ValueError for an unknown unit, for numbers below 0 and highest < lowest.
    """

    lowest: int = 0
    highest: int | None = None
    unit: str = "words"

    def __post_init__(self) -> None:
        lowest = integer(self.lowest, "lowest", 0)
        if self.highest is not None:
            integer(self.highest, "highest", lowest, optional=True)
        if self.unit not in UNITS:
            raise ValueError(f"unit: expected one of {', '.join(UNITS)}, got {self.unit!r}")

    def __call__(self, texts: Any) -> Tensor:
        lengths = [len(text.split()) if self.unit == "words" else len(text) for text in texts_of(texts, self)]
        number = torch.tensor(lengths, dtype=torch.long)
        return (number >= self.lowest) & (number <= (number if self.highest is None else self.highest))


@lru_cache(maxsize=1024)
def _pattern(word: str, ignore_case: bool, whole_words: bool) -> re.Pattern[str]:
    pattern = re.escape(word)
    if whole_words:
        before, after = (r"(?<!\w)" if re.match(r"\w", word) else ""), (r"(?!\w)" if re.search(r"\w$", word) else "")
        pattern = before + pattern + after
    return re.compile(pattern, re.IGNORECASE if ignore_case else 0)
