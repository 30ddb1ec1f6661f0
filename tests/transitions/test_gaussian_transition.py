"""The Gaussian law against torch.distributions and numbers worked out by hand; a std of 0 is a Dirac."""

import math

import numpy as np
import pytest
import torch
from transition_toys import generator

from svlearn.transitions import GaussianTransition, ListedTransition


def test_gaussian_log_prob_is_that_of_a_product_of_normals():
    mean, x = torch.randn(2, 5, 3, generator=generator(), dtype=torch.float64)
    std = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    exact = torch.distributions.Normal(mean, std).log_prob(x).sum(1)
    torch.testing.assert_close(GaussianTransition(mean, std).log_prob(x), exact)


@pytest.mark.parametrize("std", [0.7, torch.tensor([[0.7]]), torch.full((4, 3), 0.7), torch.full((4, 1), 0.7)])
def test_gaussian_takes_every_broadcastable_std_and_follows_an_index(std):
    mean = torch.randn(4, 3, generator=generator())
    law = GaussianTransition(mean, std)
    index = torch.tensor([2, 0, 2])
    x = torch.randn(3, 3, generator=generator(1))
    torch.testing.assert_close(law[index].log_prob(x), GaussianTransition(mean[index], 0.7).log_prob(x))
    assert law[index].std.shape[0] == 3
    for other in (2, slice(1, 3), torch.tensor([[2, 0], [1, 1]]), torch.tensor([True, False, True, True])):
        stds = torch.full((4, 3), 0.7)[other]
        assert torch.equal(law[other].mean, mean[other]) and torch.equal(law[other].std.expand_as(stds), stds)


@pytest.mark.parametrize("shape", [(4, 1), (4, 3), (1, 3)])
def test_gaussian_rows_keep_their_own_std(shape):
    std = torch.rand(shape, generator=generator(2)) + 0.1
    index = torch.tensor([3, 0, 3])
    law = GaussianTransition(torch.zeros(4, 3), std)[index]
    assert torch.equal(law.std.expand(3, 3), std.expand(4, 3)[index])


def test_gaussian_samples_have_its_moments():
    law = GaussianTransition(torch.tensor([[1.0, -2.0]], dtype=torch.float64).expand(40_000, -1), 0.5)
    x = law.sample(generator=generator())
    assert ((x.mean(0) - law.mean[0]).abs() < 4 * 0.5 / 200).all()
    assert ((x.std(0) - 0.5).abs() < 4 * 0.5 / math.sqrt(2 * 40_000)).all()


def test_gaussian_log_ratio_keeps_its_digits_where_the_difference_of_log_probs_loses_them():
    mean = torch.tensor([[1e4]])  # float32
    p, q = GaussianTransition(mean, 1e-3), GaussianTransition(mean + 0.0009765625, 1e-3)  # one float32 step apart
    x = mean.clone()
    exact = 0.5 * (0.0009765625 / 1e-3) ** 2
    assert p.log_ratio(q, x).item() == pytest.approx(exact, rel=1e-5)


def test_gaussian_log_ratio_with_unequal_stds_is_the_difference_of_log_probs():
    mean, other, x = torch.randn(3, 6, 4, generator=generator(), dtype=torch.float64)
    p, q = GaussianTransition(mean, 0.5), GaussianTransition(other, torch.tensor([0.5, 1.0, 2.0, 0.25]).double())
    torch.testing.assert_close(p.log_ratio(q, x), p.log_prob(x) - q.log_prob(x))


def test_a_std_of_zero_is_a_dirac():
    mean = torch.tensor([[1.0, 2.0]])
    std = torch.tensor([[0.0, 1.0]])
    law = GaussianTransition(mean, std)
    on, off = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.5, 2.0]])
    assert law.log_prob(on).item() == pytest.approx(-0.5 * math.log(2 * math.pi))
    assert law.log_prob(off).item() == -math.inf
    assert law.sample(generator=generator())[0, 0] == 1.0
    shifted = GaussianTransition(mean + torch.tensor([[0.0, 1.0]]), std)
    assert law.log_ratio(shifted, on).item() == pytest.approx(0.5)  # the Dirac part gives 0
    both = GaussianTransition(mean, 0.0)
    assert both.log_ratio(GaussianTransition(mean, 0.0), on).item() == 0.0
    assert both.log_ratio(GaussianTransition(mean, 1.0), off).item() == -math.inf


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mixed", [False, True])
def test_two_diracs_meet_where_their_means_agree_but_for_rounding(dtype, mixed):
    """With equal stds and with others beside the Diracs; wherever x is."""
    mean = torch.tensor([[3.0, 0.0], [3.0, 0.0], [3.0, 0.0]], dtype=dtype)
    eps = torch.finfo(dtype).eps
    moved = mean + torch.tensor([[0.0, 0.0], [3 * eps, 0.0], [40 * eps, 0.0]], dtype=dtype)
    std = torch.tensor([[0.0, 1.0]], dtype=dtype)
    other = torch.tensor([[0.0, 2.0]], dtype=dtype) if mixed else std
    p, q = GaussianTransition(mean, std), GaussianTransition(moved, other)
    for x in (mean, moved, mean + 5):
        ratio, finite = p.log_ratio(q, x), GaussianTransition(mean[:, 1:], 1.0)
        expected = finite.log_ratio(GaussianTransition(moved[:, 1:], 2.0 if mixed else 1.0), x[:, 1:])
        assert ratio[2].item() == -math.inf and torch.allclose(ratio[:2], expected[:2])
    everywhere = GaussianTransition(mean, 0.0).log_ratio(GaussianTransition(mean + 1, 0.0), mean)
    assert everywhere.tolist() == [-math.inf] * 3


