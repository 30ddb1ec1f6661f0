"""The measures of drawn digits, against numbers worked out by hand."""

import math

import pytest
import torch
from torch import nn

from svlearn.domains.images.digits.metrics import accuracy, class_accuracies, diversity, frechet_distance
from svlearn.randomness import seeded


class Brightest(nn.Module):
    """Says that the class is the place of the brightest pixel."""

    def forward(self, images):
        return images.flatten(1).log_softmax(dim=1)


def test_accuracy_is_the_share_that_the_judge_agrees_with():
    images = torch.eye(4).view(4, 1, 2, 2)
    classes = torch.tensor([0, 1, 3, 3])
    assert accuracy(Brightest(), images, classes) == 0.75
    assert class_accuracies(Brightest(), images, classes) == {0: 1.0, 1: 1.0, 3: 0.5}
    assert accuracy(Brightest(), images.repeat(200, 1, 1, 1), classes.repeat(200)) == 0.75
    with pytest.raises(ValueError, match="classes: expected a class of each of 4 images, at least 1, got 3"):
        accuracy(Brightest(), images, classes[:3])
    with pytest.raises(ValueError, match="at least 1, got 0"):
        accuracy(Brightest(), images[:0], classes[:0])


def test_the_distance_of_two_lines():
    """Means 1 and 5, variances 2 and 8 (of two points each): 16 + 2 + 8 - 2 √16 = 18."""
    one, other = torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [7.0]])
    assert frechet_distance(one, other) == pytest.approx(18)


def test_the_distance_of_gaussians_that_do_not_commute():
    """C = diag(4, 1)/·, C' the same turned by 45°: C C' has trace 12.5 and determinant 16, so tr (C C')^½ =
    √(12.5 + 2 · 4), and the distance is 5 + 5 - 2 √20.5."""
    cross = torch.tensor([[2.0, 0], [-2, 0], [0, 1], [0, -1]], dtype=torch.float64) * math.sqrt(1.5)
    turned = cross @ torch.tensor([[1.0, 1], [-1, 1]], dtype=torch.float64) / math.sqrt(2)
    assert frechet_distance(cross, turned) == pytest.approx(10 - 2 * math.sqrt(20.5))
    assert frechet_distance(cross, turned + torch.tensor([3.0, 4.0])) == pytest.approx(35 - 2 * math.sqrt(20.5))


def test_more_features_than_rows():
    """The covariances have no inverse; of one law the distance is 0."""
    features = torch.randn(10, 50, generator=seeded("cpu", 0))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-4)
    assert frechet_distance(features, features + 2) == pytest.approx(200, abs=1e-3)


def test_diversity_is_the_mean_distance_of_pairs():
    """3, 4 and 5."""
    assert diversity(torch.tensor([[0.0, 0], [3, 0], [0, 4]])) == pytest.approx(4)
    assert diversity(torch.ones(3, 2)) == 0


@pytest.mark.parametrize(
    ("features", "error"),
    [
        (torch.ones(1, 2), r"expected \(N, F\) of at least two rows, got \(1, 2\)"),
        (torch.ones(3), r"expected \(N, F\) of at least two rows, got \(3,\)"),
        (torch.tensor([[0.0], [torch.nan]]), "expected finite numbers"),
        (torch.ones(3, 3), "others: expected 3 features, got 1"),
    ],
)
def test_other_features_are_refused(features, error):
    with pytest.raises(ValueError, match=error):
        frechet_distance(features, torch.tensor([[0.0], [1.0]]))
    with pytest.raises(ValueError, match="at least two rows"):
        diversity(torch.ones(1, 2))
