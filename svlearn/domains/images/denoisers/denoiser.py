"""How a kind of network is called: what of a state it reads besides the sample, and what it says."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Denoised:
    """What a network says of B samples.

    output       (B, C, H, W), noise, image or velocity, as its scheduler has it
    features     hidden states (B, ...), for a value that rides on the call
    evaluations  how often the network was called for each sample (B,), long; None: once
    """

    output: Tensor
    features: Tensor | None = None
    evaluations: Tensor | None = None


class Denoiser(nn.Module, ABC):
    """A network with the conditions that it reads, as leaves of a state. A subclass writes `forward`, and `leaves`
    where there is a condition.

    shape: of a sample, (C, H, W). upcasts: whether its pipeline decodes latents in float32 where the autoencoder is in
    float16 and says so.
    """

    shape: tuple[int, int, int]
    upcasts: bool = False

    @abstractmethod
    def forward(self, sample: Tensor, timesteps: Tensor, leaves: Mapping[str, Tensor]) -> Denoised:
        """What the network says of samples (B, C, H, W) at timesteps (B,) under the leaves (B, ...) of their states."""

    def leaves(self, batch_size: int, condition: Any) -> dict[str, Tensor]:
        """The leaves that x_0 has for a condition of so many rows, or for None; {} where states are samples alone."""
        if condition is not None:
            raise ValueError(f"condition: expected None, for {self.name} reads none, got one")
        return {}

    def schedule_options(self, scheduler: Any, num_steps: int) -> dict[str, Any]:
        """What `scheduler.set_timesteps` is given besides the number of steps, as the pipeline's own loop does."""
        return {}

    @property
    def name(self) -> str:
        """For messages."""
        return type(self).__name__
