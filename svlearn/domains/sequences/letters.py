"""Finished sequences as the shares of their letters: how rewards read tokens and soft one-hots alike."""

import torch
from torch import Tensor
from torch.nn import functional as F

from svlearn.arguments import expect
from svlearn.domains.sequences.alphabet import Alphabet


def letter_shares(
    x: Tensor, alphabet: Alphabet, length: int | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The share of each letter at each place, (B, L, V).

    x: token ids (B, L), integers of 0 ... V - 1; or soft one-hots (B, L, V), or (B, L, V + 1) with the mask last, whose
    share is that of all letters alike. dtype: of one-hots made of ids; soft ones keep theirs.
    length: what L must be; None: any. Raises TypeError for what is no tensor, ValueError for another shape or length,
    and for a masked place or an id outside the alphabet, with its place.
    """
    expect(x, Tensor, "x")
    size = alphabet.size
    soft = x.is_floating_point()
    if x.dim() != (3 if soft else 2) or (soft and x.shape[2] not in (size, size + 1)):
        wanted = f"token ids (B, L), or soft one-hots (B, L, {size})"
        raise ValueError(f"x: expected {wanted}, got shape {tuple(x.shape)} of {x.dtype}")
    if length is not None and x.shape[1] != length:
        raise ValueError(f"x: expected sequences of {length} letters, got {x.shape[1]}")
    if soft:
        return x[..., :size] + x[..., size:] / size if x.shape[2] > size else x
    outside = (x < 0) | (x >= size)
    if bool(outside.any()):
        row, place = outside.nonzero()[0].tolist()
        came = int(x[row, place])
        what = "a masked place" if came == alphabet.mask else f"the id {came}"
        raise ValueError(f"x[{row}, {place}]: expected a letter of {alphabet.letters!r}, got {what}")
    return F.one_hot(x.long(), size).to(dtype)
