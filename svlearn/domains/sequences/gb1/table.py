"""The measured variants of GB1 as their authors publish them: a CSV file, a variant a line."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from svlearn.assets import fetch
from svlearn.domains.sequences.alphabet import PROTEIN
from svlearn.domains.sequences.gb1.protein import LENGTH, WILD_TYPE
from svlearn.files import existing

FILE = "proteins/gb1_four_site.csv"
COLUMNS = ("Variants", "HD", "Count input", "Count selected", "Fitness")
KIND = f"a CSV file with the columns {', '.join(COLUMNS)}"
LETTERS = frozenset(PROTEIN.letters)
NUMBER = PROTEIN.size**LENGTH  # of all variants, 160,000


@dataclass(frozen=True)
class Measurements:
    """N measured variants: tokens (N, 4), long; fitness (N,), float64, that of the wild type is 1; and how often each
    was read before the selection, input_counts (N,), long."""

    tokens: Tensor
    fitness: Tensor
    input_counts: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def landscape(self, unmeasured: float) -> Tensor:
        """The fitness of all 160,000 variants, in the order of `variant_index`, `unmeasured` for those that are not."""
        table = torch.full((NUMBER,), unmeasured, dtype=torch.float64)
        table[variant_index(self.tokens)] = self.fitness
        return table


def variant_index(tokens: Tensor) -> Tensor:
    """The number (B,) of each finished variant (B, 4): its letters as digits, the first the highest."""
    found = tokens[:, 0]
    for place in range(1, LENGTH):
        found = found * PROTEIN.size + tokens[:, place]
    return found


def read_measurements(path: str | Path | None = None) -> Measurements:
    """The measured variants of a file; None: the public one (Wu et al. 2016, eLife 5, e16965), fetched where needed.

    The text may begin with a byte-order mark; of the public file 149,361 of 160,000 variants are measured.
    Raises FileNotFoundError where there is no file, and ValueError, with the path and the line, for other columns, an
    empty cell, a variant that is not four amino acids or stands there twice, a count or a fitness that is no number of
    at least 0, and a distance to the wild type that is not the variant's; and for a file without the wild type.
    """
    path = existing(fetch(FILE) if path is None else path, KIND)
    lines, rows = _rows(path)
    variants, distances, before, after, scores = (list(column) for column in zip(*rows, strict=True))

    def look(column: list[str], right: Callable[[str], bool], wanted: str) -> None:
        for line, cell in zip(lines, column, strict=True):
            if not right(cell):
                raise ValueError(f"{path}: line {line}: expected {wanted}, got {cell!r}")

    look(variants, _is_variant, f"a variant of {LENGTH} letters of {PROTEIN.letters}")
    for name, column in zip(COLUMNS[1:4], (distances, before, after), strict=True):
        look(column, _is_count, f"a count in {name!r}")
    look(scores, _is_fitness, "a fitness of at least 0")
    _check_once(variants, lines, path)
    tokens = _encoded(variants)
    apart = (tokens != _encoded([WILD_TYPE])).sum(dim=1)
    for place in (torch.tensor(list(map(int, distances))) != apart).nonzero().flatten().tolist():
        told = f"'HD' {int(apart[place])} of {variants[place]} to the wild type {WILD_TYPE}, got {distances[place]}"
        raise ValueError(f"{path}: line {lines[place]}: expected {told}")
    if WILD_TYPE not in variants:
        raise ValueError(f"{path}: expected variants of GB1, the wild type {WILD_TYPE} among them, got none of it")
    fitness = torch.tensor(list(map(float, scores)), dtype=torch.float64)
    return Measurements(tokens, fitness, torch.tensor(list(map(int, before))))


def _rows(path: Path) -> tuple[list[int], list[list[str]]]:
    """The numbers of the lines after the header, and their cells without spaces around them."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            read = [(reader.line_num, row) for row in ([*map(str.strip, row)] for row in reader) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected {KIND}, UTF-8 text, got what cannot be read ({error})") from error
    if not read or tuple(read[0][1]) != COLUMNS:
        came = ", ".join(read[0][1])[:300] if read else "an empty file"
        raise ValueError(f"{path}: line 1: expected {KIND}, got {came}")
    if len(read) == 1:
        raise ValueError(f"{path}: expected {KIND}, got no line after the header")
    for line, row in read[1:]:
        if len(row) != len(COLUMNS) or "" in row:
            raise ValueError(f"{path}: line {line}: expected {len(COLUMNS)} cells, none empty, got {row}")
    lines, rows = zip(*read[1:], strict=True)
    return list(lines), list(rows)


def _encoded(variants: Sequence[str]) -> Tensor:
    """`PROTEIN.encode` of variants that are known to be right, 150,000 of them at once."""
    letters = torch.frombuffer(bytearray("".join(variants), "ascii"), dtype=torch.uint8).long()
    ids = torch.zeros(128, dtype=torch.long)
    ids[[ord(letter) for letter in PROTEIN.letters]] = torch.arange(PROTEIN.size)
    return ids[letters].view(-1, LENGTH)


def _check_once(variants: Sequence[str], lines: Sequence[int], path: Path) -> None:
    if len(set(variants)) == len(variants):
        return
    seen: dict[str, int] = {}
    for line, variant in zip(lines, variants, strict=True):
        if variant in seen:
            raise ValueError(
                f"{path}: line {line}: expected each variant once, got {variant!r} as in line {seen[variant]}"
            )
        seen[variant] = line


def _is_variant(cell: str) -> bool:
    return len(cell) == LENGTH and LETTERS.issuperset(cell)


def _is_count(cell: str) -> bool:
    return cell.isascii() and cell.isdigit()


def _is_fitness(cell: str) -> bool:
    try:
        return 0 <= float(cell) < math.inf
    except ValueError:
        return False