def test_a_tilt_leaves_a_dirac_where_it_is_and_its_gradient_finite():
    mean = torch.tensor([[3.0, 1.0]], requires_grad=True)
    law = GaussianTransition(mean.detach(), torch.tensor([[0.0, 1.0]]))
    assert law.log_ratio(law.tilt(torch.tensor([[1e6, 0.0]])), mean.detach()).item() == 0.0
    apart = GaussianTransition(mean, torch.tensor([[0.0, 1.0]])).log_ratio(
        law.tilt(torch.ones(1, 2)), mean.detach() + 1
    )
    apart.sum().backward()
    assert mean.grad.isfinite().all() and mean.grad[0, 0] == 0


def test_a_state_may_be_one_number():
    mean, x = torch.randn(2, 4, generator=generator(), dtype=torch.float64)
    law, exact = GaussianTransition(mean, torch.full((4,), 0.5)), torch.distributions.Normal(mean, 0.5)
    torch.testing.assert_close(law.log_prob(x), exact.log_prob(x))
    other = law.tilt(torch.ones(4))
    torch.testing.assert_close(law.log_ratio(other, x), law.log_prob(x) - other.log_prob(x))
    parents = torch.arange(4).repeat_interleave(3)
    one, two = (generator(3) for _ in range(2))
    assert torch.equal(law.sample_each(parents, generator=one), law[parents].sample(generator=two))
    listed = ListedTransition(torch.tensor([[0, 1], [0, 1]]), torch.tensor([[0.2, 0.8], [0.5, 0.5]]).log())
    assert listed.log_prob(torch.tensor([1, 0])).exp().tolist() == pytest.approx([0.8, 0.5])


@pytest.mark.parametrize(
    "std", [np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5), np.full((4, 1), 0.5)]
)
def test_a_std_may_be_a_number_of_any_library(std):
    law = GaussianTransition(torch.zeros(4, 3), std)
    assert law.std.expand(4, 3).tolist() == [[0.5] * 3] * 4


@pytest.mark.parametrize(
    ("mean", "std", "error", "words"),
    [
        (
            torch.zeros(3, 3),
            torch.ones(3),
            ValueError,
            r"std: expected the batch first, got \(3,\).*\(3, 1\) or \(1, 3\)",
        ),
        (torch.zeros(3, 3, 5), torch.ones(3, 5), ValueError, r"std: expected the batch first, got \(3, 5\)"),
        (torch.tensor(0.0), 1.0, ValueError, r"mean: expected shape \(B, ...\), got a number"),
        (
            torch.zeros(3, 3, dtype=torch.long),
            1.0,
            TypeError,
            "mean: expected a float tensor .*, got a tensor of torch.int64",
        ),
        ([0.0], 1.0, TypeError, "mean: expected a float tensor .*, got list"),
        (torch.zeros(3, 3), "1", TypeError, "std: expected a number or a tensor, got str"),
        (torch.zeros(3, 3), np.float32(-1), ValueError, "std: expected numbers of at least 0, got -1.0"),
    ],
)
def test_a_gaussian_names_what_is_wrong(mean, std, error, words):
    with pytest.raises(error, match=words):
        GaussianTransition(mean, std)


def test_gaussian_tilt_is_exact():
    mean, gradient = torch.randn(2, 5, 3, generator=generator(), dtype=torch.float64)
    law = GaussianTransition(mean, 0.8)
    tilted = law.tilt(gradient)
    x, y = torch.randn(2, 5, 3, generator=generator(1), dtype=torch.float64)
    unnormalised = (law.log_prob(x) + (gradient * x).sum(1)) - (law.log_prob(y) + (gradient * y).sum(1))
    torch.testing.assert_close(tilted.log_prob(x) - tilted.log_prob(y), unnormalised)


@pytest.mark.parametrize("std", [-1.0, float("nan"), torch.tensor([1.0, -1.0, 1.0])])
def test_gaussian_refuses_a_std_below_zero(std):
    with pytest.raises(ValueError, match="std"):
        GaussianTransition(torch.zeros(2, 3), std)


def test_gaussian_refuses_a_std_that_does_not_broadcast():
    with pytest.raises(ValueError, match=r"std: expected a shape broadcastable to \(2, 3\), got \(4,\)"):
        GaussianTransition(torch.zeros(2, 3), torch.ones(4))
