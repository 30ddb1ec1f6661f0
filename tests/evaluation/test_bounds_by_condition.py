"""Bounds on log Z under conditions: those of each enclose its exact log Z, and a mean is one of bounds."""

import math

import pytest
import torch
from condition_toys import ALPHA, gaussian_by_class, markov_by_class

from svlearn.evaluation.bounds import _drawn_paths, normalizer_bounds
from svlearn.inference.samplers import smc
from svlearn.inference.samples import History, Samples
from svlearn.metering import Cost
from svlearn.randomness import seeded
from svlearn.values import Zero

ORACLES = {"gaussian": gaussian_by_class, "markov": markov_by_class}
GROUPS = 1500
CLASSES = torch.arange(GROUPS) % 3


@pytest.mark.parametrize("exact_paths", [True, False], ids=["exact paths", "own paths"])
@pytest.mark.parametrize("name", ORACLES)
def test_the_bounds_of_each_condition_enclose_its_log_z(name, exact_paths):
    oracle = ORACLES[name]()
    truths = oracle.log_normalizers(ALPHA).tolist()
    assert min(abs(one - other) for one in truths for other in truths if one != other) > 0.25
    paths = oracle.optimal_trajectories(CLASSES, ALPHA, generator=seeded("cpu", 1)) if exact_paths else None
    sampler = smc(oracle, oracle.target(ALPHA), oracle.mean_value(), 32)
    whole = normalizer_bounds(sampler, GROUPS, trajectories=paths, condition=CLASSES, generator=seeded("cpu", 2))
    assert len(whole.by_condition) == 3
    for bounds, truth in zip(whole.by_condition, truths, strict=True):
        assert bounds.lower - 4 * bounds.lower_standard_error < truth < bounds.upper + 4 * bounds.upper_standard_error
        assert abs(bounds.log_normalizer - truth) < 4 * bounds.log_normalizer_standard_error < 0.1
        assert -4 * bounds.gap_standard_error < bounds.gap < 0.2
        assert bounds.by_condition == ()
    for name in ("lower", "upper", "log_normalizer"):
        assert getattr(whole, name) == pytest.approx(sum(getattr(each, name) for each in whole.by_condition) / 3)
    errors = [each.lower_standard_error / 3 for each in whole.by_condition]
    assert whole.lower_standard_error == pytest.approx(math.hypot(*errors))
    assert whole.kl_to_target() == pytest.approx(sum(each.kl_to_target() for each in whole.by_condition) / 3)
    calls = [each.cost.reference_calls for each in whole.by_condition]
    assert sum(calls) == whole.cost.reference_calls == 2 * GROUPS * 32 * 4


def test_of_one_condition_there_is_one_log_z():
    oracle = markov_by_class()
    sampler = smc(oracle, oracle.target(ALPHA), Zero(), 8)
    bounds = normalizer_bounds(sampler, 40, condition=[1] * 40, generator=seeded("cpu", 0))
    alone = oracle.oracles[1]
    same = smc(alone, alone.target(ALPHA), Zero(), 8)
    assert bounds.by_condition == () and math.isfinite(bounds.gap_standard_error)
    assert abs(bounds.log_normalizer - alone.log_normalizer(ALPHA)) < 4 * bounds.log_normalizer_standard_error
    assert normalizer_bounds(same, 40, generator=seeded("cpu", 0)).by_condition == ()


def test_conditions_of_one_group_each_have_the_error_over_all():
    oracle = markov_by_class()
    sampler = smc(oracle, oracle.target(ALPHA), Zero(), 8)
    bounds = normalizer_bounds(sampler, 3, condition=[0, 1, 2], generator=seeded("cpu", 0))
    lowers = torch.tensor([each.lower for each in bounds.by_condition])
    assert bounds.lower_standard_error == pytest.approx(float(lowers.std()) / 3**0.5)
    assert math.isnan(bounds.by_condition[0].lower_standard_error)
    with pytest.raises(ValueError, match="condition: expected 4 rows, one a group, got 3"):
        normalizer_bounds(sampler, 4, condition=[0, 1, 2])


def test_a_path_is_drawn_from_the_groups_of_its_condition():
    oracle = markov_by_class()
    sampler = smc(oracle, oracle.target(ALPHA), Zero(), 4)
    conditional, batches = sampler.sample_conditionally, []

    def watched(trajectories, **options):
        batches.append(trajectories)
        return conditional(trajectories, **options)

    sampler.sample_conditionally = watched
    normalizer_bounds(sampler, 12, condition=CLASSES[:12], generator=seeded("cpu", 3))
    assert torch.equal(batches[0][:, 0]["condition"], CLASSES[:12])


def test_a_path_comes_from_the_groups_of_its_condition_by_their_weight():
    states = tuple(torch.arange(8).view(4, 2) + 10 * t for t in range(3))
    own = torch.arange(2).expand(4, 2)
    history = History(torch.ones(4, 3), torch.zeros(4, 3).bool(), (own,) * 3, states)
    log_weights = torch.tensor([[0.0, -99], [-99, 0.0], [0.0, -99], [-99, 0.0]]).double()
    samples = Samples(states[-1], None, log_weights, None, Cost(), history)
    log_normalizer = torch.tensor([0.0, -99, -99, 0.0]).double()
    paths = _drawn_paths(samples, log_normalizer, torch.tensor([0, 1, 0, 1]), seeded("cpu", 0))
    assert paths.tolist() == [[0, 10, 20], [7, 17, 27], [0, 10, 20], [7, 17, 27]]  # groups 0 and 3, best particles
