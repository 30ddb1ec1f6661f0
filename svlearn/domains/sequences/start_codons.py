"""Upstream start codons as channels of a sequence before a coding region: what a ribosome that scans it meets.

Products of one-hots, and so exact for tokens, and smooth where letters are soft.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from svlearn.domains.sequences.alphabet import DNA

A, C, G, T = range(DNA.size)
CODON = 3
NUM_CHANNELS = 4 * CODON


def start_codon_channels(letters: Tensor) -> Tensor:
    """What is at each place of DNA before the A of a coding region's ATG, (B, 12, L), from letters (B, 4, L).

    By frame, that is by how many letters short of whole codons the place is of the coding region: an ATG whose reading
    meets no stop codon before the end, so that it runs into the coding region; an ATG that is stopped before; a stop
    codon (TAA, TAG, TGA); and 1, which tells the frame itself.
    """
    length = letters.shape[-1]
    starts = letters[:, A] * _ahead(letters[:, T], 1) * _ahead(letters[:, G], 2)
    first, second = (_ahead(letters, places) for places in (1, 2))
    stops = letters[:, T] * (first[:, A] * (second[:, A] + second[:, G]) + first[:, G] * second[:, A])
    unstopped = [torch.ones_like(stops[:, 0])] * CODON  # of the places from `place` on, by frame
    for place in range(length - 1, -1, -1):
        unstopped.insert(0, (1 - stops[:, place]) * unstopped[CODON - 1])
    runs_on = torch.stack(unstopped[:length], dim=1)
    frame = F.one_hot((length - torch.arange(length, device=letters.device)) % CODON, CODON).T.to(letters)
    kinds = torch.stack([starts * runs_on, starts * (1 - runs_on), stops, torch.ones_like(stops)], dim=1)
    return (kinds[:, :, None] * frame).flatten(1, 2)


def _ahead(letters: Tensor, places: int) -> Tensor:
    """What stands so many places further on, 0 beyond the end."""
    return F.pad(letters[..., places:], (0, places))
