"""Networks of values of noisy images or latents, and of the hidden states of the network that denoises them."""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.arguments import integer, integers
from svlearn.state import State

GROUPS = 8  # of a normalisation
FREQUENCIES = 16


class ConditionEmbedding(nn.Module):
    """A vector (B, width) of t/T, and of a class (B,) or of a prompt's embedding (B, prompt_width), where it is told of
    these: sines and cosines of the time, each through layers of its own, and their sum.

    num_classes: of classes 0 ... num_classes - 1, the null class among them.
    """

    frequencies: Tensor

    def __init__(self, width: int, num_steps: int, num_classes: int | None = None, prompt_width: int | None = None):
        super().__init__()
        self.num_steps = num_steps
        frequencies = torch.exp(torch.linspace(0.0, math.log(1000.0), FREQUENCIES))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.classes = None if num_classes is None else nn.Embedding(num_classes, width)
        self.prompt = None
        if prompt_width is not None:
            self.prompt = nn.Sequential(nn.LayerNorm(prompt_width), nn.Linear(prompt_width, width))

    def forward(self, t: Tensor, classes: Tensor | None = None, prompt: Tensor | None = None) -> Tensor:
        angles = (t / self.num_steps).to(self.frequencies.dtype)[:, None] * self.frequencies
        total = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        if self.classes is not None:
            total = total + self._of_classes(self.classes, classes)
        if self.prompt is not None:
            total = total + self.prompt(prompt)
        return total

    @staticmethod
    def _of_classes(embedding: nn.Embedding, classes: Tensor | None) -> Tensor:
        try:
            return embedding(classes)
        except IndexError as error:
            most, came = embedding.num_embeddings - 1, cast(Tensor, classes).aminmax()
            expected = f"classes of 0 ... {most} (num_classes counts the null class)"
            raise ValueError(f"class: expected {expected}, got {int(came.min)} ... {int(came.max)}") from error


class Block(nn.Module):
    """x/2 in height and width, and a residual of two convolutions, normalised and scaled by what the condition says."""

    def __init__(self, channels: int, out_channels: int, condition_width: int):
        super().__init__()
        self.halve = nn.Conv2d(channels, out_channels, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(math.gcd(GROUPS, out_channels), out_channels, affine=False)
        self.scale_and_shift = nn.Linear(condition_width, 2 * out_channels)
        self.convolution = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x = self.halve(x)
        scale, shift = self.scale_and_shift(condition)[:, :, None, None].chunk(2, dim=1)
        hidden = nn.functional.silu(self.norm(x) * (1 + scale) + shift)
        return x + nn.functional.silu(self.convolution(hidden))


def perceptron(width: int, hidden: int) -> nn.Sequential:
    """(B, width) to (B, 1), 0 at first."""
    last = nn.Linear(hidden, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), last)


def pooled(hidden: Tensor) -> Tensor:
    """The mean and the largest of each channel of (B, C, H, W) or (B, C), (B, 2 C)."""
    places = hidden.flatten(2) if hidden.dim() > 2 else hidden.unsqueeze(2)
    return torch.cat([places.mean(dim=2), places.amax(dim=2)], dim=1)


