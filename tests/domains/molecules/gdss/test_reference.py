"""GDSS on a Gaussian law of data, where x̂_T, the law of x_T and Z are known."""

import math

import pytest
import torch
from gdss_toys import MEANS, STDS, ZINC, GaussianGDSS

from svlearn.domains.molecules.gdss.corrector import Langevin
from svlearn.domains.molecules.gdss.sde import VE
from svlearn.domains.molecules.gdss.state import continuous_state
from svlearn.inference import proposals
from svlearn.inference.refinement import refine
from svlearn.inference.samplers import ancestral, guidance, smc, svdd
from svlearn.rollouts.roll_out import roll_back
from svlearn.state import times
from svlearn.targets import Target
from svlearn.values import PosteriorMean, Zero

SLOPES = {"x": 0.5, "adj": 0.4}


def total(x):
    """r: a linear function of what is free; every edge is counted once."""
    return SLOPES["x"] * x["x"].flatten(1).sum(dim=1) + SLOPES["adj"] * x["adj"].flatten(1).sum(dim=1) / 2


def finished_law(reference):
    """The exact mean and variance of every free feature and edge of x_T, by the reference's own affine steps."""
    nodes, mask = len(reference.size_weights), torch.ones(2, len(reference.size_weights), dtype=torch.bool)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    means, variances = {"x": 0.0, "adj": 0.0}, {"x": 1.0, "adj": 1.0}
    off = 1 - torch.eye(nodes, dtype=torch.float64)
    probe = continuous_state(
        ends[:, None, None].expand(2, nodes, reference.num_features), ends[:, None, None] * off, mask
    )
    for t in range(reference.num_steps):
        law = reference(probe, times(t, 2)).transition
        for name, std in (("x", law.law.std[0, 0]), ("adj", law.law.std[0, -1])):
            at_zero, at_one = law.mean[name][:, 0, 1]
            slope = at_one - at_zero
            means[name] = float(at_zero + slope * means[name])
            variances[name] = float(slope**2 * variances[name] + std**2)
    return means, variances


def log_normalizer(reference, alpha):
    """log Z of r = `total`, exactly: a mean over the sizes of products of Gaussian moments."""
    means, variances = finished_law(reference)
    terms = []
    for size in range(1, len(reference.size_weights) + 1):
        number = {"x": size * reference.num_features, "adj": size * (size - 1) / 2}
        slopes = {name: slope / alpha for name, slope in SLOPES.items()}
        terms.append(sum(number[k] * (s * means[k] + s**2 * variances[k] / 2) for k, s in slopes.items()))
    return float(torch.tensor(terms).logsumexp(dim=0)) - math.log(len(terms))


def check_normalizer(samples, expected):
    ratios = (samples.log_normalizer - expected).exp()
    error = float(ratios.std()) / math.sqrt(len(ratios))
    assert abs(float(ratios.mean()) - 1) < 4 * error
    assert error < 0.05


@pytest.fixture(params=[None, Langevin()], ids=["predictor", "corrected"])
def reference(request):
    return GaussianGDSS(corrector=request.param)


def test_it_starts_from_noise_of_drawn_or_given_sizes(reference, generator):
    x = reference.initial(4000, generator=generator)
    counts = x["mask"].sum(dim=1).bincount(minlength=5)[1:]
    assert ((counts - 1000).abs() < 4 * math.sqrt(4000 * 0.25 * 0.75)).all()
    edges = x["adj"][:, 0, 1][x["mask"][:, 1]]
    assert abs(float(edges.var()) - 1) < 4 * math.sqrt(2 / len(edges))
    conditioned = reference.initial(3, condition=torch.tensor([1, 4, 2]), generator=generator)
    assert conditioned["mask"].sum(dim=1).tolist() == [1, 4, 2] and conditioned["x"].dtype == torch.float64
    with pytest.raises(ValueError, match="condition: expected 1 to 4 atoms, got"):
        reference.initial(1, condition=torch.tensor([5]))


def test_a_corrector_comes_before_each_predictor(generator):
    corrected, alone = GaussianGDSS(corrector=Langevin()), GaussianGDSS()
    assert (corrected.num_steps, alone.num_steps) == (20, 10)
    x = corrected.initial(5, generator=generator)
    for t in range(10):
        pair = corrected(x, times(2 * t, 5)), corrected(x, times(2 * t + 1, 5)), alone(x, times(t, 5))
        assert torch.equal(pair[1].transition.law.mean, pair[2].transition.law.mean)
        assert torch.equal(pair[1].transition.law.std, pair[2].transition.law.std)
        assert not torch.equal(pair[0].transition.law.std, pair[2].transition.law.std)
        assert all(torch.equal(pair[0].clean[name], pair[2].clean[name]) for name in ("x", "adj"))


