"""Sequences in files of others: a column of a table, or a sequence a line."""

import csv
from pathlib import Path

from svlearn.domains.sequences.alphabet import Alphabet
from svlearn.files import existing

DELIMITERS = {",": "CSV", "\t": "TSV"}


def read_column(
    path: str | Path, column: str | int, alphabet: Alphabet, *, delimiter: str = ",", length: int | None = None
) -> list[str]:
    """The sequences of a table's column, by its name in the header or, where there is no header, by its number.

    length: rows of another length are refused; None: any. A letter "N", which a sequencer writes where it could not
    tell, passes: see `whole`. Raises FileNotFoundError where there is no file, ValueError, with the path and the line,
    for no UTF-8 text, no such column, and a row without a sequence, with another letter or of another length.
    """
    named = f"a column {column!r}" if isinstance(column, str) else f"{column + 1} columns"
    kind = f"a {DELIMITERS.get(delimiter, 'table')} file with {named}"
    path = existing(path, kind)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, delimiter=delimiter)
            lines = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected {kind}, UTF-8 text, got what cannot be read ({error})") from error
    if isinstance(column, str):
        header = [cell.strip() for cell in lines[0][1]] if lines else []
        if header.count(column) != 1:
            came = ", ".join(map(repr, header[:20])) or "an empty file"
            raise ValueError(f"{path}: expected {kind}, got {came[:300]}")
        place, lines = header.index(column), lines[1:]
    else:
        place = column
    letters = {*alphabet.letters, *alphabet.aliases, "N"}
    sequences = []
    for line, row in lines:
        sequence = row[place].strip().upper() if place < len(row) else ""
        if not sequence or not set(sequence) <= letters:
            came = repr(sequence[:40]) if sequence else "none"
            raise ValueError(f"{path}: line {line}: expected a sequence of {alphabet.letters!r}, got {came}")
        if length is not None and len(sequence) != length:
            raise ValueError(f"{path}: line {line}: expected {length} letters, got {len(sequence)}")
        sequences.append(sequence)
    if not sequences:
        raise ValueError(f"{path}: expected {kind}, got one without a sequence")
    return sequences


def whole(sequences: list[str], length: int) -> list[str]:
    """Those of one length in which every letter is known."""
    return [sequence for sequence in sequences if len(sequence) == length and "N" not in sequence]
