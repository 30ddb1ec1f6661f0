"""A scheduler's steps as tables: what one step does with x_t and with what the network says of it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.schedules import NoiseLevels
from svlearn.transitions import GaussianTransition


@dataclass(frozen=True, eq=False)
class Clip:
    """x̂_T clipped to [-most, most], or where `quantile` is given, by dynamic thresholding: to [-s, s] and divided by s,
    s the quantile of |x̂_T| over an image, at least 1 and at most `most` (Imagen, arXiv 2205.11487, section 2.3)."""

    most: float
    quantile: float | None = None

    @classmethod
    def of(cls, scheduler: Any) -> "Clip | None":
        """As a diffusers scheduler's configuration has it."""
        config = scheduler.config
        if getattr(config, "thresholding", False):
            return cls(float(config.sample_max_value), float(config.dynamic_thresholding_ratio))
        return cls(float(config.clip_sample_range)) if getattr(config, "clip_sample", False) else None

    def __call__(self, clean: Tensor) -> Tensor:
        if self.quantile is None:
            return clean.clamp(-self.most, self.most)
        sizes = clean.flatten(1).abs().quantile(self.quantile, dim=1).clamp(1, self.most)
        sizes = sizes.view(-1, *[1] * (clean.dim() - 1))
        return clean.clamp(-sizes, sizes) / sizes


TABLES = ("clean_x", "clean_output", "mean_x", "mean_clean", "mean_output", "stds", "input_scales", "timesteps")


class StepTables(nn.Module):
    """The T steps of a sampler that is linear in x_t and in the network's output, each a Gaussian (std 0: a Dirac):

        x̂_T = clip(clean_x x_t + clean_output out),  out = network(input_scales x_t, timesteps)
        x_{t+1} ~ N(mean_x x_t + mean_clean x̂_T + mean_output out, stds²)

    All of shape (T,), t = 0 ... T - 1 from noise to image, kept in float64, whatever the dtype of what holds them.
    x_0 ~ N(0, initial_std²). levels: x_t | x_T ~ N(a_t x_T, σ_t²), the forward process.
    """

    clean_x: Tensor
    clean_output: Tensor
    mean_x: Tensor
    mean_clean: Tensor
    mean_output: Tensor
    stds: Tensor
    input_scales: Tensor
    timesteps: Tensor
    initial_std: Tensor
    scales: Tensor
    noise_stds: Tensor

    def __init__(
        self,
        *,
        clean_x: Tensor,
        clean_output: Tensor,
        mean_x: Tensor,
        mean_clean: Tensor,
        stds: Tensor,
        timesteps: Tensor,
        levels: NoiseLevels,
        mean_output: Tensor | float = 0.0,
        input_scales: Tensor | float = 1.0,
        initial_std: float = 1.0,
        clip: Clip | None = None,
    ):
        super().__init__()
        rows = {
            "clean_x": clean_x,
            "clean_output": clean_output,
            "mean_x": mean_x,
            "mean_clean": mean_clean,
            "mean_output": mean_output,
            "stds": stds,
            "input_scales": input_scales,
            "timesteps": timesteps,
        }
        size = len(timesteps)
        for name, row in rows.items():
            self.register_buffer(name, torch.as_tensor(row, dtype=torch.float64).expand(size).clone())
        self.register_buffer("initial_std", torch.tensor(float(initial_std), dtype=torch.float64))
        self.register_buffer("scales", levels.scales.clone())
        self.register_buffer("noise_stds", levels.stds.clone())
        self.clip, self.num_steps = clip, size
        self.whole_timesteps = not timesteps.dtype.is_floating_point
        self._reads_output = bool((self.mean_output != 0).any())
        self._scales_input = bool((self.input_scales != 1).any())
        bounds = torch.tensor([] if clip is None else [clip.most, clip.quantile or 0.0], dtype=torch.float64)
        self.register_buffer("clip_bounds", bounds)  # a process that clips otherwise is another

    def _apply(self, fn: Any, recurse: bool = True) -> "StepTables":
        """Moves with its owner, and stays in float64: in half precision the tables would be other steps."""
        before = dict(self.named_buffers())
        super()._apply(fn, recurse)
        for name, buffer in before.items():
            own = getattr(self, name)
            if own.dtype != buffer.dtype:
                setattr(self, name, buffer.to(own.device))
        return self

    def levels(self) -> NoiseLevels:
        """a_t and σ_t, t = 0 ... T, of the forward process."""
        return NoiseLevels(self.scales.cpu(), self.noise_stds.cpu())

    def network_input(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What the network is called with for x_t (B, ...): the sample, and its timestep (B,)."""
        times = self.timesteps[t]
        times = times.long() if self.whole_timesteps else times.to(torch.float32)
        return (_row(self.input_scales, t, x) * x if self._scales_input else x), times

    def clean(self, x: Tensor, output: Tensor, t: Tensor) -> Tensor:
        """x̂_T (B, ...) of x_t (B, ...) and the network's output."""
        clean = _row(self.clean_x, t, x) * x + _row(self.clean_output, t, x) * output
        return clean if self.clip is None else self.clip(clean)

    def law(self, x: Tensor, clean: Tensor, output: Tensor, t: Tensor) -> GaussianTransition:
        """The law of x_{t+1}."""
        mean = _row(self.mean_x, t, x) * x + _row(self.mean_clean, t, x) * clean
        if self._reads_output:
            mean = mean + _row(self.mean_output, t, x) * output
        return GaussianTransition(mean, _row(self.stds, t, x))


def _row(table: Tensor, t: Tensor, x: Tensor) -> Tensor:
    """The table's entries at t (B,), (B, 1, ...), in the dtype of x."""
    return table[t].to(x.dtype).view(-1, *[1] * (x.dim() - 1))


def noise_levels(scales: Tensor, stds: Tensor) -> NoiseLevels:
    """Of a_t and σ_t, t = 0 ... T - 1, of the states that the steps start from; x_T is finished, without noise."""
    end = torch.tensor([1.0], dtype=torch.float64), torch.tensor([0.0], dtype=torch.float64)
    return NoiseLevels(torch.cat([scales, end[0]]), torch.cat([stds, end[1]]))
