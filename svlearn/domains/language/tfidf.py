"""A logistic regression on the words of texts, weighed by how rare they are: for where there is little to learn."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svlearn import checkpoints
from svlearn.arguments import integers, names_of, real

FAMILY = "tfidf-classifier"
WORD = r"\b\w+\b"  # of texts in small letters
NEEDED = "a regression on words is fitted by scikit-learn, which is not installed: pip install 'svlearn[language]'"


class TfidfClassifier(nn.Module):
    """log p(1 | text)/p(0 | text) = b + Σ_w a_w u_w/|u|, u_w = n_w · idf_w, nats, (B,), of texts.

    n_w: how often a word is in the text; idf_w = 1 + log((1 + N)/(1 + N_w)), N_w: in how many of the N texts that are
    fitted. A word is a run of letters, digits and underscores, in small letters; one that was in none of these texts
    counts nothing. words: those that count, in the order of a. `fit` finds the words, a and b.
    """

    idf: Tensor
    slopes: Tensor
    location: Tensor

    def __init__(self, words: Sequence[str]):
        super().__init__()
        self.places = {word: place for place, word in enumerate(names_of(words, "words"))}
        if len(self.places) != len(words):
            raise ValueError(f"words: expected different ones, got {len(words) - len(self.places)} of them again")
        self.register_buffer("idf", torch.ones(len(words)))
        self.register_buffer("slopes", torch.zeros(len(words)))
        self.register_buffer("location", torch.tensor(0.0))

    def forward(self, texts: Sequence[str]) -> Tensor:
        rows, places, counts = [], [], []
        for row, text in enumerate(texts):
            for word, count in Counter(re.findall(WORD, text.lower())).items():
                if word in self.places:
                    rows.append(row)
                    places.append(self.places[word])
                    counts.append(count)
        device = self.idf.device
        of_text, of_word = (torch.tensor(each, dtype=torch.long, device=device) for each in (rows, places))
        weights = torch.tensor(counts, dtype=self.idf.dtype, device=device) * self.idf[of_word]
        zeros = weights.new_zeros(len(texts))
        lengths = zeros.index_add(0, of_text, weights.square()).sqrt()
        products = zeros.index_add(0, of_text, weights * self.slopes[of_word])
        return self.location + torch.where(lengths > 0, products / lengths, zeros)

    @classmethod
    def fit(cls, texts: Sequence[str], labels: Sequence[int], inverse_penalty: float = 1.0) -> "TfidfClassifier":
        """The a and b that make |a|²/2 + inverse_penalty · Σ_n -log p(y_n | text_n) least, by scikit-learn.

        labels: 0 or 1, of each text; both must occur. ImportError without scikit-learn."""
        texts, labels = names_of(texts, "texts"), integers(labels, "labels", 0, 1)
        if len(labels) != len(texts) or len(set(labels)) < 2:
            raise ValueError(
                f"labels: expected 0 or 1 for each of {len(texts)} texts, and both of them, got {len(labels)}, "
                f"{sum(labels)} of them 1"
            )
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise ImportError(NEEDED) from error
        vectorizer = TfidfVectorizer(token_pattern=WORD)
        regression = LogisticRegression(C=real(inverse_penalty, "inverse_penalty", above=0), max_iter=1000)
        regression.fit(vectorizer.fit_transform(texts), labels)
        network = cls(vectorizer.get_feature_names_out().tolist())
        network.idf.copy_(torch.from_numpy(vectorizer.idf_))
        network.slopes.copy_(torch.from_numpy(regression.coef_[0]))
        network.location.fill_(float(regression.intercept_[0]))
        return network

    def save(self, path: str | Path, **record: Any) -> Path:
        """Write it to a safetensors file, with its words and what else is to be known of it."""
        return checkpoints.save(self, path, family=FAMILY, words=list(self.places), **record)


def load(path: str | Path) -> TfidfClassifier:
    """The classifier in a file that `TfidfClassifier.save` wrote; FileNotFoundError where there is none, ValueError for
    another file."""
    record = checkpoints.read_record(path)
    if record.get("family") != FAMILY:
        raise ValueError(f"{path}: expected a checkpoint of family {FAMILY}, got {record.get('family')!r}")
    try:
        network = TfidfClassifier(checkpoints.entry(record, "words", list, path))
    except TypeError as error:
        raise ValueError(f"{path}: expected a record of a {FAMILY}, got another ({error})") from error
    return checkpoints.load_into(network, path)
