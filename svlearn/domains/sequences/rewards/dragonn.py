"""MPRA-DragoNN: how strongly a sequence drives a reporter gene in K562 or HepG2 cells, by the authors' network."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.arguments import integer
from svlearn.assets import fetch
from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.letters import letter_shares
from svlearn.domains.sequences.rewards.keras import fill, read_weights

FILE = "dna/mpra_dragonn_convmodel.hdf5"
LENGTH, WIDTH, PLACES, LAYERS, NUM_TASKS = 145, 120, 5, 3, 12
EPSILON = 1e-3  # of Keras' batch normalisation
LEFT = LENGTH - LAYERS * (PLACES - 1)
TASKS = {("K562", "minP"): 2, ("K562", "SV40p"): 5, ("HepG2", "minP"): 8, ("HepG2", "SV40p"): 11}  # replicates pooled
SHAPES = {
    f"conv1d_{layer}": {"kernel": (PLACES, DNA.size if layer == 1 else WIDTH, WIDTH), "bias": (WIDTH,)}
    for layer in range(1, LAYERS + 1)
}
SHAPES |= {
    f"batch_normalization_{layer}": dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (WIDTH,))
    for layer in range(1, LAYERS + 1)
}
SHAPES |= {"dense_1": {"kernel": (LEFT * WIDTH, NUM_TASKS), "bias": (NUM_TASKS,)}}


class MPRADragoNN(nn.Module):
    """r(x) = the activity of x that MPRA-DragoNN foretells, in standard deviations of its training data, (B,).

    Token ids (B, L) of DNA, L >= 145, or soft one-hots (B, L, 4), in which it has a gradient. The network reads 145
    letters: of a longer x it is the mean over windows, at 0, stride, 2 stride, ... and the last one.
    cells: "HepG2" or "K562"; promoter: "minP" or "SV40p", that of the reporter. stride: letters, 1 at least.
    path: the HDF5 file; None: the public one, MIT, fetched where it is not there yet.
    Raises ValueError for unknown cells or promoters, a file that is not this model, by its path and what is missing,
    for shorter sequences and masked places; ImportError where h5py is missing.
    Source: Movva et al., PLOS ONE 14, e0218073 (2019); three convolutions, ReLU, normalisation, one dense layer.
    """

    reads_one_hot = True

    def __init__(self, cells: str = "HepG2", promoter: str = "SV40p", stride: int = 13, path: str | Path | None = None):
        super().__init__()
        if (cells, promoter) not in TASKS:
            known = " or ".join(f"{cell} with {each}" for cell, each in TASKS)
            raise ValueError(f"cells, promoter: expected {known}, got {cells} with {promoter}")
        self.task, self.stride = TASKS[cells, promoter], integer(stride, "stride")
        weights = read_weights(fetch(FILE) if path is None else path, SHAPES, "MPRA-DragoNN's ConvModel")
        self.convolutions = nn.ModuleList(nn.Conv1d(WIDTH if k else DNA.size, WIDTH, PLACES) for k in range(LAYERS))
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH, eps=EPSILON) for _ in range(LAYERS))
        self.last = nn.Linear(LEFT * WIDTH, 1)
        for k, (convolution, norm) in enumerate(zip(self.convolutions, self.norms), start=1):
            fill(convolution, weights[f"conv1d_{k}"])  # type: ignore[arg-type]
            normalised = weights[f"batch_normalization_{k}"]
            norm.load_state_dict(
                {
                    "weight": normalised["gamma"],
                    "bias": normalised["beta"],
                    "running_mean": normalised["moving_mean"],
                    "running_var": normalised["moving_variance"],
                    "num_batches_tracked": torch.tensor(0),
                }
            )
        fill(self.last, {name: each[..., self.task : self.task + 1] for name, each in weights["dense_1"].items()})
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        kind = self.last.weight.dtype
        letters = letter_shares(x, DNA, dtype=kind).to(kind).transpose(1, 2)
        length = letters.shape[2]
        if length < LENGTH:
            raise ValueError(f"x: expected sequences of {LENGTH} letters or more, got {length}")
        starts = sorted({*range(0, length - LENGTH, self.stride), length - LENGTH})
        windows = torch.stack([letters[:, :, start : start + LENGTH] for start in starts], dim=1)
        return self._of_windows(windows.flatten(0, 1)).view(len(letters), len(starts)).mean(dim=1)

    def train(self, mode: bool = True) -> "MPRADragoNN":
        """It stays in evaluation mode: its normalisation is that of its training."""
        return super().train(False)

    def _of_windows(self, letters: Tensor) -> Tensor:
        """(N, 4, 145) -> (N,)."""
        for convolution, norm in zip(self.convolutions, self.norms):
            letters = norm(F.relu(convolution(letters)))
        return self.last(letters.transpose(1, 2).flatten(1)).squeeze(1)
