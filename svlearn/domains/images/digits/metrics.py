"""How good drawn digits are, as a judge sees them: accuracy, distance from real digits, diversity."""

from typing import cast

import numpy as np
import torch
from scipy.linalg import eigvalsh
from torch import Tensor, nn

BATCH = 500  # images that a judge sees at once


def accuracy(judge: nn.Module, images: Tensor, classes: Tensor) -> float:
    """The share of images (N, C, H, W) of which the judge, images -> log-probabilities (N, K), says that they are of
    their classes (N,), long. Raises ValueError for other than N classes, and for no image."""
    if not len(images) or classes.shape != (len(images),):
        raise ValueError(f"classes: expected a class of each of {len(images)} images, at least 1, got {len(classes)}")
    return float((_batched(judge, images).argmax(dim=1) == classes.to(images.device)).double().mean())


def class_accuracies(judge: nn.Module, images: Tensor, classes: Tensor) -> dict[int, float]:
    """`accuracy` among the images of each class that occurs."""
    return {int(each): accuracy(judge, images[classes == each], classes[classes == each]) for each in classes.unique()}


def frechet_distance(features: Tensor, others: Tensor) -> float:
    """|m - m'|² + tr(C + C' - 2 (C C')^½), of the means m and covariances C (denominator N - 1) of features (N, F) and
    (N', F): the squared distance of the Gaussians of these moments (arXiv 1706.08500, equation 6), which is biased
    upwards by few samples; compare it at equal N.

    Raises ValueError for fewer than two rows, for unequal F, and for features that are not finite.
    """
    (mean, covariance), (mean_of_others, covariance_of_others) = (_moments(each) for each in (features, others))
    if mean.shape != mean_of_others.shape:
        raise ValueError(f"others: expected {len(mean)} features, got {len(mean_of_others)}")
    distance = float(((mean - mean_of_others) ** 2).sum())
    return (
        distance
        + float(np.trace(covariance + covariance_of_others))
        - 2 * _root_trace(covariance, covariance_of_others)
    )


def diversity(features: Tensor) -> float:
    """The mean distance |f_i - f_j| over all pairs i < j of features (N, F). Raises ValueError for fewer than two."""
    if features.dim() != 2 or len(features) < 2:
        raise ValueError(f"features: expected (N, F) of at least two rows, got {tuple(features.shape)}")
    return float(torch.pdist(features.double()).mean())


def features_of(judge: nn.Module, images: Tensor) -> Tensor:
    """judge.features(images) (N, F), in batches, without a gradient."""
    return _batched(judge.features, images)


@torch.no_grad()
def _batched(function: object, images: Tensor) -> Tensor:
    call = cast(nn.Module, function)
    return torch.cat([call(each) for each in images.split(BATCH)])


def _moments(features: Tensor) -> tuple[np.ndarray, np.ndarray]:
    if features.dim() != 2 or len(features) < 2:
        raise ValueError(f"features: expected (N, F) of at least two rows, got {tuple(features.shape)}")
    if not bool(features.isfinite().all()):
        raise ValueError("features: expected finite numbers, got others")
    rows = features.detach().cpu().double().numpy()
    return rows.mean(axis=0), np.atleast_2d(np.cov(rows, rowvar=False))


def _root_trace(one: np.ndarray, other: np.ndarray) -> float:
    """tr (C C')^½ = Σ √λ of the eigenvalues λ of L^T C' L with C = L L^T, which are those of C C', and real."""
    values, vectors = np.linalg.eigh(one)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    return float(np.sqrt(np.clip(eigvalsh(root.T @ other @ root), 0, None)).sum())
