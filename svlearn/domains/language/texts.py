"""Texts as states, and states as texts: a buffer of new tokens with its position, under a prompt."""

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.state import State
from svlearn.transitions import append

TEXT, PROMPT, LENGTH = "text", "prompt", "length"


class Text(str):
    """A whole text, the prompt and what follows it, without special tokens.

    prompt, continuation: its two parts. Where the tokens at the border make a letter together the prompt ends before.
    """

    prompt: str
    continuation: str

    def __new__(cls, whole: str, prompt: str = "") -> "Text":
        text = super().__new__(cls, whole)
        shared = next((k for k, (a, b) in enumerate(zip(whole, prompt)) if a != b), min(len(whole), len(prompt)))
        text.prompt, text.continuation = whole[:shared], whole[shared:]
        return text

    def __getnewargs__(self) -> tuple[str, str]:  # for who copies or pickles it
        return str(self), self.prompt


def expect_texts(x: State) -> TensorDict:
    """States as they are; TypeError for what are no texts under prompts."""
    if not isinstance(x, TensorDict) or not {TEXT, PROMPT, LENGTH} <= set(x.keys()):
        came = f"a TensorDict of {', '.join(map(str, x.keys()))}" if isinstance(x, TensorDict) else type(x).__name__
        raise TypeError(f"x: expected states of texts, TensorDicts of {TEXT}, {PROMPT} and {LENGTH}, got {came}")
    return x


def number_of_prompt_tokens(x: TensorDict) -> int:
    """How wide the prompts of states are, their padding counted."""
    return x[PROMPT].shape[1]


def right_aligned(tokens: Tensor, lengths: Tensor, fill: int) -> Tensor:
    """Rows (B, n), of which the first lengths (B,) tokens count, moved so that these end in the last column; before
    them stands `fill`."""
    size = tokens.shape[1]
    places = torch.arange(size, device=tokens.device) - (size - lengths)[:, None]
    return tokens.gather(1, places.clamp(min=0)).masked_fill(places < 0, fill)


def written_tokens(x: TensorDict) -> list[list[int]]:
    """The new tokens of states (B,), as many as are written."""
    buffers = x[TEXT].tolist()
    return [row[: row[-1]] for row in buffers]


def prompt_tokens(x: TensorDict) -> list[list[int]]:
    """The tokens of the prompts of states (B,)."""
    width = number_of_prompt_tokens(x)
    return [row[width - length :] for row, length in zip(x[PROMPT].tolist(), x[LENGTH].tolist(), strict=True)]


def as_texts(x: TensorDict, tokenizer: Any) -> list[Text]:
    """States (B,) as texts; special tokens are left out."""
    prompts, new = prompt_tokens(x), written_tokens(x)
    wholes = [_decoded(tokenizer, first + after) for first, after in zip(prompts, new, strict=True)]
    distinct = {tuple(each): "" for each in prompts}
    distinct = {each: _decoded(tokenizer, list(each)) for each in distinct}
    return [Text(whole, distinct[tuple(each)]) for whole, each in zip(wholes, prompts, strict=True)]


def with_continuations(x: TensorDict, tokens: Sequence[Sequence[int]]) -> TensorDict:
    """States under the prompts of x (B,), in whose buffers these tokens are written and no others.

    Raises ValueError for more tokens than the buffer takes, and another number of rows than B.
    """
    if len(tokens) != len(x):
        raise ValueError(f"tokens: expected {len(x)} rows, one for each state, got {len(tokens)}")
    size = x[TEXT].shape[1] - 1
    longest = max(map(len, tokens))
    if longest > size:
        raise ValueError(f"tokens: expected at most {size} in a row, as many as are new, got {longest}")
    text = x[TEXT].clone()
    text[:, -1] = 0
    for place in range(longest):
        rows = torch.tensor([row for row, each in enumerate(tokens) if len(each) > place], device=text.device)
        column = torch.tensor([each[place] for each in tokens if len(each) > place], device=text.device)
        text[rows] = append(text[rows], column)
    return x.copy().set(TEXT, text)


def _decoded(tokenizer: Any, tokens: list[int]) -> str:
    return tokenizer.decode(tokens, skip_special_tokens=True)
