"""Continuations of two tokens of stories260k that match a regular expression, all of them enumerated."""

from dataclasses import dataclass
from functools import cache

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.domains.language import CausalLM, stories
from svlearn.domains.language.constraints import CompletableInTime, Grammar
from svlearn.domains.language.texts import TEXT, with_continuations
from svlearn.process import predict

PROMPT = "Once upon a time, there was a"
PATTERN = r" (little|big) [a-z]{4,}\.| [a-z]{4}"  # two tokens do not suffice for the first of the two


@dataclass(frozen=True)
class Truth:
    """Of all V² texts, (V, V) by their tokens, one that ends with its first token standing in the first column:
    log p_ref, p* and the law of locally masked decoding, blind to the buffer's end and not; what SVDD tends to, which
    is blind but for the last step; log Z in nats."""

    log_probs: Tensor
    posterior: Tensor
    masked: Tensor
    masked_in_time: Tensor
    masked_at_last: Tensor
    log_normalizer: float


@cache
def reference() -> CausalLM:
    return stories.load(max_new_tokens=2)


@cache
def grammar() -> Grammar:
    return Grammar.regex(PATTERN, reference())


@cache
def truth() -> Truth:
    process, language = reference(), grammar()
    size, ends = process.vocabulary, sorted(language.ends)
    first, second = next_log_probs()
    within = torch.zeros(size, size, dtype=torch.bool)
    for token in range(size):
        if token in ends:
            within[token, 0] = language.accepts((token,))
        elif language.completes((token,)):
            within[token] = torch.tensor([language.accepts((token, after)) for after in range(size)])
    joint = (first[:, None] + second).exp()
    inside = torch.where(within, joint, 0.0)
    automaton = CompletableInTime(language).automaton
    blind = torch.stack([language.next_tokens((token,)) for token in range(size)])
    blind[ends] = within[ends]
    return Truth(
        first[:, None] + second,
        inside / inside.sum(),
        masked(first, second, language.next_tokens(()), blind),
        masked(first, second, automaton.next_fits(automaton.start, 2), within),
        masked(first, second, language.next_tokens(()), within),
        float(inside.sum().log()),
    )


def next_log_probs() -> tuple[Tensor, Tensor]:
    """log p_ref of the first token (V,), and of the second after each, (V, V); nothing follows an end token but the
    text itself, in the first column."""
    process = reference()
    size = process.vocabulary
    first = _log_probs(process, [[]], 0)[0]
    second = _log_probs(process, [[token] for token in range(size)], 1)
    second[process.ends] = -torch.inf
    second[process.ends, 0] = 0.0
    return first, second


def masked(first: Tensor, second: Tensor, allowed: Tensor, allowed_after: Tensor) -> Tensor:
    """The law (V, V) of draws among the tokens that are allowed first, (V,), and after each, (V, V); where there are
    none, as the reference draws."""
    opening = torch.where(allowed, first.exp(), 0.0)
    closing = torch.where(allowed_after, second.exp(), 0.0)
    closing = torch.where(allowed_after.any(dim=1, keepdim=True), closing, second.exp())
    return opening[:, None] / opening.sum() * closing / closing.sum(dim=1, keepdim=True)


def places(x: TensorDict) -> Tensor:
    """Where texts (B,) stand among the V²."""
    text, size = x[TEXT], reference().vocabulary
    return text[:, 0] * size + torch.where(text[:, -1] == 2, text[:, 1], 0)


def _log_probs(process: CausalLM, rows: list[list[int]], t: int) -> Tensor:
    x = with_continuations(process.initial(len(rows), condition=[PROMPT] * len(rows)), rows)
    return predict(process, x, t).transition.laws[TEXT].log_probs.double()
