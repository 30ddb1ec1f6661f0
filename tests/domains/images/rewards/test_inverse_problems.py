"""Likelihoods of what linear operators see: against SciPy, against matrices, and their gradients without an adjoint."""

import math

import numpy as np
import pytest
import torch
from latent_toys import Pictures
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

import svlearn as sv
from svlearn.domains.images.rewards import (
    Blur,
    GaussianObservation,
    Inpainting,
    OnImages,
    SuperResolution,
    inverse_problem,
)

MASK = torch.tensor([[True, False, True, False], [False, True, True, True]]).repeat(3, 2)  # (6, 8)
OPERATORS = [Inpainting(MASK), SuperResolution(2), Blur(1.0), Blur(0.7, radius=1)]


def matrix_of(operator, shape):
    """(n, CHW) in float64, column by column."""
    units = torch.eye(math.prod(shape), dtype=torch.float64).view(-1, *shape)
    return operator(units).flatten(1).T


@pytest.mark.parametrize("operator", OPERATORS)
def test_log_likelihoods_are_scipys(operator, generator):
    x = torch.rand(3, 2, 6, 8, generator=generator, dtype=torch.float64)
    matrix = matrix_of(operator, x.shape[1:]).numpy()
    observation = operator(torch.rand(1, 2, 6, 8, generator=generator, dtype=torch.float64))[0]
    wanted = [norm(matrix @ row.flatten().numpy(), 0.3).logpdf(observation.flatten().numpy()).sum() for row in x]
    target = inverse_problem(observation, operator, 0.3)
    assert target.alpha == 1.0
    assert target(x).tolist() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("operator", OPERATORS)
def test_gradients_are_those_of_the_matrix_and_its_transpose(operator, generator):
    """∇ log N(y; A x, σ²) = Aᵀ(y - A x)/σ², by back-propagation alone."""
    x = torch.rand(2, 1, 6, 8, generator=generator, dtype=torch.float64).requires_grad_()
    observation = operator(torch.rand(1, 1, 6, 8, generator=generator, dtype=torch.float64))[0]
    inverse_problem(observation, operator, 0.5)(x).sum().backward()
    matrix = matrix_of(operator, x.shape[1:])
    rest = observation.flatten() - x.detach().flatten(1) @ matrix.T
    assert torch.allclose(x.grad.flatten(1), rest @ matrix / 0.25, rtol=1e-12)


def test_what_operators_see_by_hand():
    x = torch.arange(8.0).view(1, 1, 2, 4)
    assert Inpainting(MASK[:2, :4])(x).tolist() == [[0.0, 2.0, 5.0, 6.0, 7.0]]
    assert SuperResolution(2)(x).tolist() == [[[[2.5, 4.5]]]]
    channels = torch.stack([MASK[:2, :4], torch.zeros(2, 4, dtype=torch.bool)])
    assert Inpainting(channels)(torch.cat([x, x + 10], dim=1)).tolist() == [[0.0, 2.0, 5.0, 6.0, 7.0]]


def test_blur_is_that_of_scipy(generator):
    x = torch.rand(2, 3, 12, 9, generator=generator, dtype=torch.float64)
    wanted = gaussian_filter(x.numpy(), 1.2, mode="mirror", radius=4, axes=(2, 3))
    assert np.abs(Blur(1.2).forward(x).numpy() - wanted).max() < 1e-12  # 3 · 1.2, rounded up, is 4
    assert Blur(1.2).radius == 4 and Blur(1.0).radius == 3
    constant = torch.full((1, 1, 12, 9), 0.3, dtype=torch.float64)
    assert torch.allclose(Blur(1.2)(constant), constant)


def test_the_posterior_of_a_gaussian_is_the_exact_one(generator):
    """x ~ N(0, I) and y = A x + σ ε: log p(y) = log N(0; y, A Aᵀ + σ² I), the mean of the likelihood by draws."""
    operator, std = SuperResolution(2), 0.7
    observation = torch.tensor([[[0.4, -0.2]]], dtype=torch.float64)
    x = torch.randn(100_000, 1, 2, 4, generator=generator, dtype=torch.float64)
    weights = inverse_problem(observation, operator, std)(x).exp()
    wanted = norm(0, math.sqrt(1 / 4 + std**2)).pdf(observation.flatten().numpy()).prod()
    assert abs(float(weights.mean()) - wanted) < 4 * float(weights.std()) / math.sqrt(len(x))


def test_on_the_images_of_states(generator):

    reference = Pictures()
    x = reference.initial(2, generator=generator).requires_grad_()
    observation = SuperResolution(4)(reference.images(x.detach()))[0]
    target = sv.targets.likelihood(OnImages(reference, GaussianObservation(observation, SuperResolution(4), 0.1)))
    likelihoods = target(x)
    assert likelihoods[0].item() == pytest.approx(-4 * math.log(0.1 * math.sqrt(2 * math.pi)), rel=1e-5)
    likelihoods.sum().backward()
    assert x.grad[0].abs().max() < 1e-4 < x.grad[1].abs().max()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Inpainting(MASK.float()), TypeError, r"mask: expected bool \(H, W\)"),
        (lambda: Inpainting(~MASK & MASK), ValueError, "mask: expected one that sees a pixel"),
        (lambda: Inpainting(MASK)(torch.rand(2, 1, 5, 8)), ValueError, r"mask's size \(6, 8\), got \(2, 1, 5, 8\)"),
        (lambda: SuperResolution(4)(torch.rand(2, 1, 6, 8)), ValueError, "factor: expected one that divides 6 and 8"),
        (
            lambda: Blur(3.0)(torch.rand(2, 1, 6, 8)),
            ValueError,
            r"radius: expected less than .*\(6, 8\), got 9",
        ),
        (lambda: Blur(0.0), ValueError, "std: expected a finite number above 0"),
        (lambda: SuperResolution(2)(torch.rand(6, 8)), ValueError, r"x: expected images \(B, C, H, W\)"),
        (lambda: GaussianObservation(torch.zeros(3), torch.neg, 0.0), ValueError, "noise_std: expected"),
        (lambda: GaussianObservation(torch.tensor([math.nan]), torch.neg, 1.0), ValueError, "observation: expected"),
        (lambda: GaussianObservation(torch.zeros(3), 1.0, 1.0), TypeError, "operator: expected a callable"),
        (
            lambda: GaussianObservation(torch.zeros(1, 3, 3), SuperResolution(2), 1.0)(torch.rand(2, 1, 6, 8)),
            ValueError,
            r"observation: expected the form of A x, \(1, 3, 4\), got \(1, 3, 3\)",
        ),
    ],
)
def test_what_does_not_fit_the_operator_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
