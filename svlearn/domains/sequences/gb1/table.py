"""The measured variants of GB1 as their authors publish them: a CSV file, a variant a line."""

import csv
import math
from collections.abc import Sequence
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
    variants, fitness, counts, seen = [], [], [], dict[str, int]()
    for line, row in _rows(path):
        variant, distance, before, after, score = row
        problem = _problem(variant, distance, before, after, score)
        if problem is None and variant in seen:
            problem = f"each variant once, got {variant!r} as in line {seen[variant]}"
        if problem is not None:
            raise ValueError(f"{path}: line {line}: expected {problem}")
        seen[variant] = line
        variants.append(variant)
        counts.append(int(before))
        fitness.append(float(score))
    if WILD_TYPE not in seen:
        raise ValueError(f"{path}: expected variants of GB1, the wild type {WILD_TYPE} among them, got none of it")
    tokens = PROTEIN.encode(variants)
    return Measurements(tokens, torch.tensor(fitness, dtype=torch.float64), torch.tensor(counts))


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The lines after the header, with their numbers, cells without spaces around them."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected {KIND}, UTF-8 text, got what cannot be read ({error})") from error
    if not lines or tuple(lines[0][1]) != COLUMNS:
        came = ", ".join(lines[0][1])[:300] if lines else "an empty file"
        raise ValueError(f"{path}: line 1: expected {KIND}, got {came}")
    for line, row in lines[1:]:
        if len(row) != len(COLUMNS) or "" in row:
            raise ValueError(f"{path}: line {line}: expected {len(COLUMNS)} cells, none empty, got {row}")
    return lines[1:]


def _problem(variant: str, distance: str, before: str, after: str, score: str) -> str | None:
    """What was expected of a line, and what came; None where it is right."""
    if len(variant) != LENGTH or not set(variant) <= set(PROTEIN.letters):
        return f"a variant of {LENGTH} letters of {PROTEIN.letters}, got {variant!r}"
    for name, cell in zip(COLUMNS[1:4], (distance, before, after), strict=True):
        if not (cell.isascii() and cell.isdigit()):
            return f"a count in {name!r}, got {cell!r}"
    if int(distance) != (apart := _distance(variant, WILD_TYPE)):
        return f"'HD' {apart} of {variant} to the wild type {WILD_TYPE}, got {distance}"
    try:
        number = float(score)
    except ValueError:
        number = math.nan
    return None if 0 <= number < math.inf else f"a fitness of at least 0, got {score!r}"


def _distance(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))
