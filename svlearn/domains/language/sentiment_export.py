"""Fit the classifier of sentiment to SST-2, measure it, and write the weights and the card.

    svlearn export sentiment

Writes <output>/sentiment.safetensors (weights, words and a record), <output>/sentiment.md (the card) and the figures to
<results>. The test part takes no part in the fit, nor in the choice of the penalty.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from svlearn.domains.language import sst2
from svlearn.domains.language.rewards.sentiment import FILE
from svlearn.domains.language.tfidf import TfidfClassifier
from svlearn.evaluation.report.provenance import provenance
from svlearn.files import check_writable, user_path, write

INVERSE_PENALTY = 10.0  # of 3, 5, 10 and 20 that of the least log loss in five-fold cross-validation
CARD_FILE = "sentiment.md"
CARD = """# The classifier of sentiment

Whether a sentence is negative or positive, by a logistic regression on its words, weighed by TF-IDF: \
`svlearn.domains.language.rewards.SentimentClassifier(label)`. {num_words:,} words, float32.

| | |
|---|---|
| data | SST-2, `language/sst2_*.tsv` (Socher et al. 2013; SHA-256 in `svlearn.assets`) |
| sentences | {num_training:,} of the parts train and dev; {num_held_out:,} of test held out |
| inverse penalty | {inverse_penalty:g}, by cross-validation |
| command of these figures | `svlearn export sentiment` |

| held out | |
|---|--:|
| right | {accuracy:.1%} |
| -log p(label), mean | {log_loss:.3f} nats |
| positive sentences | {positive:.1%} |

The figures are in `{results}`.
"""


def fitted() -> TfidfClassifier:
    """The classifier of the sentences of SST-2's parts train and dev; it takes a second."""
    texts, labels = sst2.read("train")
    more_texts, more_labels = sst2.read("dev")
    return TfidfClassifier.fit(texts + more_texts, labels + more_labels, INVERSE_PENALTY)


@torch.no_grad()
def measured(network: TfidfClassifier, texts: Sequence[str], labels: Sequence[int]) -> dict[str, Any]:
    """How often it is right, and the mean of -log p(label), nats."""
    log_odds, truth = network(texts).double(), torch.tensor(labels, dtype=torch.float64)
    return {
        "num_held_out": len(labels),
        "accuracy": round(float(((log_odds > 0) == truth.bool()).double().mean()), 4),
        "log_loss": round(float(F.binary_cross_entropy_with_logits(log_odds, truth)), 4),
        "positive": round(float(truth.mean()), 4),
    }


def export(output: Path = Path("checkpoints"), results: Path = Path("benchmarks/results/sentiment.json")) -> str:
    """Fit, measure and export; returns the card.

    Args:
        output: the folder of the weights and the card.
        results: the JSON of the figures.
    """
    output = user_path(output)
    check_writable(output / FILE, "output")
    results = check_writable(results, "results")
    network = fitted()
    figures = {
        "num_words": len(network.places),
        "num_training": sum(len(sst2.read(part)[1]) for part in ("train", "dev")),
        "inverse_penalty": INVERSE_PENALTY,
        **measured(network, *sst2.read("test")),
        "provenance": provenance(),
    }
    network.save(output / FILE, num_training=figures["num_training"], inverse_penalty=INVERSE_PENALTY)
    write(results, json.dumps(figures, indent=1) + "\n")
    card = CARD.format(**figures, results=results)
    write(output / CARD_FILE, card)
    return card
