"""What a validation says of a policy's samples besides what it is trained for, so that reward hacking is seen."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from svlearn.process import Reference, has
from svlearn.state import State
from svlearn.targets import Target


def judge_of(judge: Callable | None) -> Target | None:
    """A held-out reward, checked at each call as a `Target` checks its reward; None where there is none. TypeError for
    what is not callable."""
    if judge is not None and not callable(judge):
        raise TypeError(f"judge: expected None or a callable of states, as a reward, got {type(judge).__name__}")
    return None if judge is None else Target(judge, alpha=0.0)


def held_out_figures(reference: Reference, x: State, rewards: Tensor, judge: Target | None) -> dict[str, float]:
    """Figures of finished samples x (B, ...) and their rewards (B,), by name.

    "reward" and, with one, "judge": their means, reward units, each with its "_standard_error"; and what
    `Reference.describe` says of the decoded samples (validity, uniqueness, diversity, ...), where the reference has it.
    """
    scores = {"reward": rewards} if judge is None else {"reward": rewards, "judge": judge(x)}
    figures: dict[str, float] = {}
    for name, each in scores.items():
        figures[name], figures[f"{name}_standard_error"] = mean_with_error(each)
    if has(reference, "describe") and has(reference, "decode"):
        with torch.no_grad():
            described = reference.describe(reference.decode(x))
        figures |= {name: float(figure) for name, figure in described.items() if name not in figures}
    return figures


def mean_with_error(scores: Tensor) -> tuple[float, float]:
    """The mean of scores (B,) and its standard error; NaN of one score, and where one is infinite."""
    scores = scores.double()
    spread = float(scores.std()) if len(scores) > 1 else math.nan
    return float(scores.mean()), spread / math.sqrt(len(scores))
