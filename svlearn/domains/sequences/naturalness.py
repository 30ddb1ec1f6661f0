"""How like the data sequences are, as metrics of a comparison."""

from collections.abc import Sequence
from pathlib import Path

from svlearn.arguments import integer
from svlearn.domains.sequences.data import source_of, tokens
from svlearn.domains.sequences.metrics import word_correlation


class WordCorrelation:
    """Pearson's r between the frequencies of words in sequences and in the training data of a source, in [-1, 1].

    Called with a list of sequences: a metric of `svlearn.compare`. name: a source, as "hepg2"; length: letters a word,
    three as DRAKES (arXiv 2410.13643) has it; path: the source's file, None: the public one, fetched where it is not
    there yet. Places that are the same in every sequence of the source are left out.
    Raises ValueError for an unknown name, a file that is not the source's kind, sequences of another length, and words
    longer than what is not fixed.
    """

    def __init__(self, name: str, length: int = 3, path: str | Path | None = None):
        self.source, self.length = source_of(name), integer(length, "length")
        fixed = "_" * self.source.length if self.source.fixed is None else self.source.fixed
        self.drawn = slice(fixed.index("_"), fixed.rindex("_") + 1)
        if self.length > self.drawn.stop - self.drawn.start:
            raise ValueError(f"length: expected {self.drawn.stop - self.drawn.start} at most, got {self.length}")
        self.data = tokens(name, path)[0][:, self.drawn]

    def __call__(self, sequences: Sequence[str]) -> float:
        alphabet = self.source.alphabet
        drawn = alphabet.encode(sequences, self.source.length)[:, self.drawn]
        return word_correlation(drawn, self.data, alphabet.size, self.length)
