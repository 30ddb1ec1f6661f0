"""A public denoiser of MNIST digits that is not diffusers': the UNet of BrianPulfer/PapersReimplementations."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from svlearn.assets import fetch
from svlearn.domains.images.digits.weights import load_into

FILE = "images/ddpm_mnist.pt"
NUM_TIMESTEPS, TIME_WIDTH = 1000, 100


class Block(nn.Module):
    """Two convolutions of 3 x 3, each with SiLU, of (B, C, S, S), normalised first over C, H and W."""

    def __init__(self, size: int, channels: int, out_channels: int, normalize: bool = True):
        super().__init__()
        self.ln = nn.LayerNorm((channels, size, size))
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.normalize = normalize

    def forward(self, x: Tensor) -> Tensor:
        silu = nn.functional.silu
        return silu(self.conv2(silu(self.conv1(self.ln(x) if self.normalize else x))))


def blocks(size: int, *channels: int, last_normalizes: bool = True) -> nn.Sequential:
    """Blocks from each number of channels to the next."""
    pairs = list(pairwise(channels))
    return nn.Sequential(
        *(Block(size, *pair, normalize=last_normalizes or place + 1 < len(pairs)) for place, pair in enumerate(pairs))
    )


def time_layers(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(TIME_WIDTH, channels), nn.SiLU(), nn.Linear(channels, channels))


class DigitUNet(nn.Module):
    """The noise ε (B, 1, 28, 28) in √ᾱ_t x + √(1 - ᾱ_t) ε, called as a network of diffusers: (sample, timestep).

    sample: (B, 1, 28, 28), of data in [-1, 1]; timestep: a number or (B,), long, of 0 ... 999, β linear from 1e-4 to
    0.02 (`scheduler`). What it returns has the noise as `sample`. The names are those of the public file.
    """

    config = SimpleNamespace(sample_size=28, in_channels=1)

    def __init__(self) -> None:
        super().__init__()
        self.time_embed = nn.Embedding(NUM_TIMESTEPS, TIME_WIDTH)
        self.te1, self.b1 = time_layers(1), blocks(28, 1, 10, 10, 10)
        self.down1 = nn.Conv2d(10, 10, 4, 2, 1)
        self.te2, self.b2 = time_layers(10), blocks(14, 10, 20, 20, 20)
        self.down2 = nn.Conv2d(20, 20, 4, 2, 1)
        self.te3, self.b3 = time_layers(20), blocks(7, 20, 40, 40, 40)
        self.down3 = nn.Sequential(nn.Conv2d(40, 40, 2, 1), nn.SiLU(), nn.Conv2d(40, 40, 4, 2, 1))
        self.te_mid, self.b_mid = time_layers(40), blocks(3, 40, 20, 20, 40)
        self.up1 = nn.Sequential(nn.ConvTranspose2d(40, 40, 4, 2, 1), nn.SiLU(), nn.ConvTranspose2d(40, 40, 2, 1))
        self.te4, self.b4 = time_layers(80), blocks(7, 80, 40, 20, 20)
        self.up2 = nn.ConvTranspose2d(20, 20, 4, 2, 1)
        self.te5, self.b5 = time_layers(40), blocks(14, 40, 20, 10, 10)
        self.up3 = nn.ConvTranspose2d(10, 10, 4, 2, 1)
        self.te_out, self.b_out = time_layers(20), blocks(28, 20, 10, 10, 10, last_normalizes=False)
        self.conv_out = nn.Conv2d(10, 1, 3, 1, 1)

    @property
    def mid_block(self) -> nn.Module:
        """Of 40 features on 3 x 3 places, by the name that diffusers' networks have for it."""
        return self.b_mid

    def forward(self, sample: Tensor, timestep: Tensor | float) -> SimpleNamespace:
        steps = torch.as_tensor(timestep, device=sample.device).long().expand(len(sample))
        time = self.time_embed(steps)

        def at(layers: nn.Module) -> Tensor:
            return layers(time)[:, :, None, None]

        high = self.b1(sample + at(self.te1))
        middle = self.b2(self.down1(high) + at(self.te2))
        low = self.b3(self.down2(middle) + at(self.te3))
        hidden = self.up1(self.b_mid(self.down3(low) + at(self.te_mid)))
        hidden = self.up2(self.b4(torch.cat([low, hidden], dim=1) + at(self.te4)))
        hidden = self.up3(self.b5(torch.cat([middle, hidden], dim=1) + at(self.te5)))
        hidden = self.b_out(torch.cat([high, hidden], dim=1) + at(self.te_out))
        return SimpleNamespace(sample=self.conv_out(hidden))


def digit_unet(path: str | Path | None = None) -> DigitUNet:
    """The public network, in evaluation mode, not to be trained.

    path: its file; None: the public one, fetched where it is not there yet. Raises ValueError for a file that is none.
    """
    network = DigitUNet()
    load_into(network, fetch(FILE) if path is None else path, "the weights of a denoiser of digits", prefix="network.")
    return network.eval().requires_grad_(False)


def scheduler() -> DDPMScheduler:
    """That it was trained with; steps have the variance β of the authors' sampler, and x̂_T is clipped to [-1, 1]."""
    return DDPMScheduler(
        num_train_timesteps=NUM_TIMESTEPS,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        variance_type="fixed_large",
        clip_sample=True,
    )