def test_times_may_differ_within_a_batch(reference, generator):
    x = reference.initial(6, generator=generator)
    t = torch.tensor([0, 1, 2, 5, 8, 9])
    together = reference(x, t)
    for row in range(6):
        alone = reference(x[row : row + 1], t[row : row + 1])
        torch.testing.assert_close(together.transition.law.mean[row], alone.transition.law.mean[0])
        torch.testing.assert_close(together.transition.law.std[row], alone.transition.law.std[0])
        torch.testing.assert_close(together.clean["adj"][row], alone.clean["adj"][0])


def test_the_prediction_is_the_mean_of_the_data_given_the_state(reference, generator):
    """E[x | x_τ] = μ + a c²/(a² c² + σ²) (x_τ - a μ), Gaussian regression."""
    x = reference.initial(4, generator=generator)
    for t in range(reference.num_steps):
        level = t // reference.steps_a_level
        clean = reference(x, times(t, 4)).clean
        for name, part in reference.parts.items():
            scale, std = part.scale[level], part.std[level]
            gain = scale * STDS[name] ** 2 / (scale**2 * STDS[name] ** 2 + std**2)
            expected = MEANS[name] + gain * (x[name] - scale * MEANS[name])
            torch.testing.assert_close(clean[name], expected * reference.exists(name, x["mask"]))


def test_every_step_keeps_symmetry_and_mask(reference, generator):
    samples = ancestral(reference).sample(16, generator=generator, keep_states=True)
    states = samples.paths()[:, 0]
    assert states["mask"].shape == (16, reference.num_steps + 1, 4)
    assert (states["mask"] == states["mask"][:, :1]).all()
    assert torch.equal(states["adj"], states["adj"].transpose(2, 3))
    for name in ("x", "adj"):
        exists = reference.exists(name, states["mask"][:, 0])[:, None]
        assert (states[name] * (1 - exists) == 0).all()
        assert ((states[name] != 0) == (exists.expand_as(states[name]) == 1)).all()


@pytest.mark.parametrize("predictor", ["reverse_diffusion", "euler_maruyama"])
def test_the_law_of_the_samples_is_that_of_the_steps(predictor, generator):
    reference = GaussianGDSS(predictor=predictor)
    means, variances = finished_law(reference)
    sizes = torch.full((4000,), 4)
    x = ancestral(reference).sample(4000, condition=sizes, generator=generator).states[:, 0]
    first, second = torch.triu_indices(4, 4, offset=1)
    for name, entries in (("x", x["x"].flatten()), ("adj", x["adj"][:, first, second].flatten())):
        assert abs(float(entries.mean()) - means[name]) < 4 * math.sqrt(variances[name] / len(entries))
        assert abs(float(entries.var()) - variances[name]) < 4 * variances[name] * math.sqrt(2 / len(entries))


@pytest.mark.parametrize("name", ["x", "adj"])
def test_more_steps_come_nearer_to_the_reverse_sde(name):
    """x_T given x_1 is the regression of the forward process; adj ends in Tweedie's mean of a blur of σ = 0.2."""
    part = GaussianGDSS().parts[name]
    scale, std = float(part.scale[0]), float(part.std[0])
    blur = 0.2**2 if name == "adj" else 0.0
    ended = STDS[name] ** 2 + blur
    gain = scale * ended / (scale**2 * STDS[name] ** 2 + std**2)
    start = scale**2 * STDS[name] ** 2 + std**2
    shrink = STDS[name] ** 2 / ended
    mean = MEANS[name] - shrink * gain * scale * MEANS[name]
    variance = shrink**2 * (ended + gain**2 * (1 - start))
    errors = []
    for num_steps in (50, 200, 800):
        means, variances = finished_law(GaussianGDSS(num_steps))
        errors.append(abs(means[name] - mean) + abs(variances[name] - variance))
    assert errors[1] < 0.3 * errors[0] and errors[2] < 0.35 * errors[1]
    assert errors[2] < 5e-4


def test_noise_is_the_forward_process(reference, generator):
    """x_τ | x_T ~ N(a x_T, σ²) at once, and the same in two stages; back over a corrector's step nothing moves."""
    number, half = 20_000, reference.num_steps // 2
    mask = torch.ones(number, 4, dtype=torch.bool)
    x = continuous_state(torch.ones(number, 4, 2).double(), (1 - torch.eye(4)).double().expand(number, 4, 4), mask)
    end, middle, start = (times(t, number) for t in (reference.num_steps, half, 2))
    at_once = reference.noise(x, end, start, generator=generator)
    staged = reference.noise(reference.noise(x, end, middle, generator=generator), middle, start, generator=generator)
    for name, part in reference.parts.items():
        level = 2 // reference.steps_a_level
        for drawn in (at_once, staged):
            entry = drawn[name][:, 0, 1]
            scale, std = float(part.scale[level]), float(part.std[level])
            assert abs(float(entry.mean()) - scale) < 4 * std / math.sqrt(number)
            assert abs(float(entry.var()) - std**2) < 4 * std**2 * math.sqrt(2 / number)
    if reference.corrector is not None:
        still = reference.noise(at_once, times(3, number), start, generator=generator)
        assert torch.equal(still["adj"], at_once["adj"])
    back = roll_back(reference, x[:8], generator=generator)["states"]
    assert torch.equal(back["adj"], back["adj"].transpose(2, 3)) and back["mask"].all()


