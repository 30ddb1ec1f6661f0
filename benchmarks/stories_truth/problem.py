"""Two tokens of stories260k under one prompt, all of them enumerated, with a sentiment and with a constraint."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from svlearn.domains.language import CausalLM, Enumeration, Text, stories
from svlearn.domains.language.rewards import OnTexts, Vader
from svlearn.targets import Target, constraint

TOKENS, ALPHA = 2, 0.25


@dataclass(frozen=True)
class Problem:
    """A prompt, the target, and in words what is wanted."""

    prompt: str
    target: Callable[[CausalLM], Target]
    what: str


def has_a_k(texts: list[Text]) -> torch.Tensor:
    return torch.tensor(["k" in text.continuation for text in texts])


PROBLEMS = {
    "sentiment": Problem(
        "Tom lost his ball. He was very",
        lambda reference: Target(OnTexts(reference, Vader()), ALPHA),
        f"r: VADER's compound score of the text, alpha = {ALPHA}",
    ),
    "constraint": Problem(
        "Tom had a red",
        lambda reference: constraint(OnTexts(reference, has_a_k)),
        "r: 0 where the continuation has the letter k, else -inf; alpha = 1",
    ),
}


@cache
def reference() -> CausalLM:
    return stories.load(max_new_tokens=TOKENS)


@cache
def target(name: str) -> Target:
    return PROBLEMS[name].target(reference())


@cache
def texts(name: str) -> Enumeration:
    return Enumeration(reference(), target(name), [PROBLEMS[name].prompt])


def condition(name: str, number: int) -> list[str]:
    return [PROBLEMS[name].prompt] * number


def conditions(name: str) -> torch.Tensor:
    """What trainings draw their prompt from: the one there is."""
    return reference().prompts([PROBLEMS[name].prompt])
