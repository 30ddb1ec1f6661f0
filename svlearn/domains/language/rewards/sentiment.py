"""How positive a text sounds: by the lexicon of VADER, and by a classifier that learned it from film reviews."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.domains.language.rewards.checks import texts_of
from svlearn.domains.language.tfidf import load
from svlearn.loading import shipped

FILE = "sentiment.safetensors"
LABELS = ("negative", "positive")


@dataclass(frozen=True)
class Vader:
    """r = the compound score of VADER, in [-1, 1], (B,), of texts: 1 is most positive, -1 most negative, 0 neither.

    label: "positive", or "negative" for minus that score.

    The sum s of the valences of the words, changed by rules of negation, emphasis and punctuation, as s/√(s² + 15),
    rounded to four decimals; its authors call a text negative from -0.05 down, positive from 0.05 up. A text without a
    word of the lexicon has 0. Raises ImportError where vaderSentiment is missing, ValueError for an unknown label.
    Source: Hutto and Gilbert, ICWSM 2014; the library vaderSentiment.
    """

    label: str = "positive"

    def __post_init__(self) -> None:
        _check_label(self.label)

    def __call__(self, texts: Any) -> Tensor:
        analyzer, sign = _analyzer(), 1 if self.label == "positive" else -1
        return torch.tensor([sign * analyzer.polarity_scores(text)["compound"] for text in texts_of(texts, self)])


class SentimentClassifier(nn.Module):
    """r = log p(label | text), nats, (B,), of texts, by a logistic regression on their words (`TfidfClassifier`).

    label: "positive" or "negative". path: a classifier of 0 and 1 that `TfidfClassifier.save` wrote; None: the shipped
    one, of film reviews (SST-2), which is right of 82.3 % of the sentences held out (checkpoints/sentiment.md).
    As `targets.likelihood` it gives the posterior of the label, alpha = 1.
    Raises ValueError for an unknown label and another file, FileNotFoundError where there is none.
    """

    def __init__(self, label: str = "positive", path: str | Path | None = None):
        super().__init__()
        self.label, self.path = _check_label(label), None if path is None else str(path)
        self.network = load(shipped(FILE) if path is None else path)

    def forward(self, texts: Any) -> Tensor:
        log_odds = self.network(texts_of(texts, self))
        return F.logsigmoid(log_odds if self.label == "positive" else -log_odds)


def _check_label(label: str) -> str:
    if label not in LABELS:
        raise ValueError(f"label: expected one of {', '.join(LABELS)}, got {label!r}")
    return label


@cache
def _analyzer() -> Any:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise ImportError("Vader needs vaderSentiment: pip install 'svlearn[language]'") from error
    return SentimentIntensityAnalyzer()
