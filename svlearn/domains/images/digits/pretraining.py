"""Training of a class-conditional denoiser of images: prediction of the noise, or of a flow's velocity."""

from abc import ABC, abstractmethod

import pytorch_lightning as pl
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from svlearn.arguments import expect, integer, real
from svlearn.objectives.lightning.warmed_up import warmed_up
from svlearn.randomness import global_draws_from, randn, randperm, seeded, uniform

APART, VALIDATION = 0, 1  # streams of randomness
REPEATS = 4  # draws of each held-out image, an evaluation


def stratified(size: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Uniform numbers of [0, 1), (size,), one in each of as many equal parts, in a random order: a loss at them varies
    less (the low-discrepancy times of arXiv 2107.00630, appendix I.1)."""
    strata = randperm(size, generator, device).double()
    return (strata + uniform((size,), generator, device)) / size


def without_class(classes: Tensor, share: float, null: int, generator: torch.Generator) -> Tensor:
    """Classes (B,), each replaced by the null class with probability `share` (arXiv 2207.12598, algorithm 1)."""
    return classes.masked_fill(uniform(classes.shape, generator, classes.device) < share, null)


class DenoiserTraining(pl.LightningModule, ABC):
    """Train network(noised, timesteps, class_labels=classes).sample on batches of images (B, C, H, W) and classes (B,).

    The loss is the mean square of network - target, of what `noised` says. AdamW, linear warm-up, cosine decay to 1 %;
    the noise and the dropout of step k depend on (seed, k), the process' rank and the micro-batch alone, so a resumed
    run goes on as it would have. null_class: the class of `null_share` of the rows, for guidance without a classifier.
    """

    def __init__(
        self,
        network: nn.Module,
        null_class: int = 10,
        null_share: float = 0.1,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        warmup_steps: int = 200,
        seed: int = 0,
    ):
        super().__init__()
        self.network = expect(network, nn.Module, "network")
        self.null_class = integer(null_class, "null_class", 0)
        self.null_share = real(null_share, "null_share", 0, 1)
        self.learning_rate = real(learning_rate, "learning_rate", above=0)
        self.weight_decay = real(weight_decay, "weight_decay", 0)
        self.warmup_steps, self.seed = integer(warmup_steps, "warmup_steps"), seed

    @abstractmethod
    def noised(self, clean: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The images at noise levels (B,) of [0, 1), what the network is given as time, (B,), and what it shall say."""

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        place = batch_index % self.trainer.accumulate_grad_batches
        generator = seeded(self.device, self.seed, APART, self.global_step, self.global_rank, place)
        loss = self._loss(*batch, generator)
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        generator = seeded(self.device, self.seed, VALIDATION, batch_index, self.global_rank)
        losses = torch.stack([self._loss(*batch, generator) for _ in range(REPEATS)])
        self.log("validation/loss", losses.mean(), prog_bar=True, batch_size=len(batch[0]))

    def _loss(self, clean: Tensor, classes: Tensor, generator: torch.Generator) -> Tensor:
        levels = stratified(len(clean), generator, clean.device)
        labels = without_class(classes, self.null_share, self.null_class, generator)
        noise = randn(clean.shape, generator, clean.device, clean.dtype)
        noised, times, target = self.noised(clean, noise, levels)
        with global_draws_from(generator, clean.device):  # dropout
            output = self.network(noised, times, class_labels=labels).sample
        return (output.to(target.dtype) - target).square().mean()

    def configure_optimizers(self) -> dict:
        return warmed_up(self, self.learning_rate, self.weight_decay, self.warmup_steps)


class DiffusionTraining(DenoiserTraining):
    """The noise ε of √ᾱ_t x + √(1 - ᾱ_t) ε, t uniform on the timesteps of the scheduler (arXiv 2006.11239, eq. 14)."""

    def __init__(self, network: nn.Module, scheduler: DDPMScheduler, **options: float):
        super().__init__(network, **options)  # type: ignore[arg-type]
        self.scheduler = expect(scheduler, DDPMScheduler, "scheduler")

    def noised(self, clean: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        number = self.scheduler.config["num_train_timesteps"]
        timesteps = (levels * number).long().clamp(max=number - 1)  # a level may round to 1
        return self.scheduler.add_noise(clean, noise, timesteps), timesteps, noise


class FlowTraining(DenoiserTraining):
    """The velocity ε - x of (1 - s) x + s ε, s uniform (arXiv 2209.03003, equation 1); its time is s times the number
    of the scheduler's timesteps, as diffusers has it."""

    def __init__(self, network: nn.Module, scheduler: FlowMatchEulerDiscreteScheduler, **options: float):
        super().__init__(network, **options)  # type: ignore[arg-type]
        self.scheduler = expect(scheduler, FlowMatchEulerDiscreteScheduler, "scheduler")

    def noised(self, clean: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sigma = levels.to(clean.dtype)
        each = sigma.view(-1, 1, 1, 1)
        return (1 - each) * clean + each * noise, sigma * self.scheduler.config["num_train_timesteps"], noise - clean
