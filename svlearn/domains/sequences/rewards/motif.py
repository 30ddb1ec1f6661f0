"""Motifs: how well the best place of a sequence fits a position weight matrix."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from svlearn.arguments import real
from svlearn.domains.sequences.alphabet import DNA, Alphabet
from svlearn.domains.sequences.letters import letter_shares
from svlearn.files import existing

KIND = "a matrix of counts in JASPAR's format"


class Motif(nn.Module):
    """r(x) = max over places i (and strands) of the motif's log-odds Σ_k log(p_k(x_{i+k})/q(x_{i+k})), nats, (B,).

    p_k: the shares of the letters at place k of the motif, of counts with `pseudocount` q(letter) added; q: the
    background. Token ids (B, L), or soft one-hots (B, L, V), in which it has a gradient: that of the best place.
    counts: a row of V counts for each place of the motif, K rows, or the path of a file in JASPAR's format, whose first
    matrix is taken. background: by letter; None: all alike. both_strands: of DNA, the better of the two.
    Raises ValueError for counts that are not K >= 1 rows of V numbers of at least 0 with one above, a pseudocount not
    above 0, a background that is no law, both_strands of another alphabet than four letters that pair, for sequences
    shorter than the motif and masked places; FileNotFoundError where there is no file.
    """

    reads_one_hot = True

    odds: Tensor

    def __init__(
        self,
        counts: Sequence[Sequence[float]] | str | Path,
        *,
        pseudocount: float = 1.0,
        background: Sequence[float] | None = None,
        both_strands: bool = True,
        alphabet: Alphabet = DNA,
    ):
        super().__init__()
        self.alphabet, self.both_strands = alphabet, both_strands
        if both_strands and alphabet.letters not in ("ACGT", "ACGU"):
            raise ValueError(f"both_strands: expected False, as the letters of {alphabet.letters!r} do not pair")
        if isinstance(counts, (str, Path)):
            counts = read_jaspar(counts)
        matrix = torch.as_tensor(counts, dtype=torch.float64)
        if matrix.dim() != 2 or matrix.shape[1] != alphabet.size or not len(matrix):
            raise ValueError(f"counts: expected rows of {alphabet.size} counts, got shape {tuple(matrix.shape)}")
        if not bool((matrix.isfinite() & (matrix >= 0)).all()) or not bool((matrix.sum(dim=1) > 0).all()):
            raise ValueError("counts: expected numbers of at least 0, and one above in each row, got others")
        if background is None:
            background = [1 / alphabet.size] * alphabet.size
        law = torch.as_tensor(background, dtype=torch.float64)
        if law.shape != (alphabet.size,) or not bool((law > 0).all()) or abs(float(law.sum()) - 1) > 1e-6:
            raise ValueError(f"background: expected {alphabet.size} shares above 0 that sum to 1, got {law.tolist()}")
        smoothed = matrix + real(pseudocount, "pseudocount", above=0) * law
        odds = (smoothed / smoothed.sum(dim=1, keepdim=True) / law).log()
        self.register_buffer("odds", odds.to(torch.get_default_dtype()))

    def forward(self, x: Tensor) -> Tensor:
        letters = letter_shares(x, self.alphabet, dtype=self.odds.dtype).to(self.odds.dtype)
        if letters.shape[1] < len(self.odds):
            raise ValueError(f"x: expected sequences of {len(self.odds)} letters or more, got {letters.shape[1]}")
        windows = letters.unfold(1, len(self.odds), 1)  # (B, places, V, K)
        best = torch.einsum("bpvk,kv->bp", windows, self.odds).amax(dim=1)
        if self.both_strands:
            other = torch.einsum("bpvk,kv->bp", windows, self.odds.flip(0, 1)).amax(dim=1)
            best = torch.maximum(best, other)
        return best


def read_jaspar(path: str | Path) -> list[list[float]]:
    """The first matrix of a file in JASPAR's format, a row of counts of A, C, G, T for each place.

    A line ">ID NAME", then a line for each letter: "A [ 3 0 12 ]", brackets or none. Raises FileNotFoundError where
    there is no file, ValueError, with the path and the line, for another one.
    """
    path = existing(path, KIND)
    rows: dict[str, list[float]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected {KIND}, UTF-8 text, got what cannot be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        if line.startswith(">") and rows:
            break
        words = line.replace("[", " ").replace("]", " ").split()
        if not words or line.startswith(">"):
            continue
        letter = words[0].upper()
        try:
            counts = [float(word) for word in words[1:]]
        except ValueError:
            counts = []
        if letter not in DNA.letters or letter in rows or not counts or not all(map(math.isfinite, counts)):
            raise ValueError(f"{path}: line {number}: expected a letter of ACGT and its counts, got {line[:80]!r}")
        rows[letter] = counts
    lengths = {len(counts) for counts in rows.values()}
    if sorted(rows) != sorted(DNA.letters) or len(lengths) != 1:
        raise ValueError(f"{path}: expected {KIND}, with as many counts of A, C, G and T, got {len(rows)} rows of them")
    return [list(place) for place in zip(*(rows[letter] for letter in DNA.letters))]
