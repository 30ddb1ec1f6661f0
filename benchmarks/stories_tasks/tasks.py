"""Three tasks of twisted SMC in small: ten new tokens of stories260k, with exact texts of each task to judge by."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from tensordict import TensorDict

import svlearn as sv
from benchmarks.stories.texts import plain_texts
from svlearn.domains.language import CausalLM, stories
from svlearn.domains.language.rewards import Infilling, OnTexts, SentimentClassifier, Toxicity
from svlearn.randomness import seeded

TOKENS, SUFFIX = 10, " She was very happy."
PLAIN, EXACT, SEED = 32_768, 400, 11


@dataclass(frozen=True)
class Task:
    """The likelihood whose posterior is wanted, and in words what it is; exact: whether its texts are by rejection."""

    target: Callable[[CausalLM], sv.Target]
    what: str
    exact: bool = True


TASKS = {
    "sentiment": Task(
        lambda reference: sv.targets.likelihood(OnTexts(reference, SentimentClassifier("negative"))),
        "r = log p(negative | text) of a regression on words, fitted to film reviews",
    ),
    "toxicity": Task(
        lambda reference: sv.targets.likelihood(OnTexts(reference, Toxicity("toxic"))),
        "r = log p(toxic | text) of alt-profanity-check; stories for children have little of it",
    ),
    "infilling": Task(
        lambda reference: sv.targets.likelihood(Infilling(reference, SUFFIX)),
        f'r = log p("{SUFFIX}" | text) of the model itself',
        exact=False,
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
    """Plain texts (32768,)."""
    return plain_texts(reference(), PLAIN, 4_096, SEED)


@cache
def rewards(task: str) -> torch.Tensor:
    return torch.cat([target(task)(part) for part in plain().split(4_096)]).double()


def log_normalizer(task: str) -> tuple[float, float]:
    """log Z by the plain texts, and its standard error by the delta method."""
    weights = rewards(task).exp()
    mean = float(weights.mean())
    return math.log(mean), float(weights.std()) / mean / len(weights) ** 0.5


@cache
def texts_of_posterior(task: str) -> tuple[TensorDict, float]:
    """Up to 400 texts of p*, and of how many independent ones they are worth.

    By rejection, for r <= 0: a plain text is kept with probability exp(r). Of a task that keeps too few the plain texts
    are drawn by their weights; they are then as good as the effective sample size of these."""
    generator = seeded("cpu", SEED, 1)
    log_weights = rewards(task)
    if TASKS[task].exact:
        kept = torch.rand(len(log_weights), generator=generator, dtype=torch.float64) < log_weights.exp()
        places = kept.nonzero().flatten()[:EXACT]
        return plain()[places], float(len(places))
    size = float((2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp())
    places = torch.multinomial(log_weights.softmax(0), EXACT, replacement=True, generator=generator)
    return plain()[places], size


def trajectories(x: TensorDict) -> TensorDict:
    """x_0 ... x_T (B, T + 1) of finished texts (B,): a text is known by its beginnings."""
    size, steps = len(x), reference().num_steps
    times = [torch.full((size,), t) for t in range(steps + 1)]
    return torch.stack([reference().noise(x, times[-1], t) for t in times], dim=1)
