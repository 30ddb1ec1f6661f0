"""What was measured, foretold by a network of svlearn's own."""

from pathlib import Path

from torch import Tensor, nn

from svlearn.domains.sequences.shipped_regressors import load_regressor


class Regression(nn.Module):
    """r(x) = what a regressor of svlearn's own foretells of x, (B,), in the units of what was measured.

    Token ids (B, L) of DNA, or soft one-hots (B, L, 4), in which it has a gradient.
    name: a shipped one, or the path of one in a file: "mrl" (5'UTRs of 50 nt: mean ribosome load), "hepg2-activity"
    (171 nt: log2 RNA/DNA in HepG2 cells), "yeast-expression" (110 nt: the expression bin), "plant-strength" (170 nt:
    log2 enrichment in leaves). How well each foretells what it has not learned stands in checkpoints/regressors.md.
    Raises what `load_regressor` raises, and ValueError for sequences of another length and masked places.
    """

    reads_one_hot = True

    def __init__(self, name: str | Path = "mrl"):
        super().__init__()
        self.network = load_regressor(name)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def train(self, mode: bool = True) -> "Regression":
        """It stays in evaluation mode: its dropout belongs to its own training."""
        return super().train(False)
