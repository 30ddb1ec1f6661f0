"""A network that foretells what was measured of a sequence: several small convolutional ones, averaged."""

import torch
from torch import Tensor, nn

from svlearn.arguments import integer
from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.letters import letter_shares
from svlearn.domains.sequences.start_codons import NUM_CHANNELS, start_codon_channels


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
