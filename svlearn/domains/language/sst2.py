"""The Stanford Sentiment Treebank (SST-2): sentences of film reviews, and whether each is negative or positive."""

from pathlib import Path

from svlearn.assets import fetch
from svlearn.files import existing

PARTS = ("train", "dev", "test")  # 6,920, 872 and 1,821 sentences
KIND = "a table of SST-2, a sentence, a tab and 0 or 1 in each line"


def read(part: str = "train", path: str | Path | None = None) -> tuple[list[str], list[int]]:
    """The sentences of a part, and their labels: 0 negative, 1 positive.

    path: the table; None: the public one of that part, fetched where it is not there yet.
    Raises ValueError for an unknown part and, with the line, for another table; FileNotFoundError where there is none.
    Source: Socher et al., EMNLP 2013; the words stand apart, as "does n't", in small letters.
    """
    if part not in PARTS:
        raise ValueError(f"part: expected one of {', '.join(PARTS)}, got {part!r}")
    file = existing(fetch(f"language/sst2_{part}.tsv") if path is None else path, KIND)
    sentences, labels = [], []
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), start=1):
        if not line:
            continue
        sentence, _, label = line.rpartition("\t")
        if not sentence or label not in ("0", "1"):
            raise ValueError(f"{file}: expected {KIND}, got {line[:60]!r} in line {number}")
        sentences.append(sentence)
        labels.append(int(label))
    return sentences, labels
