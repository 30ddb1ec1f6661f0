"""Training of a `SequenceRegressor` on measured sequences."""

import pytorch_lightning as pl
import torch
from tensordict import TensorDict
from torch import Tensor
from torch.nn import functional as F

from svlearn.arguments import expect, integer, real
from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.letters import letter_shares
from svlearn.domains.sequences.measurements import MeasuredData
from svlearn.domains.sequences.regressor import SequenceRegressor
from svlearn.objectives.lightning.warmed_up import warmed_up
from svlearn.randomness import seeded


def regression_loss(standardised: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Σ_b w_b Σ_m h(f_m(x_b) - y_b) / Σ_b w_b, with Huber's h(d) = d²/2 up to |d| = 1 and |d| - 1/2 beyond.

    standardised (members, B), wanted (B,), in standard deviations; weights (B,), not negative. The sum over members
    trains each of them as if it were alone.
    """
    losses = F.smooth_l1_loss(standardised, wanted.expand_as(standardised), reduction="none").sum(dim=0)
    return (weights * losses).sum() / weights.sum()


class RegressorTraining(pl.LightningModule):
    """Train a `SequenceRegressor` on a `MeasuredData`, batches of {tokens (B, L), values (B,), weights (B,)}.

    AdamW, linear warm-up over the first tenth, cosine decay to 1 %. Where the network reads both strands, each batch is
    given as it is or on the other strand, by a coin of (seed, step). mixup: two sequences of a batch are mixed,
    λ x + (1 - λ) x', λ ~ Beta(mixup, mixup), and their values and weights alike (arXiv 1710.09412), so that soft
    letters are no news to the network; 0: none are.
    """

    def __init__(
        self,
        network: SequenceRegressor,
        learning_rate: float = 4e-3,
        weight_decay: float = 0.05,
        mixup: float = 0.0,
        seed: int = 0,
    ):
        super().__init__()
        self.network = expect(network, SequenceRegressor, "network")
        self.learning_rate = real(learning_rate, "learning_rate", above=0)
        self.weight_decay = real(weight_decay, "weight_decay", 0)
        self.mixup, self.seed = real(mixup, "mixup", 0), integer(seed, "seed", 0)

    def on_fit_start(self) -> None:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, MeasuredData):
            raise TypeError(f"data: expected a MeasuredData, got {type(data).__name__}")
        if self.global_step == 0:
            self.network.standardise(data.train["values"])

    def training_step(self, batch: TensorDict, batch_index: int) -> Tensor:
        generator = seeded("cpu", self.seed, self.global_step, self.global_rank)
        letters, wanted, weights = self._read(batch)
        if self.network.hyperparameters["both_strands"] and torch.rand((), generator=generator) < 0.5:
            letters = letters.flip(1, 2)
        if self.mixup:
            other = torch.randperm(len(batch), generator=generator)
            share = _beta(self.mixup, len(batch), generator).to(letters)
            letters = share[:, None, None] * letters + (1 - share[:, None, None]) * letters[other]
            wanted = share * wanted + (1 - share) * wanted[other]
            weights = share * weights + (1 - share) * weights[other]
        loss = regression_loss(self.network.standardised(letters), wanted, weights)
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch))
        return loss

    def validation_step(self, batch: TensorDict, batch_index: int) -> None:
        error = (self.network(batch["tokens"]) - batch["values"]) / self.network.spread
        self.log("validation/mean_square", error.square().mean(), prog_bar=True, batch_size=len(batch))

    def configure_optimizers(self) -> dict:
        rising = max(1, int(self.trainer.estimated_stepping_batches) // 10)
        return warmed_up(self, self.learning_rate, self.weight_decay, rising)

    def _read(self, batch: TensorDict) -> tuple[Tensor, Tensor, Tensor]:
        letters = letter_shares(batch["tokens"], DNA, self.network.length).transpose(1, 2)
        return letters, (batch["values"] - self.network.location) / self.network.spread, batch["weights"]


def _beta(concentration: float, size: int, generator: torch.Generator) -> Tensor:
    """Draws (size,) of Beta(a, a), by two gamma variates."""
    shape = torch.full((2, size), concentration)
    first, second = torch._standard_gamma(shape, generator=generator)
    return first / (first + second).clamp(min=torch.finfo(first.dtype).tiny)
