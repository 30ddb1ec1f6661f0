"""Networks of values: one number of a sequence and its time."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from svlearn.arguments import integer


def perceptron(width: int, hidden: int) -> nn.Sequential:
    """(B, width) to (B, 1), 0 at first."""
    last = nn.Linear(hidden, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), last)


class SequenceValue(nn.Module):
    """v_t(x_t) = a perceptron of the mean and the largest of what the body says of each place, (B,), 0 at first.

    For `values.Learned`: forward(x, t), x token ids (B, L), long, or soft one-hots (B, L, V + 1), in which it has a
    gradient, so that `proposals.Guided` can follow it; t (B,), long, 0 ... T. A body that reads the time is told t/T.
    body: `ConvGRU`, `DilatedCNN` or `RotaryTransformer` of a time_width > 0, or any module with
    hidden(x, moments) -> (B, L, width) and a `width`. Raises TypeError for another, ValueError for no step.
    """

    def __init__(self, body: nn.Module, num_steps: int):
        super().__init__()
        if not hasattr(body, "hidden") or not hasattr(body, "width"):
            raise TypeError(
                f"body: expected a module with hidden(x, moments) and a width, got {type(body).__name__} without"
            )
        self.body, self.num_steps = body, integer(num_steps, "num_steps")
        self.out = perceptron(2 * integer(body.width, "body.width"), integer(body.width, "body.width"))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        hidden = cast(Any, self.body).hidden(x, t.to(torch.get_default_dtype()) / self.num_steps)
        return self.out(torch.cat([hidden.mean(dim=1), hidden.amax(dim=1)], dim=1)).squeeze(1)


class FeaturesValue(nn.Module):
    """v_t of the reference's last hidden states (B, L, C) and t (B,), (B,), 0 at first: for `values.Head`."""

    def __init__(self, width: int, num_steps: int, hidden: int = 64):
        super().__init__()
        self.num_steps = integer(num_steps, "num_steps")
        width, hidden = integer(width, "width"), integer(hidden, "hidden")
        self.hyperparameters = dict(width=width, num_steps=num_steps, hidden=hidden)
        self.out = perceptron(2 * width + 1, hidden)

    def forward(self, features: Tensor, t: Tensor) -> Tensor:
        share = (t / self.num_steps).to(features.dtype)
        pooled = [features.mean(dim=1), features.amax(dim=1), share[:, None]]
        return self.out(torch.cat(pooled, dim=1)).squeeze(1)
