"""Training under conditions: values and policies of each are exact, from fresh and from stored trajectories."""

import pytest
import torch
from condition_toys import ALPHA, PolicyByClass, TableByClass, gaussian_by_class, grid, markov_by_class
from torch import nn

from svlearn.inference import proposals
from svlearn.inference.samplers import svdd
from svlearn.objectives import (
    ContrastiveEnergy,
    ContrastiveTwist,
    Distillation,
    DistributionalPolicyGradient,
    GroupRelativePolicyGradient,
    IteratedTwist,
    MonteCarloRegression,
    PathConsistency,
    PolicyGradient,
    ProximalPolicyGradient,
    SoftQIteration,
)
from svlearn.objectives.behaviour import SharedStart
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded
from svlearn.rollouts import RolloutData, collect, roll_out
from svlearn.values import Learned

ORACLE = markov_by_class()
TARGET = ORACLE.target(ALPHA)
CLASSES = torch.arange(3)
QUIET = dict(seed=0, enable_progress_bar=False)


def error(objective, kind="soft", free=False):
    """The largest error over t and condition, weighed by how often p_ref is there, reward units; up to a constant at
    each t, but one for all conditions, where it is free."""
    states, largest = grid(ORACLE), 0.0
    exact = ORACLE.soft_value(ALPHA) if kind == "soft" else ORACLE.mean_value()
    for t in range(ORACLE.num_steps):
        times = torch.full((len(states),), t)
        with torch.no_grad():
            gap = objective.value(states, times) - exact(states, times)
        weights = torch.stack([each.marginals()[t] for each in ORACLE.oracles])
        if free:
            gap = gap - (weights.flatten() * gap).sum() / 3
        largest = max(largest, float((weights * gap.view(3, -1) ** 2).sum(dim=1).max().sqrt()))
    return largest


def learned(kind, **options):
    return kind(ORACLE, TARGET, Learned(TableByClass(ORACLE)), conditions=CLASSES, **options)


FIRST = {name: error(learned(MonteCarloRegression), name) for name in ("soft", "mean")}


@pytest.mark.parametrize(
    ("kind", "options", "steps"),
    [
        (MonteCarloRegression, dict(estimand="soft", learning_rate=5e-2), 400),
        (MonteCarloRegression, dict(estimand="mean", learning_rate=5e-2), 400),
        (SoftQIteration, dict(estimand="soft", learning_rate=5e-2), 400),
        (ContrastiveTwist, dict(learning_rate=3e-2), 400),
        (ContrastiveTwist, dict(positives="smc", learning_rate=3e-2), 300),
        (ContrastiveEnergy, dict(learning_rate=3e-2), 400),
        (IteratedTwist, dict(learning_rate=0.1, limit=9, inner_steps=25), 75),
    ],
    ids=["soft", "mean", "soft q", "twist", "twist smc", "energy", "iterated"],
)
def test_the_exact_value_of_each_condition_is_learned(kind, options, steps):
    objective = learned(kind, batch_size=1024, **options)
    fit(objective, max_steps=steps, **QUIET)
    estimand = options.get("estimand", "soft")
    free = kind in (ContrastiveTwist, ContrastiveEnergy, IteratedTwist)
    assert error(objective, estimand, free) < 0.12 < 0.8 < FIRST[estimand]


@pytest.mark.parametrize(
    ("kind", "options", "steps"),
    [
        (PathConsistency, dict(value=True), 150),
        (PathConsistency, dict(variant="log_variance", shared_start=4, exploration=0.25, replay=0.25), 150),
        (PathConsistency, dict(variant="log_variance"), 150),
        (DistributionalPolicyGradient, {}, 200),
        (PolicyGradient, {}, 200),
        (PolicyGradient, dict(num_times=2), 200),
        (ProximalPolicyGradient, {}, 200),
        (GroupRelativePolicyGradient, {}, 200),
    ],
    ids=["trajectory", "shared start", "log variance", "distributional", "gradient", "few times", "proximal", "group"],
)
def test_the_exact_policy_of_each_condition_is_learned(kind, options, steps):
    policy, options = PolicyByClass(ORACLE), dict(options)
    if options.pop("value", False):
        options["value"] = Learned(TableByClass(ORACLE))
    objective = kind(ORACLE, TARGET, policy=policy, conditions=CLASSES, learning_rate=5e-2, batch_size=512, **options)
    before = policy.lost(ALPHA)
    fit(objective, max_steps=steps, **QUIET)
    assert before.min() > 0.1 and policy.lost(ALPHA).max() < 0.012


def test_one_log_z_for_several_conditions_is_refused():
    with pytest.raises(ValueError, match="value: expected one, as x_0 of this reference varies"):
        PathConsistency(ORACLE, TARGET, policy=PolicyByClass(ORACLE), conditions=CLASSES)


@pytest.mark.parametrize("roll_in", ["teacher", "student"])
def test_a_sampler_of_each_condition_is_distilled(roll_in):
    value = ORACLE.soft_value(ALPHA)
    teacher = svdd(ORACLE, TARGET, value, 1, proposal=proposals.Exact(value))
    policy = PolicyByClass(ORACLE)
    objective = Distillation(
        ORACLE, TARGET, policy, teacher, roll_in=roll_in, conditions=CLASSES, learning_rate=5e-2, batch_size=512
    )
    fit(objective, max_steps=200, **QUIET)
    assert policy.lost(ALPHA).max() < 0.03


