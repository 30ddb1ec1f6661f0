"""What was measured of the public sequences, as arrays and as a LightningDataModule: what regressors learn from."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from tensordict import TensorDict
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from svlearn.arguments import as_seed, integer
from svlearn.assets import fetch
from svlearn.domains.sequences.data import read, source_of
from svlearn.domains.sequences.tables import read_column
from svlearn.files import user_path
from svlearn.rollouts.batches import Batches, Shuffled

HALF_TRUSTED = 5.0  # so many barcodes weigh half as much as very many


@dataclass(frozen=True)
class Measurement:
    """A column of numbers of a source of `data`; barcodes: the column that says how many a number comes from."""

    source: str
    column: str | int
    unit: str
    barcodes: str | None = None


MEASUREMENTS = {
    "mrl": Measurement("utr5", "rl", "ribosomes"),
    "hepg2-activity": Measurement("hepg2", "log2_rna_dna_mean", "log2 RNA/DNA", barcodes="min_barcodes"),
    "yeast-expression": Measurement("yeast-promoters", 1, "expression bin"),
    "plant-strength": Measurement("plant-promoters", "enrichment", "log2 enrichment"),
}


def measurement_of(name: str) -> Measurement:
    """The measurement of that name; ValueError with the known ones."""
    if name not in MEASUREMENTS:
        raise ValueError(f"name: expected one of {', '.join(MEASUREMENTS)}, got {name!r}")
    return MEASUREMENTS[name]


def measured(name: str, path: str | Path | None = None) -> tuple[TensorDict, TensorDict]:
    """The training and the held-out sequences, split as `data.read` splits them, with what was measured.

    Each is {tokens (N, L), values (N,), weights (N,)}; weights n/(n + 5) for n barcodes, 1 where none are told. path:
    the file; None: the public one, fetched where it is not there yet. Raises ValueError, with the path and the line,
    where a number is missing, and what `data.read` raises.
    """
    measurement = measurement_of(name)
    source = source_of(measurement.source)
    file = fetch(source.file) if path is None else user_path(path)
    sequences = read_column(file, source.column, source.alphabet, delimiter=source.delimiter)
    values = dict(zip(sequences, read_numbers(file, measurement.column, source.delimiter)))
    weights = dict.fromkeys(sequences, 1.0)
    if measurement.barcodes is not None:
        numbers = read_numbers(file, measurement.barcodes, source.delimiter)
        weights = {each: number / (number + HALF_TRUSTED) for each, number in zip(sequences, numbers)}
    train, held_out = (
        TensorDict(
            {
                "tokens": source.alphabet.encode(part),
                "values": torch.tensor([values[each] for each in part]),
                "weights": torch.tensor([weights[each] for each in part]),
            },
            batch_size=[len(part)],
        )
        for part in read(measurement.source, file)
    )
    return train, held_out


def read_numbers(path: Path, column: str | int, delimiter: str) -> list[float]:
    """The finite numbers of a table's column, as `read_column` reads its sequences, in the order of its rows.

    Raises ValueError, with the path and the line, for no such column, and for a row without such a number.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file, delimiter=delimiter)
        lines = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    place = column
    if isinstance(place, str):
        header = [cell.strip() for cell in lines[0][1]]
        if column not in header:
            raise ValueError(f"{path}: expected a column {column!r}, got {', '.join(map(repr, header[:20]))[:300]}")
        place, lines = header.index(place), lines[1:]
    numbers = []
    for line, row in lines:
        try:
            number = float(row[place])
        except (ValueError, IndexError):
            number = math.nan
        if not math.isfinite(number):
            came = repr(row[place]) if place < len(row) else "none"
            raise ValueError(f"{path}: line {line}: expected a finite number in column {column!r}, got {came}")
        numbers.append(number)
    return numbers


class MeasuredData(pl.LightningDataModule):
    """Batches of `measured`, {tokens, values, weights}, in an order fixed by the seed; what is held out validates.

    name: one of `MEASUREMENTS`. num_held_back: so many of the last training rows validate in the place of what is held
    out, which is then not looked at: for choosing a network. Raises ValueError for an unknown name, a file that is not
    the source's kind, and fewer sequences than a batch.
    """

    def __init__(
        self, name: str, path: str | None = None, batch_size: int = 128, num_held_back: int = 0, seed: int = 0
    ):
        super().__init__()
        measurement_of(name)
        self.measurement, self.path = name, path
        self.batch_size, self.seed = integer(batch_size, "batch_size"), as_seed(seed)
        self.num_held_back = integer(num_held_back, "num_held_back", 0)

    def prepare_data(self) -> None:
        measured(self.measurement, self.path)

    def setup(self, stage: str | None = None) -> None:
        self.train, self.validation = measured(self.measurement, self.path)
        if self.num_held_back:
            self.train, self.validation = self.train[: -self.num_held_back], self.train[-self.num_held_back :]
        if len(self.train) < self.batch_size:
            raise ValueError(f"path: expected at least batch_size = {self.batch_size} sequences, got {len(self.train)}")

    def train_dataloader(self) -> Batches:
        number = len(self.train)
        order = Shuffled(torch.arange(number), self._generator)
        return Batches(self.train, order, number, self.batch_size, self, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        batches = BatchSampler(SequentialSampler(range(len(self.validation))), 256, drop_last=False)
        return DataLoader(self.validation, sampler=batches, batch_size=None, collate_fn=lambda rows: rows)

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed % 2**63)