@pytest.mark.parametrize("value", ["zero", "posterior mean"])
def test_smc_estimates_the_normalizer(value, generator):
    reference, target = GaussianGDSS(6, max_nodes=3), Target(total, alpha=1.0)
    chosen = Zero() if value == "zero" else PosteriorMean(target)
    samples = smc(reference, target, chosen, 8).sample(3000, generator=generator)
    check_normalizer(samples, log_normalizer(reference, 1.0))


@pytest.mark.parametrize("at", ["mean", "state"])
def test_guided_smc_estimates_the_normalizer(at, generator):
    """The proposal is tilted in x and in adj: the weights only hold if each edge is moved and counted once."""
    reference, target = GaussianGDSS(6, max_nodes=3), Target(total, alpha=1.0)
    value = PosteriorMean(target)
    samples = smc(reference, target, value, 4, proposal=proposals.Guided(value, at=at)).sample(
        1500, generator=generator
    )
    check_normalizer(samples, log_normalizer(reference, 1.0))


def test_corrected_smc_estimates_what_plain_samples_do(generator):
    """With the corrector Z has no closed form; plain samples of the reference give it without any weight."""
    reference, target = GaussianGDSS(6, max_nodes=3, corrector=Langevin()), Target(total, alpha=1.0)
    plain = (ancestral(reference, target).sample(40_000, generator=generator).rewards / target.alpha).exp()
    error = float(plain.std() / plain.mean()) / math.sqrt(len(plain))
    value = PosteriorMean(target)
    for proposal in (None, proposals.Guided(value, at="mean")):
        samples = smc(reference, target, value, 8, proposal=proposal).sample(1500, generator=generator)
        ratios = samples.log_normalizer.exp() / plain.mean()
        both = math.hypot(error, float(ratios.std()) / math.sqrt(len(ratios)))
        assert abs(float(ratios.mean()) - 1) < 4 * both and both < 0.05


def test_a_corrected_step_of_svdd_costs_m_and_one_calls(generator):
    reference, target = GaussianGDSS(corrector=Langevin()), Target(total, alpha=0.0)
    candidates = reference.num_candidates(5)
    assert candidates == [5] + [5, 1] * 10
    sampler = svdd(reference, target, PosteriorMean(target), candidates)
    samples = sampler.sample(64, generator=generator)
    assert samples.cost.reference_calls == 64 * (10 * (5 + 1) + 4)  # and the start's other four
    plain = ancestral(reference, target).sample(64, generator=generator)
    assert plain.cost.reference_calls == 64 * 20
    assert float(samples.rewards.mean()) > float(plain.rewards.mean()) + float(plain.rewards.std())
    assert GaussianGDSS().num_candidates(5) == [5] * 10 + [1]


def test_the_cut_of_a_batch_changes_nothing(reference):
    target = Target(total, alpha=0.5)
    whole, cut = (
        svdd(reference, target, PosteriorMean(target), reference.num_candidates(3)).sample(
            6, generator=torch.Generator().manual_seed(1), max_batch=limit
        )
        for limit in (None, 4)
    )
    torch.testing.assert_close(whole.states["adj"], cut.states["adj"])


def test_it_is_guided_and_refined(reference, generator):
    target = Target(total, alpha=0.5)
    plain = ancestral(reference, target).sample(1000, generator=generator).rewards
    pushed = guidance(reference, target, PosteriorMean(target)).sample(1000, generator=generator).rewards
    assert float(pushed.mean() - plain.mean()) > 4 * float(plain.std()) / math.sqrt(1000)
    sampler = svdd(reference, target, PosteriorMean(target), reference.num_candidates(4))
    refined = refine(sampler, 2, 0.5, start=ancestral(reference, target)).sample(1000, generator=generator)
    rewards = refined.history.rewards
    assert (rewards[:, 1:].mean(dim=0) - plain.mean() > 4 * rewards.std() * math.sqrt(2 / 1000)).all()


def test_ve_parts_and_bad_options():
    assert GaussianGDSS(sdes={"x": VE(0.1, 1.0), "adj": VE(0.1, 1.0)}).num_steps == 10
    with pytest.raises(ValueError, match="num_steps: expected an integer of at least 2, got 1"):
        GaussianGDSS(1)
    with pytest.raises(ValueError, match="predictor: expected one of"):
        GaussianGDSS(sdes=ZINC, predictor="S4")
