"""The mixture's diffusion with the Gaussian steps of DDPM or DDIM: what a sampler with an exact network would do."""

import torch
from torch import Tensor

from svlearn.domains.analytic.gaussian_mixture import GaussianMixtureDiffusion
from svlearn.domains.analytic.oracle import unconditional
from svlearn.process import Prediction, Reference
from svlearn.schedules import NoiseLevels, gaussian_steps
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition


class GaussianMixtureDDPM(Reference):
    """Ancestral sampling (DDPM, arXiv 2006.11239, equations 6 and 7) with the exact x̂_T = E[x_T | x_t]. States (B, d).

    p_ref(x_{t+1} | x_t) = N(kept_t x_t + added_t x̂_T, s_t²) of `schedules.gaussian_steps`, at eta = 1 with b =
    ā_t/ā_{t+1}: N((√b (1 - ā_{t+1}) x_t + √ā_{t+1} (1 - b) x̂_T)/(1 - ā_t), s_t²), s_t² = 1 - b (variance "large",
    above 0 at every step) or (1 - b)(1 - ā_{t+1})/(1 - ā_t) ("small", 0 at the last). eta < 1, with "small", goes to
    DDIM, which is not memoryless.

    The mean (eta = 1) is that of the exact step, its shape and spread are not: x_T only tends to the mixture as T
    grows, with an error of the order 1/T, so the diffusion's own values and log Z hold for this process up to that.
    x_0 has the diffusion's exact law, and `noise` is its forward process. Raises ValueError as `gaussian_steps`.
    """

    kept: Tensor
    added: Tensor
    stds: Tensor

    def __init__(self, diffusion: GaussianMixtureDiffusion, variance: str = "large", eta: float = 1.0):
        super().__init__()
        if not isinstance(diffusion, GaussianMixtureDiffusion):
            raise TypeError(f"diffusion: expected a GaussianMixtureDiffusion, got {type(diffusion).__name__}")
        self.diffusion, self.num_steps, self.dim = diffusion, diffusion.num_steps, diffusion.dim
        for name, part in gaussian_steps(diffusion.noise_levels(), eta, variance)._asdict().items():
            self.register_buffer(name, part)

    def target(self, alpha: float) -> Target:
        """The target of the diffusion's reward."""
        return self.diffusion.target(alpha)

    def initial(self, batch_size: int, *, condition: None = None, generator: torch.Generator | None = None) -> Tensor:
        unconditional(condition, self)
        return self.diffusion.initial(batch_size, generator=generator)

    def initial_law(self, x: Tensor) -> GaussianTransition:
        return self.diffusion.initial_law(x)

    def defines(self, method: str) -> bool:
        return self.diffusion.defines(method) if method == "initial_law" else super().defines(method)

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """The Gaussian step, clean = E[x_T | x_t] and clean_law = p(x_T | x_t) of the exact diffusion."""
        prediction = self.diffusion(x, t)
        mean = self.kept[t][:, None] * x + self.added[t][:, None] * prediction.clean
        law = GaussianTransition(mean, self.stds[t][:, None])
        return Prediction(law, clean=prediction.clean, clean_law=prediction.clean_law)

    def noise(self, x: Tensor, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return self.diffusion.noise(x, t_from, t_to, generator=generator)

    def noise_levels(self) -> NoiseLevels:
        """Those of the diffusion's forward process."""
        return self.diffusion.noise_levels()
