"""SMILES in a CSV file, as spreadsheets and other programs write them."""

import csv
from pathlib import Path

from svlearn.files import existing

COLUMN = "smiles"
KIND = f"a CSV file with a column {COLUMN!r}"


def read_smiles(path: str | Path) -> list[str]:
    """The SMILES of the file, in its order, from the column "smiles".

    The header may be written in capitals, the text may begin with a byte-order mark, lines may end in any way, and
    empty ones do not count. Raises FileNotFoundError where there is no file, and ValueError, with the path and the
    line, where the text is not UTF-8, where there is no such column or more than one, for a row without a SMILES, and
    for one of several lines, as a quotation mark makes that nothing closes: RDKit would read the first line alone.
    """
    path = existing(path, KIND)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            lines = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected {KIND}, UTF-8 text, got what cannot be read ({error})") from error
    if not lines:
        raise ValueError(f"{path}: expected {KIND}, got an empty file")
    place = _place([cell.strip() for cell in lines[0][1]], path)
    smiles = [row[place].strip() if place < len(row) else "" for _, row in lines[1:]]
    if "" in smiles:
        raise ValueError(f"{path}: line {lines[1 + smiles.index('')][0]}: expected a SMILES in {COLUMN!r}, got none")
    for (line, _), text in zip(lines[1:], smiles):
        if len(text.splitlines()) > 1:
            raise ValueError(
                f"{path}: expected a SMILES in {COLUMN!r}, got a text of {len(text.splitlines())} lines that ends in "
                f"line {line}, {text[:40]!r}...; is a quotation mark not closed?"
            )
    return smiles


def _place(header: list[str], path: Path) -> int:
    """Which column is the one: of several that differ in their case, the one that is written as it should be."""
    places = [place for place, name in enumerate(header) if name.casefold() == COLUMN]
    exact = [place for place in places if header[place] == COLUMN]
    if len(places) == 1 or len(exact) == 1:
        return (exact or places)[0]
    actual = ", ".join(map(repr, header[:20])) if not places else f"{len(places)} of that name"
    raise ValueError(f"{path}: expected {KIND}, got {actual[:300]}")
