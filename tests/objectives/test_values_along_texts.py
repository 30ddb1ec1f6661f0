"""Values along texts: a head costs one call of the reference a state, and every caller hands the cache on."""

import pytest
import torch
from along_toys import KINDS, ONCE, B, T, head, moved, texts
from causal_toys import PROMPTS, TARGET, CausalToy, TextNetwork

from svlearn import objectives
from svlearn.inference.samplers import svdd
from svlearn.metering import metered
from svlearn.objectives.behaviour import SharedStart
from svlearn.objectives.distillation import chosen_moves
from svlearn.objectives.exploration import EpsilonMixture
from svlearn.policies import Finetuned
from svlearn.randomness import seeded
from svlearn.rollouts import collect, roll_out
from svlearn.values import Learned
from svlearn.values.calibration import calibrate
from svlearn.values.ensemble import Ensemble
from svlearn.values.selection_gain import selection_gain


def value_objective(kind, **options):
    def build(reference, value):
        return getattr(objectives, kind)(reference, TARGET, value, **options)

    return build


VALUE_OBJECTIVES = {
    "Monte Carlo": value_objective("MonteCarloRegression"),
    "Monte Carlo, soft": value_objective("MonteCarloRegression", estimand="soft"),
    "soft-Q": value_objective("SoftQIteration"),
    "soft-Q, mean": value_objective("SoftQIteration", estimand="mean"),
    "TD": value_objective("TemporalDifference"),
    "TD, mean": value_objective("TemporalDifference", estimand="mean"),
    "contrastive twist": value_objective("ContrastiveTwist"),
    "contrastive energy": value_objective("ContrastiveEnergy"),
    "path consistency": lambda r, v: objectives.PathConsistency(r, TARGET, v, variant="subtrajectory"),
}


@pytest.mark.parametrize("name", VALUE_OBJECTIVES)
def test_a_head_is_trained_by_one_call_of_the_reference_a_state(name):
    figures = {}
    for kind, make in KINDS.items():
        reference = make()
        objective = VALUE_OBJECTIVES[name](reference, head())
        batch, reference.positions = texts(), 0
        with metered() as meter:
            loss = objective.loss(batch, seeded("cpu", 0))
        gradients = torch.autograd.grad(loss, list(objective.value.parameters()))
        figures[kind] = loss, gradients, reference.positions
        assert meter.cost.reference_calls == B * T
    loss, gradients, anew = figures["anew"]
    for kind in ("one pass", "step by step"):
        torch.testing.assert_close(figures[kind][0], loss, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(figures[kind][1], gradients, rtol=1e-9, atol=1e-9)
        assert figures[kind][2] == B * ONCE < anew
    assert all(each.grad is None for each in reference.parameters())


@pytest.mark.parametrize("name", ["Monte Carlo", "soft-Q", "TD", "contrastive energy"])
def test_some_times_are_read_from_one_pass_where_there_is_one(name):
    """Three of four times: the same loss as by calls at these, and as many tokens as one pass has."""
    losses = []
    for kind in ("one pass", "anew"):
        reference = KINDS[kind]()
        objective = VALUE_OBJECTIVES[name](reference, head())
        objective.num_times = 3
        reference.positions = 0
        losses.append(objective.loss(texts(), seeded("cpu", 0)))
        assert (reference.positions == B * ONCE) == (kind == "one pass")
    torch.testing.assert_close(*losses, rtol=1e-9, atol=1e-9)


def test_positives_by_smc_and_validation_hand_the_cache_on():
    reference = CausalToy()
    objective = VALUE_OBJECTIVES["contrastive twist"](reference, head())
    objective.positives = "smc"
    assert torch.isfinite(objective.loss(texts(), seeded("cpu", 0)))
    plain = VALUE_OBJECTIVES["Monte Carlo"](CausalToy(cached=False), head())
    for each in (objective, plain):
        each.validate(texts(), seeded("cpu", 0))
    torch.testing.assert_close(objective._validated[0][0], plain._validated[0][0])


def test_values_are_judged_along_trajectories_with_the_cache():
    values = [head(), Learned(TextNetwork())]
    frames = []
    for kind, make in KINDS.items():
        reference = make(starts=range(T))  # the gain at t draws anew from x_{t-1}
        frame = calibrate(values[0], reference, texts(20))
        assert kind == "anew" or reference.positions == 20 * ONCE
        weights = Ensemble.fit(values, reference, texts(20)).weights
        gains = selection_gain(values, reference, texts(20), num_others=2, generator=seeded("cpu", 0))
        frames.append((torch.tensor(frame.to_numpy(float)), weights, torch.tensor(gains.to_numpy(float))))
    for other in frames[1:]:
        torch.testing.assert_close(frames[0], other, equal_nan=True)


def test_rollouts_hand_the_cache_on(tmp_path):
    stored = {}
    for kind in ("step by step", "anew"):
        reference = KINDS[kind]()
        policy = moved(Finetuned(reference))
        drawn = [
            roll_out(reference, B, target=TARGET, generator=seeded("cpu", 0), condition=PROMPTS[[0, 1, 2, 3, 0, 1]]),
            roll_out(policy, B, generator=seeded("cpu", 1), kind="policy_calls"),
            roll_out(reference, B, generator=seeded("cpu", 2), proposal=policy),
            roll_out(EpsilonMixture(policy, 0.3), B, generator=seeded("cpu", 3)),
            roll_out(SharedStart(policy, 2), B, generator=seeded("cpu", 4)),
            collect(reference, B, tmp_path / kind, target=TARGET, progress=False)[:],
            collect(reference, B, tmp_path / f"{kind} by a policy", proposal=policy, progress=False)[:],
            chosen_moves(reference, policy, teacher(reference), B, generator=seeded("cpu", 5)),
        ]
        stored[kind] = drawn
    for one, other in zip(*stored.values(), strict=True):
        for name, leaf in one.items():
            torch.testing.assert_close(leaf, other[name])


def teacher(reference):
    return svdd(reference, TARGET, Learned(TextNetwork()), 3)
