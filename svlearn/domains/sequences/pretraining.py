"""Training of a masked diffusion of sequences: its likelihood bound, at a number of masks drawn uniformly."""

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.arguments import expect, integer, real
from svlearn.domains.sequences.alphabet import Alphabet
from svlearn.objectives.lightning.warmed_up import warmed_up
from svlearn.randomness import seeded, uniform, uniform_subset

APART, VALIDATION = 0, 1  # streams of randomness


def masked_counts(drawn: Tensor, generator: torch.Generator) -> Tensor:
    """How many places each row masks, (B,): uniform on 1 ... drawn (B,), stratified over the batch, so that a loss at
    them varies less (the low-discrepancy times of arXiv 2107.00630, appendix I.1)."""
    size, device = len(drawn), drawn.device
    strata = torch.randperm(size, generator=generator, device=device).double()
    shares = (strata + uniform((size,), generator, device)) / size
    return torch.minimum(1 + (shares * drawn).long(), drawn)


def masked_at(clean: Tensor, drawn: Tensor, count: Tensor, mask: int, generator: torch.Generator) -> Tensor:
    """Sequences (B, L) with `count` (B,) masks at uniformly drawn places among the `drawn` (B, L)."""
    return clean.masked_fill(uniform_subset(drawn, count, generator=generator), mask)


def denoising_loss(logits: Tensor, hidden: Tensor, clean: Tensor, mask: int) -> Tensor:
    """The mean cross-entropy of the masked places of `hidden` (B, L), (B,), nats a letter.

    With k masked of n drawn places, k uniform on 1 ... n, its expectation is the bound on -log p_ref(x_T)/n of masked
    diffusion in continuous time, ∫ a'/(1 - a) E[Σ cross-entropy of the masked] dt/n (arXiv 2406.07524, equation 10),
    which is the same for every schedule: ∫ (1/u) Binomial(k; n, u) du = 1/k. For "one_place" it is the mean over orders
    of -log p(x_T | order)/n.
    """
    losses = F.cross_entropy(logits.flatten(0, 1), clean.flatten(), reduction="none").view_as(clean)
    where = hidden == mask
    return (losses * where).sum(dim=1) / where.sum(dim=1).clamp(min=1)


class SequenceTraining(pl.LightningModule):
    """Train a denoiser (x, moments) -> logits (B, L, V) on batches of sequences, ids (B, L), by the likelihood bound.

    AdamW, linear warm-up, cosine decay to 1 %; the noise of step k depends on (seed, k), the process' rank and the
    micro-batch alone, so a resumed run goes on as it would have. What it logs is in bits a letter.
    fixed: as of `MaskedDiffusion`: places that are the same in every sequence, never masked, and read by the network.
    """

    fixed: Tensor

    def __init__(
        self,
        network: nn.Module,
        alphabet: str = "ACGT",
        fixed: str | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        warmup_steps: int = 200,
        seed: int = 0,
    ):
        super().__init__()
        self.network = expect(network, nn.Module, "network")
        self.mask = Alphabet(alphabet).mask
        self.learning_rate = real(learning_rate, "learning_rate", above=0)
        self.weight_decay = real(weight_decay, "weight_decay", 0)
        self.warmup_steps, self.seed = integer(warmup_steps, "warmup_steps"), seed
        places = torch.zeros(0, dtype=torch.bool)
        if fixed is not None:
            places = Alphabet(alphabet).encode([fixed])[0] != self.mask
        self.register_buffer("fixed", places, persistent=False)

    def training_step(self, clean: Tensor, batch_index: int) -> Tensor:
        place = batch_index % self.trainer.accumulate_grad_batches
        generator = seeded(self.device, self.seed, APART, self.global_step, self.global_rank, place)
        loss = self._loss(clean, generator)
        self.log("train/bits", loss.detach() / BIT, prog_bar=True, batch_size=len(clean))
        return loss

    def validation_step(self, clean: Tensor, batch_index: int) -> None:
        generator = seeded(self.device, self.seed, VALIDATION, batch_index, self.global_rank)
        losses = torch.stack([self._loss(clean, generator) for _ in range(REPEATS)])
        self.log("validation/bits", losses.mean() / BIT, prog_bar=True, batch_size=len(clean))

    def _loss(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        drawn = torch.ones_like(clean, dtype=torch.bool)
        if len(self.fixed):
            drawn = drawn & ~self.fixed
        count = masked_counts(drawn.sum(dim=1), generator)
        hidden = masked_at(clean, drawn, count, self.mask, generator)
        moments = 1 - count / drawn.sum(dim=1)
        return denoising_loss(self.network(hidden, moments), hidden, clean, self.mask).mean()

    def configure_optimizers(self) -> dict:
        return warmed_up(self, self.learning_rate, self.weight_decay, self.warmup_steps)


BIT = 0.6931471805599453  # nats
REPEATS = 4  # numbers of masks for each held-out sequence, an evaluation
