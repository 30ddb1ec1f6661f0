"""The public sequences that this domain's references are trained on, as token ids and as a LightningDataModule."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from svlearn.arguments import as_seed, integer
from svlearn.assets import fetch
from svlearn.domains.sequences.alphabet import DNA, Alphabet
from svlearn.domains.sequences.tables import read_column, whole
from svlearn.files import user_path
from svlearn.rollouts.batches import Batches, Shuffled

APART = 20  # letters: no training sequence of hepg2 shares so long a stretch with one that is held out


@dataclass(frozen=True)
class Source:
    """A public file of sequences: its name in `svlearn.assets`, the column, the length, and what is the same in all.

    held_out: how many rows at the end are held out, None: every tenth. strands: whether a sequence may as well be read
    on the other strand, so that it is trained on both ways.
    """

    file: str
    column: str | int
    delimiter: str
    length: int
    fixed: str | None = None
    held_out: int | None = None
    strands: bool = False
    alphabet: Alphabet = DNA


SOURCES = {
    "utr5": Source("utr5/mrl_egfp_m1pseudo2_20k.csv", "utr", ",", 50, held_out=2000),
    "yeast-promoters": Source(
        "promoters/yeast_promoters_demo.tsv",
        0,
        "\t",
        110,
        fixed="TGCATTTTTTTCACATC" + "_" * 80 + "GGTTACGGCTGTT",  # of the library's vector
    ),
    "hepg2": Source("dna/hepg2_lentimpra_171bp.tsv", "sequence", "\t", 171, strands=True),
    "plant-promoters": Source("dna/plant_promoters_leaf.tsv", "sequence", "\t", 170, strands=True),
}


def source_of(name: str) -> Source:
    """The source of that name; ValueError with the known ones."""
    if name not in SOURCES:
        raise ValueError(f"name: expected one of {', '.join(SOURCES)}, got {name!r}")
    return SOURCES[name]


def reverse_complement(sequences: list[str]) -> list[str]:
    """The other strand of each, of DNA."""
    pairs = str.maketrans("ACGT", "TGCA")
    return [sequence[::-1].translate(pairs) for sequence in sequences]


def read(name: str, path: str | Path | None = None) -> tuple[list[str], list[str]]:
    """The training and the held-out sequences of a source, of its length and without an unknown letter.

    Of enhancers, which overlap in the genome, no training sequence shares a stretch of 20 letters with one that is held
    out, on either strand. path: the file; None: the public one, fetched where it is not there yet.
    """
    source = source_of(name)
    file = fetch(source.file) if path is None else user_path(path)
    sequences = whole(read_column(file, source.column, source.alphabet, delimiter=source.delimiter), source.length)
    if source.held_out is not None:
        return sequences[: -source.held_out], sequences[-source.held_out :]
    held_out = sequences[9::10]
    train = [sequence for place, sequence in enumerate(sequences) if place % 10 != 9]
    if source.strands:
        seen = {piece for each in held_out + reverse_complement(held_out) for piece in _pieces(each)}
        train = [each for each in train if seen.isdisjoint(_pieces(each))]
    return train, held_out


class SequenceData(pl.LightningDataModule):
    """Batches of token ids (B, L) of a source, in an order fixed by the seed.

    name: "utr5" (random 5'UTRs of 50 nt, the last 2,000 held out), "yeast-promoters" (random ones of 110 nt between
    fixed flanks; every tenth held out) or "hepg2" (enhancers of 171 nt, both strands; every tenth held out, and what
    overlaps with it left out). Raises ValueError for another name, for a file that is not the source's kind, by path
    and line, and for one with fewer sequences than a batch.
    """

    def __init__(self, name: str, path: str | None = None, batch_size: int = 128, seed: int = 0):
        super().__init__()
        self.source, self.source_name, self.path = source_of(name), name, path
        self.batch_size, self.seed = integer(batch_size, "batch_size"), as_seed(seed)

    def prepare_data(self) -> None:
        read(self.source_name, self.path)

    def setup(self, stage: str | None = None) -> None:
        train, held_out = read(self.source_name, self.path)
        if self.source.strands:
            train = train + reverse_complement(train)
        if len(train) < self.batch_size:
            raise ValueError(f"path: expected at least batch_size = {self.batch_size} sequences, got {len(train)}")
        self.train, self.validation = (self.source.alphabet.encode(each) for each in (train, held_out))

    def train_dataloader(self) -> Batches:
        number = len(self.train)
        order = Shuffled(torch.arange(number), self._generator)
        return Batches(self.train, order, number, self.batch_size, self, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        batches = BatchSampler(SequentialSampler(range(len(self.validation))), 256, drop_last=False)
        return DataLoader(cast(Any, self.validation), sampler=batches, batch_size=None, collate_fn=lambda rows: rows)

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed % 2**63)


def _pieces(sequence: str) -> set[str]:
    return {sequence[start : start + APART] for start in range(len(sequence) - APART + 1)}


def tokens(name: str, path: str | Path | None = None) -> tuple[Tensor, Tensor]:
    """`read`, as token ids (N, L)."""
    train, held_out = read(name, path)
    return tuple(source_of(name).alphabet.encode(each) for each in (train, held_out))  # type: ignore[return-value]
