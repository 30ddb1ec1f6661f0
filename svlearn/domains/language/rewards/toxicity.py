"""Whether a text insults or swears, by the linear classifier of alt-profanity-check."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from svlearn.domains.language.rewards.checks import texts_of

LABELS = ("toxic", "clean")


@dataclass(frozen=True)
class Toxicity:
    """r = log p(label | text), nats, (B,), of texts, by a support vector machine on their words, calibrated.

    label: "toxic" (the text insults or swears) or "clean". The library learned it from 200,000 labelled comments and
    tweets; it knows words and no irony. A text of none of its words has p(toxic) about 0.04. Of a text full of insults
    p(clean) is 0 within rounding, and its log may be -inf. As `targets.likelihood` it gives the posterior of the label.
    The library's vectoriser and classifier are pickles in its package, which it reads by joblib when it is imported,
    and so runs what is in them: that is at the first call. Each of its versions is for one version of scikit-learn.
    Raises ValueError for an unknown label, ImportError where alt-profanity-check is missing.
    Source: the library profanity-check (Zhou 2019), alt-profanity-check where it is kept up.
    """

    label: str = "toxic"

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise ValueError(f"label: expected one of {', '.join(LABELS)}, got {self.label!r}")

    def __call__(self, texts: Any) -> Tensor:
        texts = texts_of(texts, self)
        if not texts:
            return torch.zeros(0)
        toxic = np.asarray(_predict_prob()(texts), dtype=np.float64)
        with np.errstate(divide="ignore"):
            logs = np.log(toxic) if self.label == "toxic" else np.log1p(-toxic)
        return torch.tensor(logs, dtype=torch.get_default_dtype())


def _predict_prob() -> Callable:
    """p(toxic) of a list of texts."""
    try:
        from profanity_check import predict_prob
    except ImportError as error:
        raise ImportError(
            f"Toxicity needs alt-profanity-check of the version of scikit-learn ({error}): pip install "
            "'svlearn[language]'"
        ) from error
    return predict_prob
