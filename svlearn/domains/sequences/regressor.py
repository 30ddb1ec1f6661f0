"""A network that foretells what was measured of a sequence: several small convolutional ones, averaged."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svlearn import checkpoints
from svlearn.arguments import integer
from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.letters import letter_shares
from svlearn.domains.sequences.start_codons import NUM_CHANNELS, start_codon_channels
from svlearn.loading import shipped

FAMILY = "sequence-regressor"
SHIPPED = ("mrl", "hepg2-activity", "yeast-expression", "plant-strength")


class SequenceRegressor(nn.Module):
    """r(x) = location + spread · mean of `members` networks, (B,), in the units of what was measured, of DNA.

    forward(x): token ids (B, L), or soft one-hots (B, L, 4), in which it has a gradient. A member is a convolution of
    `first` places, `depth` residual ones of `kernel_size` places whose dilation doubles, a perceptron of `narrow`
    channels at every place. start_codons: 1, where x stands before a coding region, for its upstream start codons as
    further channels (`start_codon_channels`). both_strands: 1, where the strand does not matter: the mean over both.
    dropout: of the perceptron, in percent.
    Raises ValueError for sequences of another length and for masked places.
    """

    reads_one_hot = True

    location: Tensor
    spread: Tensor

    def __init__(
        self,
        length: int,
        width: int = 32,
        first: int = 7,
        kernel_size: int = 5,
        depth: int = 3,
        narrow: int = 16,
        hidden: int = 64,
        members: int = 1,
        start_codons: int = 0,
        both_strands: int = 0,
        dropout: int = 25,
    ):
        super().__init__()
        self.hyperparameters = dict(
            length=integer(length, "length"),
            width=width,
            first=first,
            kernel_size=kernel_size,
            depth=depth,
            narrow=narrow,
            hidden=hidden,
            members=integer(members, "members"),
            start_codons=integer(start_codons, "start_codons", 0, 1),
            both_strands=integer(both_strands, "both_strands", 0, 1),
            dropout=integer(dropout, "dropout", 0, 99),
        )
        channels = DNA.size + NUM_CHANNELS * start_codons
        sizes = dict(width=width, first=first, kernel_size=kernel_size, depth=depth, narrow=narrow, hidden=hidden)
        self.members = nn.ModuleList(Member(channels, length, **sizes, dropout=0.01 * dropout) for _ in range(members))
        self.register_buffer("location", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(1.0))

    @property
    def length(self) -> int:
        return self.hyperparameters["length"]

    def forward(self, x: Tensor) -> Tensor:
        kind = self.spread.dtype
        letters = letter_shares(x, DNA, self.length, kind).to(kind).transpose(1, 2)
        standardised = self.standardised(letters).mean(dim=0)
        if self.hyperparameters["both_strands"]:
            standardised = 0.5 * (standardised + self.standardised(letters.flip(1, 2)).mean(dim=0))
        return self.location + self.spread * standardised

    def standardised(self, letters: Tensor) -> Tensor:
        """What each member says of the strand as it is given, (members, B), of letters (B, 4, L) in the order ACGT."""
        if self.hyperparameters["start_codons"]:
            letters = torch.cat([letters, start_codon_channels(letters)], dim=1)
        return torch.stack([member(letters) for member in self.members])

    def standardise(self, values: Tensor) -> None:
        """Take location and spread from measured values (N,)."""
        self.location.copy_(values.mean())
        self.spread.copy_(values.std())


class Member(nn.Module):
    """Channels (B, C, L) -> a number, (B,)."""

    def __init__(
        self,
        channels: int,
        length: int,
        width: int,
        first: int,
        kernel_size: int,
        depth: int,
        narrow: int,
        hidden: int,
        dropout: float,
    ):
        super().__init__()
        self.first = nn.Conv1d(channels, width, first, padding="same")
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(width),
                nn.ReLU(),
                nn.Conv1d(width, width, kernel_size, padding="same", dilation=2**layer),
            )
            for layer in range(depth)
        )
        self.last = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(), nn.Conv1d(width, narrow, 1), nn.ReLU())
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(narrow * length, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = x + layer(x)
        return self.head(self.last(x).flatten(1)).squeeze(1)


def load_regressor(name_or_path: str | Path) -> SequenceRegressor:
    """The shipped regressor of that name (`SHIPPED`), or the one in a file, in evaluation mode, its weights frozen.

    Raises ValueError for an unknown name, listing the known ones, and for a checkpoint of another family,
    FileNotFoundError for a path that does not exist.
    """
    name = str(name_or_path)
    if name in SHIPPED:
        path = shipped(file_of(name))
    elif Path(name).suffix:
        path = Path(name)
    else:
        raise ValueError(f"name_or_path: expected a file or one of {', '.join(SHIPPED)}, got {name!r}")
    record = checkpoints.read_record(path)
    if record.get("family") != FAMILY:
        raise ValueError(f"{path}: expected a checkpoint of family {FAMILY!r}, got {record.get('family')!r}")
    network = checkpoints.build(SequenceRegressor, record, path)
    return checkpoints.load_into(network, path).eval().requires_grad_(False)


def save_regressor(network: SequenceRegressor, path: str | Path, **record: Any) -> Path:
    """Write a trained regressor with how it is built, and with what else is to be known of it."""
    return checkpoints.save(network, path, family=FAMILY, network=network.hyperparameters, **record)


def file_of(name: str) -> str:
    """The shipped file of a name."""
    return f"regressor_{name.replace('-', '_')}.safetensors"