class ImageValue(nn.Module):
    """v_t(x_t) of noisy images or latents at t/T, (B,), 0 at first: for `values.Learned`, forward(x, t).

    Convolutions, a block of `widths` each at half the size of the one before, then a perceptron of the mean and the
    largest of each channel. x: (B, C, H, W), or a TensorDict with it as "sample"; t: (B,), long, 0 ... T. It has a
    gradient in the sample, so that `proposals.Guided` can follow it.

    channels: C; height and width may be any. num_classes: of the leaf "class" (B,), the null class counted, where the
    value depends on it. prompt_width: of a prompt's embedding, where the value depends on that: it is the leaf
    "embedding" of the state, (B, prompt_width), or the mean over L of (B, L, prompt_width); or what `encode` says of
    the leaf "prompt" (B, 512). encode is not saved with a value: set it again on what was loaded.
    Raises ValueError for another number of channels, for a class that is not counted, for a state without the leaf, and
    for an embedding of another width.
    """

    encode: Callable[[Tensor], Tensor] | None

    def __init__(
        self,
        channels: int,
        num_steps: int,
        widths: tuple[int, ...] = (32, 64, 64),
        num_classes: int | None = None,
        prompt_width: int | None = None,
        encode: Callable[[Tensor], Tensor] | None = None,
    ):
        super().__init__()
        self.channels, sizes = integer(channels, "channels"), integers(widths, "widths")
        if not sizes:
            raise ValueError("widths: expected at least one, got none")
        object.__setattr__(self, "encode", encode)  # no part: a text encoder is neither trained nor saved with a value
        steps = integer(num_steps, "num_steps")
        num_classes = None if num_classes is None else integer(num_classes, "num_classes")
        self.prompt_width = None if prompt_width is None else integer(prompt_width, "prompt_width")
        self.hyperparameters = dict(
            channels=self.channels,
            num_steps=steps,
            widths=sizes,
            num_classes=num_classes,
            prompt_width=self.prompt_width,
        )
        width = sizes[-1]
        self.condition = ConditionEmbedding(width, steps, num_classes, self.prompt_width)
        self.blocks = nn.ModuleList(Block(*pair, width) for pair in zip([self.channels, *sizes], sizes))
        self.out = perceptron(2 * width, width)

    def forward(self, x: State, t: Tensor) -> Tensor:
        sample = x["sample"] if isinstance(x, TensorDict) else x
        if sample.dim() != 4 or sample.shape[1] != self.channels:
            raise ValueError(f"x: expected samples (B, {self.channels}, H, W), got {tuple(sample.shape)}")
        hidden = sample.to(self.condition.frequencies.dtype)
        condition = self.condition(t, self._classes(x), self._prompt(x))
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.out(pooled(hidden)).squeeze(1)

    def _classes(self, x: State) -> Tensor | None:
        return None if self.condition.classes is None else _leaf(x, "class", "num_classes")

    def _prompt(self, x: State) -> Tensor | None:
        if self.prompt_width is None:
            return None
        if self.encode is not None:
            embedding = self.encode(_leaf(x, "prompt", "prompt_width")).detach()
        else:
            embedding = _leaf(x, "embedding", "prompt_width, without encode,")
        if embedding.dim() == 3:
            embedding = embedding.mean(dim=1)
        if embedding.dim() != 2 or embedding.shape[1] != self.prompt_width:
            raise ValueError(f"embedding: expected (B, {self.prompt_width}), got {tuple(embedding.shape)}")
        return embedding.to(self.condition.frequencies.dtype)


class FeaturesValue(nn.Module):
    """v_t of the denoiser's hidden states (B, C) or (B, C, H, W) and t (B,), (B,), 0 at first: for `values.Head`.

    num_classes: of the leaf "class" (B,), the null class counted, where the value depends on it and the denoiser is not
    told of it; else the hidden states say what they are conditioned on. `leaf` is then "class", else None.
    Raises ValueError for another number of channels, without classes where they are asked for, and for one that is not
    counted.
    """

    leaf: str | None

    def __init__(self, channels: int, num_steps: int, hidden: int = 64, num_classes: int | None = None):
        super().__init__()
        self.channels, steps = integer(channels, "channels"), integer(num_steps, "num_steps")
        hidden = integer(hidden, "hidden")
        num_classes = None if num_classes is None else integer(num_classes, "num_classes")
        self.leaf = None if num_classes is None else "class"
        self.hyperparameters = dict(channels=self.channels, num_steps=steps, hidden=hidden, num_classes=num_classes)
        self.time = ConditionEmbedding(hidden, steps, num_classes)
        self.out = perceptron(2 * self.channels + hidden, hidden)

    def forward(self, features: Tensor, t: Tensor, classes: Tensor | None = None) -> Tensor:
        if features.dim() < 2 or features.shape[1] != self.channels:
            raise ValueError(f"features: expected (B, {self.channels}, ...), got {tuple(features.shape)}")
        if self.leaf is not None and classes is None:
            raise ValueError("classes: expected those of the states (B,), which num_classes asks for, got None")
        hidden = pooled(features.to(self.time.frequencies.dtype))
        return self.out(torch.cat([hidden, self.time(t, classes)], dim=1)).squeeze(1)


def _leaf(x: State, name: str, argument: str) -> Tensor:
    leaves: dict[str, Any] = dict(x.items()) if isinstance(x, TensorDict) else {}
    if name not in leaves:
        came = ", ".join(leaves) if leaves else "a sample alone"
        raise ValueError(f"x: expected states with a leaf {name!r}, which {argument} asks for, got {came}")
    return leaves[name]