class Linear(nn.Module):
    """A quadratic in x for each class and time: it can hold the exact values of the linear-Gaussian oracle."""

    def __init__(self, num_steps):
        super().__init__()
        self.bends = nn.Parameter(torch.zeros(3, num_steps, 2, 2, dtype=torch.float64))
        self.slopes = nn.Parameter(torch.zeros(3, num_steps, 2, dtype=torch.float64))
        self.levels = nn.Parameter(torch.zeros(3, num_steps, dtype=torch.float64))

    def forward(self, x, t):
        c, x = x["condition"], x["x"]
        bent = torch.einsum("bi,bij,bj->b", x, self.bends[c, t], x)
        return bent + (self.slopes[c, t] * x).sum(1) + self.levels[c, t]


def test_in_the_linear_gaussian_chain_the_value_of_each_condition_is_learned():
    oracle = gaussian_by_class()
    objective = MonteCarloRegression(
        oracle, oracle.target(ALPHA), Learned(Linear(4)), conditions=CLASSES, learning_rate=3e-2, batch_size=512
    )
    fit(objective, max_steps=500, **QUIET)
    states = roll_out(oracle, 3000, condition=torch.arange(3000) % 3, generator=seeded("cpu", 9))["states"]
    for t in range(4):
        times = torch.full((3000,), t)
        with torch.no_grad():
            exact, guess = oracle.mean_value()(states[:, t], times), objective.value(states[:, t], times)
        for c in range(3):
            rows = states[:, t]["condition"] == c
            assert 1 - ((guess - exact)[rows] ** 2).mean() / exact[rows].var() > 0.97


def test_stored_trajectories_of_conditions_teach_as_fresh_ones_do(tmp_path):
    drawn = collect(ORACLE, 30_000, tmp_path, target=TARGET, conditions=CLASSES, batch_size=5000, progress=False)
    assert torch.bincount(drawn.states[:, 0]["condition"]).min() > 9000
    objective = learned(MonteCarloRegression, estimand="soft", learning_rate=5e-2)
    fit(objective, max_steps=300, data=RolloutData(tmp_path, batch_size=1024), limit_val_batches=1, **QUIET)
    assert error(objective) < 0.12


# Randomness ----------------------------------------------------------------------------------------------------------


def test_conditions_are_drawn_first_and_validation_has_them(monkeypatch):
    objective = learned(MonteCarloRegression, batch_size=32, num_validation=16)
    generator = seeded("cpu", 4)
    rows = CLASSES[torch.randint(3, (32,), generator=generator)]
    expected = roll_out(ORACLE, 32, target=TARGET, condition=rows, generator=generator)
    trajectories = objective._trajectories(0, 32, seeded("cpu", 4))
    assert bool((trajectories == expected).all())
    batches = []
    loss = objective.loss
    monkeypatch.setattr(objective, "loss", lambda batch, generator: batches.append(batch) or loss(batch, generator))
    fit(objective, max_steps=1, limit_val_batches=1, num_sanity_val_steps=1, **QUIET)
    assert [len(each) for each in batches] == [16, 32] and len(batches[0]["states"][:, 0]["condition"].unique()) == 3


def test_groups_that_share_x_0_share_their_condition():
    objective = PathConsistency(
        ORACLE,
        TARGET,
        policy=PolicyByClass(ORACLE),
        variant="log_variance",
        shared_start=4,
        exploration=0.25,
        batch_size=32,
        num_validation=32,
        conditions=lambda number, generator: torch.randint(3, (number,), generator=generator),
    )
    start = objective._trajectories(0, 32, seeded("cpu", 0))["states"][:, 0]
    groups = start["condition"].view(8, 4)
    assert bool((groups == groups[:, :1]).all()) and len(groups[:, 0].unique()) == 3
    rows = torch.tensor([2, 0, 1]).repeat_interleave(4)
    states = SharedStart(ORACLE, 4).initial(12, condition=rows.tolist(), generator=seeded("cpu", 0))
    assert torch.equal(states["condition"], rows)


def test_a_resumed_training_under_conditions_goes_on_to_the_bit(tmp_path):
    def train(steps, **more):
        objective = PathConsistency(
            ORACLE,
            TARGET,
            policy=PolicyByClass(ORACLE),
            variant="log_variance",
            shared_start=2,
            replay=0.5,
            conditions=[0, 1, 2],
            batch_size=16,
            num_validation=16,
        )
        return fit(objective, max_steps=steps, **QUIET, **more).policy.table

    from pytorch_lightning.callbacks import ModelCheckpoint

    whole = train(6)
    train(6, callbacks=[ModelCheckpoint(tmp_path, every_n_train_steps=3, save_top_k=-1, filename="{step}")])
    again = train(6, ckpt_path=str(tmp_path / "step=3.ckpt"))
    assert torch.equal(whole, again)
