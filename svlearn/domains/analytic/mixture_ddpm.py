"""The mixture's diffusion with the Gaussian steps of DDPM: what a sampler with an exact network would do."""

import torch
from torch import Tensor

from svlearn.domains.analytic.gaussian_mixture import GaussianMixtureDiffusion
from svlearn.process import Prediction, Reference
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition

VARIANCES = ("large", "small")


class GaussianMixtureDDPM(Reference):
    """Ancestral sampling (DDPM, arXiv 2006.11239, equations 6 and 7) with the exact x̂_T = E[x_T | x_t]. States (B, d).

    p_ref(x_{t+1} | x_t) = N((√b (1 - ā_{t+1}) x_t + √ā_{t+1} (1 - b) x̂_T)/(1 - ā_t), s²), b = ā_t/ā_{t+1}, with
    s² = 1 - b (variance "large", above 0 at every step) or (1 - b)(1 - ā_{t+1})/(1 - ā_t) ("small", 0 at the last).

    The mean is that of the exact step, its shape and spread are not: x_T only tends to the mixture as T grows, with
    an error of the order 1/T, so the diffusion's own values and log Z hold for this process up to that. x_0 has the
    diffusion's exact law, and `noise` is its forward process. Raises ValueError for an unknown variance.
    """

    def __init__(self, diffusion: GaussianMixtureDiffusion, variance: str = "large"):
        super().__init__()
        if not isinstance(diffusion, GaussianMixtureDiffusion):
            raise TypeError(f"diffusion: expected a GaussianMixtureDiffusion, got {type(diffusion).__name__}")
        if variance not in VARIANCES:
            raise ValueError(f"variance: expected one of {', '.join(VARIANCES)}, got {variance!r}")
        self.diffusion, self.variance = diffusion, variance
        self.num_steps, self.dim = diffusion.num_steps, diffusion.dim

    def target(self, alpha: float) -> Target:
        """The target of the diffusion's reward."""
        return self.diffusion.target(alpha)

    def initial(self, batch_size: int, *, condition: None = None, generator: torch.Generator | None = None) -> Tensor:
        return self.diffusion.initial(batch_size, generator=generator)

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """The Gaussian step, clean = E[x_T | x_t] and clean_law = p(x_T | x_t) of the exact diffusion."""
        prediction = self.diffusion(x, t)
        now, later = (self.diffusion.alpha_bars[moment][:, None] for moment in (t, t + 1))
        kept = now / later
        mean = (kept.sqrt() * (1 - later) * x + later.sqrt() * (1 - kept) * prediction.clean) / (1 - now)
        variance = 1 - kept if self.variance == "large" else (1 - kept) * (1 - later) / (1 - now)
        law = GaussianTransition(mean, variance.sqrt())
        return Prediction(law, clean=prediction.clean, clean_law=prediction.clean_law)

    def noise(self, x: Tensor, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return self.diffusion.noise(x, t_from, t_to, generator=generator)
