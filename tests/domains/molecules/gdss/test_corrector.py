"""The corrector's step size by hand, and its moments on a Gaussian against their closed form."""

import math

import pytest
import torch
from gdss_toys import GaussianGDSS

from svlearn.domains.molecules.gdss.corrector import Langevin, expected_norms
from svlearn.domains.molecules.gdss.sde import VE
from svlearn.domains.molecules.gdss.state import continuous_state


def test_expected_norms_of_noise():
    by_hand = [0.0, math.sqrt(2 / math.pi), math.sqrt(math.pi / 2), 2 * math.sqrt(2 / math.pi)]
    torch.testing.assert_close(expected_norms(torch.arange(4)), torch.tensor(by_hand, dtype=torch.float64))
    large = expected_norms(torch.tensor([1000]))
    torch.testing.assert_close(large**2, torch.tensor([999.5], dtype=torch.float64), rtol=1e-6, atol=0)


def test_step_sizes_by_hand():
    langevin = Langevin(snr=0.2, scale=0.9)
    ones = torch.ones(2, dtype=torch.float64)
    steps = langevin.step_sizes(torch.tensor([2.0, 0.0], dtype=torch.float64), torch.tensor([2, 0]), 0.5 * ones)
    expected = 2 * 0.5 * (0.2 * math.sqrt(math.pi / 2) / 2.0) ** 2
    torch.testing.assert_close(steps, torch.tensor([expected, 0.0], dtype=torch.float64))
    torch.testing.assert_close(langevin.stds(steps)[0], torch.tensor(0.9 * math.sqrt(2 * expected)).double())


def test_a_score_near_zero_makes_no_endless_step():
    one = torch.ones(1, dtype=torch.float64)
    assert Langevin().step_sizes(1e-6 * one, torch.ones(1), one) == 0.5
    assert Langevin(longest=0.25).step_sizes(1e-6 * one, torch.ones(1), one) == 0.25


@pytest.mark.parametrize(("name", "number"), [("snr", 0.0), ("scale", -1.0), ("longest", math.nan)])
def test_bad_numbers_are_refused(name, number):
    with pytest.raises(ValueError, match=f"{name}: expected a number above 0, got"):
        Langevin(**{name: number})


def test_each_molecule_has_its_own_step():
    """Bigger graphs beside it change nothing; the batch's mean norms, as the authors take them, would."""
    reference = GaussianGDSS(corrector=Langevin())
    x = reference.initial(3, condition=torch.tensor([4, 2, 3]), generator=torch.Generator().manual_seed(0))
    t = torch.zeros(3, dtype=torch.long)
    together, alone = reference(x, t).transition.law, reference(x[1:2], t[:1]).transition.law
    for own, single in ((together.std[1], alone.std[0]), (together.mean[1], alone.mean[0])):
        torch.testing.assert_close(own, single, rtol=1e-12, atol=1e-12)


def test_a_step_is_what_the_score_norm_says():
    reference = GaussianGDSS(corrector=Langevin(snr=0.2, scale=0.9))
    x = reference.initial(2, condition=torch.tensor([3, 1]), generator=torch.Generator().manual_seed(0))
    t = torch.tensor([4, 4])  # the third level
    scores, law = reference.scores(x, t), reference(x, t).transition
    first, second = torch.triu_indices(4, 4, offset=1)
    alphas = {"x": float(reference.of_x.alpha[2]), "adj": 1.0}
    for name, dimensions in (("x", 6), ("adj", 3)):
        own = scores[name][0] if name == "x" else scores[name][0, first, second]
        step = 2 * alphas[name] * (0.2 * float(expected_norms(torch.tensor(dimensions))) / float(own.norm())) ** 2
        std = law.law.std[0, 0] if name == "x" else law.law.std[0, 8]
        assert float(std) == pytest.approx(0.9 * math.sqrt(2 * step))
        torch.testing.assert_close(law.mean[name][0], x[name][0] + step * scores[name][0])
    assert (law.law.std[1, 8:] == 0).all() and bool(law.law.mean.isfinite().all())  # one node: no edge moves


@pytest.mark.parametrize("scale", [1.0, 0.9])
def test_the_second_moment_is_the_closed_one(scale, generator):
    """From N(0, v I_d), with c = 2 snr² m², m = E|z|: E|x'|² = v d - 2 c v + c v (c + 2 scale² d)/(d - 2), v = σ² + s².

    At scale = 1 that is v d (1 + 4 snr⁴) in high dimension: it keeps the law up to snr⁴.
    """
    snr, number, dimensions = 0.2, 20_000, 4 * 6
    reference = GaussianGDSS(
        sdes={"x": VE(0.2, 1.0), "adj": VE(0.2, 1.0)}, num_features=6, corrector=Langevin(snr, scale)
    )
    mask = torch.ones(number, 4, dtype=torch.bool)
    t = torch.full((number,), 8)
    mean, variance = (float(each[0]) for each in reference.marginal("x", t // 2))
    noise = torch.randn(number, 4, 6, generator=generator, dtype=torch.float64)
    x = continuous_state(mean + math.sqrt(variance) * noise, torch.zeros(number, 4, 4, dtype=torch.float64), mask)
    moved = reference(x, t).transition.sample(generator=generator)["x"]
    squares = (moved - mean).flatten(1).square().sum(dim=1) / variance
    c = 2 * snr**2 * float(expected_norms(torch.tensor(dimensions))) ** 2
    expected = dimensions - 2 * c + c * (c + 2 * scale**2 * dimensions) / (dimensions - 2)
    assert abs(float(squares.mean()) - expected) < 4 * float(squares.std()) / math.sqrt(number)
    if scale == 1.0:
        assert expected / dimensions == pytest.approx(1 + 4 * snr**4, abs=0.02)
        assert abs(float((moved - mean).mean())) < 4 * math.sqrt(variance / number / dimensions)
