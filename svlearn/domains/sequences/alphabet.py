"""The letters of a kind of sequence, and the token ids that stand for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from svlearn.arguments import each_of, expect, integer


@dataclass(frozen=True)
class Alphabet:
    """Letters, numbered from 0 in their order, and the mask after the last.

    aliases: letters that are read as others, as U for T. Lower case is read as upper where the alphabet has no lower
    case of its own. Raises ValueError for no letters, doubles, the mask's sign "_", and aliases of unknown letters.
    """

    letters: str
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        expect(self.letters, str, "letters")
        if not self.letters or len(set(self.letters)) < len(self.letters) or "_" in self.letters:
            raise ValueError(f"letters: expected different letters without '_', got {self.letters!r}")
        for alias, letter in self.aliases.items():
            if len(alias) != 1 or letter not in self.letters or alias in self.letters:
                raise ValueError(
                    f"aliases: expected other letters for those of {self.letters!r}, got {alias}: {letter}"
                )

    @property
    def size(self) -> int:
        """The number of letters V; their ids are 0 ... V - 1."""
        return len(self.letters)

    @property
    def mask(self) -> int:
        """The id of the mask, V."""
        return len(self.letters)

    def encode(self, sequences: Sequence[str], length: int | None = None) -> Tensor:
        """The token ids (B, L) of sequences of one length; "_" is a masked place.

        length: what L must be; None: that of the first. Raises TypeError for one text instead of a list, ValueError for
        none, for a letter outside the alphabet, with its place, and for another length.
        """
        sequences = each_of(sequences, str, "sequences")
        if not sequences:
            raise ValueError("sequences: expected at least one, got none")
        length = len(sequences[0]) if length is None else integer(length, "length")
        ids = self._ids()
        for row, sequence in enumerate(sequences):
            if len(sequence) != length:
                raise ValueError(f"sequences[{row}]: expected {length} letters, got {len(sequence)}")
            for place, letter in enumerate(sequence):
                if letter not in ids:
                    raise ValueError(
                        f"sequences[{row}][{place}]: expected a letter of {self.letters!r} or '_', got {letter!r}"
                    )
        return torch.tensor([[ids[letter] for letter in sequence] for sequence in sequences], dtype=torch.long)

    def decode(self, tokens: Tensor) -> list[str]:
        """The sequences of token ids (B, L), "_" for a masked place. Raises ValueError for ids outside."""
        if tokens.dim() != 2 or tokens.dtype != torch.long:
            raise ValueError(f"tokens: expected ids (B, L), long, got {tuple(tokens.shape)} of {tokens.dtype}")
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) <= self.mask:
            raise ValueError(
                f"tokens: expected ids from 0 to {self.mask}, got {int(tokens.min())} to {int(tokens.max())}"
            )
        signs = self.letters + "_"
        return ["".join(signs[token] for token in row) for row in tokens.tolist()]

    def _ids(self) -> dict[str, int]:
        ids = {letter: token for token, letter in enumerate(self.letters + "_")}
        ids |= {alias: ids[letter] for alias, letter in self.aliases.items()}
        return {letter.lower(): token for letter, token in ids.items()} | ids


DNA = Alphabet("ACGT", {"U": "T"})
RNA = Alphabet("ACGU", {"T": "U"})
PROTEIN = Alphabet("ACDEFGHIKLMNPQRSTVWY")
