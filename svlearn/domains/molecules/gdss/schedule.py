"""One part of a graph, its features or its edges, at the levels τ_0 ... τ_{N-1} of diffusion and at N, finished."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from svlearn.domains.molecules.gdss.corrector import Langevin
from svlearn.domains.molecules.gdss.sde import SDE, reverse_steps, step_times


class PartSchedule(nn.Module):
    """The numbers of an SDE at every level 0 ... N, and what they do to a part (B, ...) at levels (B,).

    They stay in float64 whatever the module is cast to: a network may be in bfloat16, a schedule of two digits may not.
    """

    scale: Tensor
    std: Tensor
    noise: Tensor
    alpha: Tensor

    def __init__(self, sde: SDE, predictor: str, num_steps: int):
        super().__init__()
        steps, times = reverse_steps(sde, predictor, num_steps), step_times(num_steps)
        one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        tables = {
            "scale": torch.cat([sde.scale(times), one]),  # a finished part is x itself
            "std": torch.cat([sde.std(times), zero]),
            "factor": sde.score_factor(times),
            "kept": steps.kept,
            "added": steps.added,
            "noise": steps.stds,
            "alpha": sde.corrector_scales(num_steps),
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def _apply(self, fn: Callable, recurse: bool = True) -> "PartSchedule":
        exact = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, table in exact.items():
            moved = self._buffers[name]
            self._buffers[name] = None if table is None or moved is None else table.to(moved.device)
        return self

    def score(self, output: Tensor, level: Tensor) -> Tensor:
        """∇log p_τ of what the network says."""
        return self._at("factor", level, output) * output

    def clean(self, part: Tensor, score: Tensor, level: Tensor) -> Tensor:
        """Tweedie's E[x | x_τ] = (x_τ + σ² ∇log p_τ)/a."""
        return (part + self._at("std", level, part) ** 2 * score) / self._at("scale", level, part)

    def score_of_clean(self, part: Tensor, clean: Tensor, level: Tensor) -> Tensor:
        """∇log p_τ of what `clean` makes of it, (a x̂ - x)/σ²; at levels below N."""
        return (self._at("scale", level, part) * clean - part) / self._at("std", level, part) ** 2

    def noise_error(self, clean: Tensor, wanted: Tensor, level: Tensor) -> Tensor:
        """(a/σ)(x̂ - x), what is wrong in the noise that x̂ says where x is what was noised; at levels below N."""
        return self._at("scale", level, clean) / self._at("std", level, clean) * (clean - wanted)

    def predict(self, part: Tensor, score: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """The predictor's mean (B, ...) and std (B,) of the part a level later."""
        mean = self._at("kept", level, part) * part + self._at("added", level, part) * score
        return mean, self.noise[level]

    def correct(
        self, part: Tensor, score: Tensor, level: Tensor, langevin: Langevin, norms: Tensor, dimensions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The corrector's mean (B, ...) and std (B,) at the same level.

        norms (B,) of the scores, in so many free dimensions (B,).
        """
        steps = langevin.step_sizes(norms.double(), dimensions, self.alpha[level])
        return part + _spread(steps.to(part.dtype), part) * score, langevin.stds(steps)

    def diffuse(self, part: Tensor, later: Tensor, earlier: Tensor) -> tuple[Tensor, Tensor]:
        """The forward SDE's mean (B, ...) and std (B,) from a later level back to an earlier one."""
        ratio = self.scale[earlier] / self.scale[later]
        variance = self.std[earlier] ** 2 - ratio**2 * self.std[later] ** 2
        return _spread(ratio.to(part.dtype), part) * part, variance.clamp(min=0).sqrt()

    def _at(self, name: str, level: Tensor, part: Tensor) -> Tensor:
        return _spread(getattr(self, name)[level].to(part.dtype), part)


def _spread(numbers: Tensor, part: Tensor) -> Tensor:
    """(B,) to (B, 1, ...), to multiply a part."""
    return numbers.view(-1, *[1] * (part.dim() - 1))
