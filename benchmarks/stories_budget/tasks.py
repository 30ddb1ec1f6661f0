"""Two tasks of forty new tokens of stories260k: a sentiment at a low temperature, and a word that must come."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from tensordict import TensorDict

import svlearn as sv
from benchmarks.stories.texts import plain_texts
from svlearn.domains.language import CausalLM, stories
from svlearn.domains.language.rewards import MustContain, OnTexts, SentimentClassifier

TOKENS, ALPHA, WORD = 40, 0.1, "cat"
PLAIN, AT_ONCE, SEED = 4_096, 1_024, 11


@dataclass(frozen=True)
class Task:
    """The target, in words what it is, and what its texts are judged by: the mean of a figure of each reward."""

    target: Callable[[CausalLM], sv.Target]
    what: str
    figure: str
    judge: Callable[[torch.Tensor], torch.Tensor]


TASKS = {
    "sentiment": Task(
        lambda reference: sv.Target(OnTexts(reference, SentimentClassifier("negative")), ALPHA),
        f"r = log p(negative | text) of a regression on words, fitted to film reviews; alpha = {ALPHA}",
        "mean reward, nats",
        lambda rewards: rewards.double(),
    ),
    "constraint": Task(
        lambda reference: sv.targets.constraint(OnTexts(reference, MustContain(WORD))),
        f'r = 0 where the text has the word "{WORD}", else -inf; alpha = 1',
        "share that meets the constraint",
        lambda rewards: (rewards > -math.inf).double(),
    ),
}


@cache
def reference() -> CausalLM:
    return stories.load(max_new_tokens=TOKENS)


@cache
def target(task: str) -> sv.Target:
    return TASKS[task].target(reference())


@cache
def plain() -> TensorDict:
    """Plain texts (4096,)."""
    return plain_texts(reference(), PLAIN, AT_ONCE, SEED)


def truth(task: str) -> dict[str, list[float]]:
    """log Z by the plain texts, and the mean figure of p_ref and of p* by their weights, each with its standard error
    (of ratios by the delta method)."""
    rewards = torch.cat([target(task)(part) for part in plain().split(AT_ONCE)]).double()
    weights, figures = (rewards / target(task).alpha).exp(), TASKS[task].judge(rewards)
    mean, root = float(weights.mean()), len(weights) ** 0.5
    tilted = float((weights * figures).sum() / weights.sum())
    return {
        "log_normalizer": [math.log(mean), float(weights.std()) / mean / root],
        "of_reference": [float(figures.mean()), float(figures.std()) / root],
        "of_target": [tilted, float((weights * (figures - tilted)).std()) / mean / root],
    }
