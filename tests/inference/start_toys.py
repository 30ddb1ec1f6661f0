"""A Gaussian process with a Gaussian p_0 whose p* is a mixture, all known in closed form."""

import torch

from svlearn.domains.analytic.gaussian_reference import GaussianReference
from svlearn.domains.analytic.mixture import GaussianMixture
from svlearn.targets import Target
from svlearn.values import Value

EXACT = torch.float64


class Posterior:
    """x_T ~ N(0, s_T²) under p_ref, and r(x_T) = log Σ_k w_k N(x_T; m_k, width²) at α = 1, whose p* is a mixture."""

    def __init__(self, dim=2, distance=1.5, width=0.3, num_steps=3, std=0.3):
        scales, stds = torch.full((num_steps,), 0.95, dtype=EXACT), torch.full((num_steps,), std, dtype=EXACT)
        self.reference = GaussianReference(dim, scales, stds, initial_std=1.0)
        self.means = torch.zeros(2, dim, dtype=EXACT)
        self.means[:, 0] = torch.tensor([distance, -distance])
        self.weights, self.width, self.dim = torch.tensor([0.7, 0.3], dtype=EXACT), width, dim
        self.density = GaussianMixture(self.weights, self.means, width**2)
        self.target = Target(self.density.log_prob, 1.0)
        self.kept = [0.95 ** (num_steps - t) for t in range(num_steps + 1)]
        variances = self.reference.variances
        self.spreads = [float(variances[-1] - kept**2 * variances[t]) for t, kept in enumerate(self.kept)]

    def ahead(self, t):
        """Of √-kept x_t, what exp(v_t) is the density of: the reward's, blurred by what is still to come."""
        return GaussianMixture(self.weights, self.means, self.width**2 + self.spreads[t])

    @property
    def normalizer(self):
        """Z = Σ_k w_k N(0; m_k, width² + s_T²)."""
        variance = self.width**2 + float(self.reference.variances[-1])
        return GaussianMixture(self.weights, self.means, variance).log_prob(torch.zeros(1, self.dim, dtype=EXACT)).exp()

    @property
    def first_moment(self):
        """E_p*[x_T]: component k of p* is at m_k s_T²/(width² + s_T²), of a weight ∝ w_k N(0; m_k, ...)."""
        variance = float(self.reference.variances[-1])
        shares = self.weights  # both modes are as far from 0
        return variance / (self.width**2 + variance) * (shares @ self.means)

    def soft_value(self):
        return Ahead(self)


class Ahead(Value):
    """The exact soft value."""

    def __init__(self, posterior):
        super().__init__()
        self.posterior = posterior

    def forward(self, x, t, prediction=None, *, generator=None):
        now = int(t[0])
        return self.posterior.ahead(now).log_prob(self.posterior.kept[now] * x)
