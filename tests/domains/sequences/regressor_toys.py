"""Sequences whose measured value is known: how many CG they hold."""

from pathlib import Path

import torch

from svlearn.domains.sequences.alphabet import DNA
from svlearn.randomness import seeded


def sequences_of(number: int, length: int, seed: int = 0) -> list[str]:
    return DNA.decode(torch.randint(4, (number, length), generator=seeded("cpu", seed)))


def write_table(path: Path, sequences: list[str], values: list[str]) -> Path:
    rows = "".join(f"{place},{sequence},{value}\n" for place, (sequence, value) in enumerate(zip(sequences, values)))
    path.write_text(f",utr,rl\n{rows}")
    return path
