"""What stands beside the rewards of a row: the judges, and how natural and how different its sequences are."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, stdev
from typing import Any

import torch

from benchmarks.sequences.problems import PROBLEMS, process
from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.metrics import bits_per_letter, mean_edit_distance, uniqueness, word_correlation

BOUND_SAMPLES = 4  # numbers of masks for each sequence


@cache
def judges(problem: str) -> dict[str, Any]:
    return {name: make() for name, make in PROBLEMS[problem].judges.items()}


@torch.no_grad()
def judged(problem: str, sequences: Sequence[str]) -> dict[str, Any]:
    """Figures of a row's sequences; each judge's and the likelihood bound with a standard error."""
    own, tokens = PROBLEMS[problem], DNA.encode(sequences)
    return {
        "number": len(sequences),
        "judges": {name: [float(each) for each in estimate(judge(tokens))] for name, judge in judges(problem).items()},
        "bits": list(bits_per_letter(process(own.reference), tokens, BOUND_SAMPLES)),
        "word_correlation": word_correlation(tokens, own.data()[0], DNA.size),
        **variety(sequences),
    }


def variety(sequences: Sequence[str]) -> dict[str, float]:
    """The mean edit distance of two of them, and the share of those that stood there before."""
    pairs = max(1, math.comb(len(sequences), 2))
    return {"edit_distance": mean_edit_distance(sequences, pairs), "duplicates": 1 - uniqueness(sequences)}


def estimate(figures: torch.Tensor) -> tuple[float, float]:
    """The mean, and its standard error."""
    numbers = figures.double().tolist()
    return fmean(numbers), stdev(numbers) / math.sqrt(len(numbers))
