"""Figures of texts: how many are different, of their words how many, how alike they are, and how long."""

import math
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from svlearn.arguments import each_of, expect, integer

MAX_COMPARED = 100  # texts that `self_bleu` compares with each other, spread over all
WORD = r"\w+|[^\w\s]"  # or a sign
ORDER = 4  # of BLEU


def describe(texts: Sequence[str]) -> dict[str, float]:
    """The figures that a comparison lists beside the reward: `uniqueness`, distinct_1, distinct_2 and distinct_3
    (`distinct`), `self_bleu` and `mean_length`; of the continuations of texts that know their prompts."""
    texts = continuations(texts)
    return {
        "uniqueness": uniqueness(texts),
        **{f"distinct_{n}": distinct(texts, n) for n in (1, 2, 3)},
        "self_bleu": self_bleu(texts),
        "mean_length": mean_length(texts),
    }


def continuations(texts: Sequence[str]) -> list[str]:
    """What follows the prompt of each text, all of one that knows none. TypeError for what are no texts."""
    return [str(getattr(text, "continuation", text)) for text in _listed(texts)]


def uniqueness(texts: Sequence[str]) -> float:
    """Different texts a text, in (0, 1]; NaN of none."""
    texts = _listed(texts)
    return len(set(texts)) / len(texts) if texts else math.nan


def distinct(texts: Sequence[str], n: int = 1) -> float:
    """Different runs of n words a run, of all texts together, in (0, 1]; NaN where there is none. A word is a run of
    letters and digits, or one sign, as it is written. Source: distinct-n (arXiv 1510.03055)."""
    n = integer(n, "n")
    rows = [words_of(text) for text in _listed(texts)]
    runs = list(chain.from_iterable(zip(*(row[start:] for start in range(n))) for row in rows))
    return len(set(runs)) / len(runs) if runs else math.nan


def self_bleu(texts: Sequence[str], max_compared: int = MAX_COMPARED) -> float:
    """The mean BLEU-4 of a text against all the others, in [0, 1], by nltk: 1 where all are alike; NaN for fewer than
    two. Of at most max_compared texts, evenly spread over all; words as of `distinct`; a count of 0 is taken for 0.1.

    Raises ImportError without nltk. Source: Texygen (arXiv 1802.01886).
    """
    bleu, smoothing = _bleu()
    texts, most = _listed(texts), integer(max_compared, "max_compared", 2)
    if len(texts) < 2:
        return math.nan
    places = np.linspace(0, len(texts) - 1, min(len(texts), most)).astype(int)
    rows = [words_of(texts[place]) for place in places]
    weights = [1 / ORDER] * ORDER
    scores = [
        bleu(rows[:place] + rows[place + 1 :], row, weights, smoothing_function=smoothing)
        for place, row in enumerate(rows)
    ]
    return float(np.mean(scores))


def mean_length(texts: Sequence[str]) -> float:
    """Words a text, a word being what stands between white space; NaN of none."""
    texts = _listed(texts)
    return sum(len(text.split()) for text in texts) / len(texts) if texts else math.nan


def words_of(text: str) -> list[str]:
    """Its words and signs, in their order."""
    return re.findall(WORD, text)


def _listed(texts: Sequence[str]) -> list[str]:
    """Raises TypeError for one text instead of a list, and for what is none."""
    return [expect(each, str, "texts") for each in each_of(texts, str, "texts")]


def _bleu() -> tuple[Any, Any]:
    try:
        from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    except ImportError as error:
        raise ImportError("self-BLEU needs nltk: pip install 'svlearn[language]'") from error
    return sentence_bleu, SmoothingFunction(epsilon=0.1).method1
