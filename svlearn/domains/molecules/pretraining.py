"""Training of the masked graph diffusion: cross-entropy of what is hidden, at a time drawn uniformly."""

import pytorch_lightning as pl
import torch
from tensordict import TensorDict
from torch import Tensor
from torch.nn import functional as F

from svlearn.domains.molecules.graph import MASKED_ATOM, MASKED_BOND, pair_mask, permuted
from svlearn.domains.molecules.masking import hide, num_steps
from svlearn.domains.molecules.transformer import GraphTransformer
from svlearn.objectives.lightning.warmed_up import warmed_up
from svlearn.randomness import seeded

APART, VALIDATION = 0, 1  # streams of randomness


def denoising_loss(atom_logits: Tensor, bond_logits: Tensor, hidden: TensorDict, clean: TensorDict) -> Tensor:
    """Mean cross-entropy (B,), nats, of the undecided atoms plus that of the undecided bonds.

    A step decides one place, drawn uniformly among the undecided, so with t uniform this bounds
    -log p_ref(x_T) / T from above (the ELBO of masked diffusion, arXiv 2406.04329, in discrete steps); while atoms
    are undecided their bonds' term is extra, and trains x̂_T.
    """
    atoms = _mean_cross_entropy(atom_logits, clean["atoms"], (hidden["atoms"] == MASKED_ATOM) & clean["mask"])
    bonds = _mean_cross_entropy(
        bond_logits, clean["bonds"], (hidden["bonds"] == MASKED_BOND) & pair_mask(clean["mask"])
    )
    return atoms + bonds


def _mean_cross_entropy(logits: Tensor, tokens: Tensor, where: Tensor) -> Tensor:
    losses = F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none").view_as(tokens)
    return (losses * where).sum(1) / where.sum(1).clamp(min=1)


class MaskedGraphTraining(pl.LightningModule):
    """Train a `GraphTransformer` on batches of finished graphs; atoms are renumbered at random each time.

    Adam, linear warm-up, cosine decay to 1 %; the noise of step k depends on (seed, k), the process' rank and the
    micro-batch alone, so a resumed run goes on as it would have.
    """

    def __init__(self, network: GraphTransformer, learning_rate: float = 2e-3, warmup_steps: int = 500, seed: int = 0):
        super().__init__()
        self.network, self.learning_rate = network, learning_rate
        self.warmup_steps, self.seed = warmup_steps, seed

    def training_step(self, clean: TensorDict, batch_index: int) -> Tensor:
        step, place = self.global_step, (self.global_rank, batch_index % self.trainer.accumulate_grad_batches)
        if any(place):
            generator = seeded(self.device, self.seed, APART, step, *place)
        else:  # the stream of the shipped network
            generator = torch.Generator(self.device).manual_seed(self.seed + 1 + step)
        loss = self._loss(clean, generator)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(clean))
        return loss

    def validation_step(self, clean: TensorDict, batch_index: int) -> None:
        generator = seeded(self.device, self.seed, VALIDATION, batch_index, self.global_rank)
        self.log("validation/loss", self._loss(clean, generator), prog_bar=True, batch_size=len(clean))

    def _loss(self, clean: TensorDict, generator: torch.Generator) -> Tensor:
        order = torch.rand(clean["mask"].shape, generator=generator, device=self.device).argsort(1)
        clean = permuted(clean, order)
        steps = num_steps(clean["mask"].shape[1])
        t = torch.randint(steps, (len(clean),), generator=generator, device=self.device)
        hidden = hide(clean, t, generator=generator)
        atom_logits, bond_logits = self.network(hidden)
        return denoising_loss(atom_logits, bond_logits, hidden, clean).mean()

    def configure_optimizers(self) -> dict:
        return warmed_up(self, self.learning_rate, 0.01, self.warmup_steps)
