"""Optimus 5-Prime: the mean ribosome load of a 5'UTR, by the authors' network."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.assets import fetch
from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.letters import letter_shares
from svlearn.domains.sequences.rewards.keras import fill, read_weights

MODELS = {
    "evolution": "utr5/optimus5prime_evolution.hdf5",
    "retrained": "utr5/optimus5prime_retrained_evolution.hdf5",
}
LENGTH, CODING = 50, "ATGG"  # the 5'UTR, and the beginning of the coding region that follows it
WIDTH, PLACES, HIDDEN = 40, 8, 40
LEFT = LENGTH + len(CODING) - 2 * (PLACES - 1)
SHAPES = {
    "convolution1d_1": {"kernel": (PLACES, DNA.size, WIDTH), "bias": (WIDTH,)},
    "convolution1d_2": {"kernel": (PLACES, WIDTH, WIDTH), "bias": (WIDTH,)},
    "dense_1": {"kernel": (LEFT * WIDTH, HIDDEN), "bias": (HIDDEN,)},
    "dense_2": {"kernel": (HIDDEN, 1), "bias": (1,)},
}


class Optimus5Prime(nn.Module):
    """r(x) = the standardised mean ribosome load that Optimus 5-Prime foretells of a 5'UTR x of 50 nt, (B,).

    Token ids (B, 50) of DNA, or soft one-hots (B, 50, 4), in which it has a gradient.
    model: "evolution", the network that the authors design sequences with, or "retrained", of theirs on human
    sequences too; or the path of such an HDF5 file. What is public is fetched, GPL-3.0.
    Raises ValueError for an unknown name, a file that is not this model, by its path and what is missing, for sequences
    of another length and masked places; ImportError where h5py is missing.
    Source: Sample et al., Nature Biotechnology 37, 803 (2019).
    """

    reads_one_hot = True

    coding: Tensor

    def __init__(self, model: str | Path = "evolution"):
        super().__init__()
        name = str(model)
        if name not in MODELS and not Path(name).suffix:
            raise ValueError(f"model: expected one of {', '.join(MODELS)} or a file, got {name!r}")
        weights = read_weights(fetch(MODELS[name]) if name in MODELS else model, SHAPES, "Optimus 5-Prime")
        self.first = nn.Conv1d(DNA.size, WIDTH, PLACES)
        self.second = nn.Conv1d(WIDTH, WIDTH, PLACES)
        self.hidden = nn.Linear(LEFT * WIDTH, HIDDEN)
        self.last = nn.Linear(HIDDEN, 1)
        fill(self.first, weights["convolution1d_1"])
        fill(self.second, weights["convolution1d_2"])
        fill(self.hidden, weights["dense_1"])
        fill(self.last, weights["dense_2"])
        self.register_buffer("coding", letter_shares(DNA.encode([CODING]), DNA))
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        kind = self.coding.dtype
        letters = letter_shares(x, DNA, LENGTH, kind).to(kind)
        letters = torch.cat([letters, self.coding.expand(len(letters), -1, -1)], dim=1)
        nodes = F.relu(self.second(F.relu(self.first(letters.transpose(1, 2)))))
        nodes = nodes.transpose(1, 2).flatten(1)  # place by place
        return self.last(F.relu(self.hidden(nodes))).squeeze(1)
