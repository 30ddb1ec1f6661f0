"""What a `Scorer` needs to score sequences: their letters, by which they are known."""

from dataclasses import dataclass, field

from torch import Tensor

from svlearn import scoring
from svlearn.arguments import expect
from svlearn.domains.sequences.alphabet import DNA, Alphabet


@dataclass(frozen=True)
class SequenceCodec(scoring.Codec):
    """Token ids (B, L) -> the letters as a text, which is what a function scores.

    Raises ValueError for other states, and for a masked place, with its place.
    """

    alphabet: Alphabet = field(default=DNA)

    noun = "sequence"
    in_workers = False

    def keys(self, states: Tensor) -> list[bytes]:
        expect(states, Tensor, "x")
        if states.dim() != 2 or states.is_floating_point():
            raise ValueError(f"x: expected token ids (B, L), got shape {tuple(states.shape)} of {states.dtype}")
        outside = (states < 0) | (states >= self.alphabet.size)
        if bool(outside.any()):
            row, place = outside.nonzero()[0].tolist()
            letters, came = self.alphabet.letters, int(states[row, place])
            what = "a masked place" if came == self.alphabet.mask else f"the id {came}"
            raise ValueError(f"x[{row}, {place}]: expected a letter of {letters!r}, got {what}")
        return [bytes(row) for row in states.cpu().tolist()]

    def text(self, key: bytes) -> str | None:
        return "".join(self.alphabet.letters[token] for token in key) or None
