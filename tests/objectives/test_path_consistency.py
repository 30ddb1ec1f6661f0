"""Path consistency: what its variants learn, against the exact p* of the oracles, and what they refuse."""

import math

import pytest
import torch
from control_toys import LinearInX, chain_of, gaussian
from path_toys import (
    ALPHA,
    EXACT,
    Table,
    TablePolicy,
    every_path,
    fixed_start,
    gap,
    make,
    markov,
    minimise,
    path_law,
    spread,
)
from value_toys import QuadraticInX

from svlearn.domains.analytic import FiniteMarkovChain, elbo
from svlearn.objectives.fit import fit
from svlearn.objectives.path_consistency import PathConsistency
from svlearn.objectives.path_losses import VARIANTS, log_weights, path_loss
from svlearn.policies import Controlled
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.values import Learned, Zero

INF = math.inf
OFF_POLICY = dict(exploration=0.25, replay=0.5, replay_size=4096)


# Off-policy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_trajectories_that_no_policy_drew_teach_the_exact_policy(variant):
    oracle = spread()
    assert oracle.soft_table(ALPHA)[0].std() > ALPHA  # x_0 decides much
    batch = every_path(3, 2, oracle.target(ALPHA))
    objective = make(oracle, variant, num_steps=2)
    start = gap(oracle, objective.policy.chain(), ALPHA)
    minimise(lambda: objective.loss(batch, seeded("cpu", 0)), list(objective.trained().parameters()))
    assert start > 0.03
    assert gap(oracle, objective.policy.chain(), ALPHA) < 1e-6
    learned, exact = objective.value.network.table[0], oracle.soft_table(ALPHA)[0]
    offset = (learned - exact).mean() if variant == "log_variance" else 0.0
    torch.testing.assert_close(learned - offset, exact, atol=1e-3, rtol=0)


def test_log_variance_off_policy_is_biased_where_v_0_is_left_out_and_not_where_x_0_is_shared():
    oracle = spread()
    batch = every_path(3, 2, oracle.target(ALPHA))  # nine consecutive paths share x_0
    shared = make(oracle, "log_variance", None, shared_start=9, batch_size=18, num_validation=18)
    shared._trajectories(batch, 27, seeded("cpu", 0))  # is accepted
    minimise(lambda: shared.loss(batch, seeded("cpu", 0)), [shared.policy.table])
    assert gap(oracle, shared.policy.chain(), ALPHA) < 1e-6
    left_out = make(oracle, "log_variance", None)
    with pytest.raises(ValueError, match="x_0 of the stored trajectories varies"):
        left_out._trajectories(batch, 27, seeded("cpu", 0))
    minimise(lambda: left_out.loss(batch, seeded("cpu", 0)), [left_out.policy.table])
    assert gap(oracle, left_out.policy.chain(), ALPHA) > 0.03


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_a_policy_the_fixed_point_is_the_mean_value_and_not_the_soft_one(variant):
    """The expected gradient, over all paths of the reference."""
    oracle = markov(num_states=3, num_steps=2)
    batch = every_path(3, 2, oracle.target(0.5))
    states = batch["states"][..., 0]
    law = path_law(oracle, states)

    def gradient(table):
        objective = make(oracle, variant, Learned(Table(table[:-1])), None, alpha=0.5, num_steps=2)
        weights = log_weights(*objective.gather(batch, seeded("cpu", 0)))
        gaps = weights[:, 0] - weights[:, -1]
        if variant == "log_variance":
            loss = law @ (gaps - law @ gaps) ** 2
        else:
            loss = law @ path_loss(weights, objective.pairs, hold_later=True)
            torch.testing.assert_close(
                objective.loss(batch, seeded("cpu", 0)), path_loss(weights, objective.pairs).mean()
            )
        loss.backward()
        return objective.value.network.table.grad.abs().max()

    assert gradient(oracle.mean_table()) < 1e-12
    assert gradient(oracle.soft_table(0.5)) > 0.01


def test_without_a_policy_the_later_value_is_held_fixed():
    oracle = markov(num_states=3, num_steps=2)
    objective = make(oracle, "detailed", policy=None)
    batch = every_path(3, 2, oracle.target(ALPHA))
    objective.value.network.table.data[1] = 1.0
    objective.loss(batch, seeded("cpu", 0)).backward()
    early, later = objective.value.network.table.grad * 3 * ALPHA**2  # two pairs, three states, reward units
    torch.testing.assert_close(early, torch.full((3,), -1.0, dtype=EXACT))
    torch.testing.assert_close(later, (1 - oracle.reward.table.mean()).expand(3))  # nothing of v_0, which is 0


# -inf ----------------------------------------------------------------------------------------------------------------


def test_a_forbidden_end_counts_as_the_floor():
    oracle = markov(num_states=3, num_steps=2).with_rewards([0.5, -INF, -0.2])
    target = Target(oracle.reward, ALPHA, floor=-20.0)
    value = Learned(Table(torch.zeros(2, 3, dtype=EXACT)))
    objective = PathConsistency(oracle, target, value, TablePolicy(oracle))
    batch = every_path(3, 2, target)
    minimise(lambda: objective.loss(batch, seeded("cpu", 0)), list(objective.trained().parameters()))
    floored = oracle.with_rewards([0.5, -20.0, -0.2])
    assert gap(floored, objective.policy.chain(), ALPHA) < 1e-6
    assert objective.policy.chain().marginals()[-1][1] < math.exp(-20 / ALPHA)


def test_a_floor_above_a_finite_reward_is_refused_and_so_is_the_mean_of_minus_infinity():
    oracle = markov(num_states=3, num_steps=2).with_rewards([0.5, -INF, -3.0])
    target = Target(oracle.reward, ALPHA, floor=-2.0)
    batch = every_path(3, 2, target)
    value = Learned(Table(torch.zeros(2, 3, dtype=EXACT)))
    with pytest.raises(ValueError, match="floor: expected one below every finite reward"):
        PathConsistency(oracle, target, value, TablePolicy(oracle)).loss(batch, seeded("cpu", 0))
    with pytest.raises(ValueError, match="mean of a reward that is -inf does not exist"):
        PathConsistency(oracle, target, value).loss(batch, seeded("cpu", 0))


def test_a_move_that_the_reference_cannot_make_is_named():
    oracle = FiniteMarkovChain([0.5, 0.5], [[[0.0, 1.0], [0.5, 0.5]]], [0.0, 1.0])
    batch = every_path(2, 1, oracle.target(ALPHA))
    objective = make(oracle)
    with pytest.raises(ValueError, match="log q - log p_ref: expected a finite number at step 0, got .* at index 0"):
        objective.loss(batch, seeded("cpu", 0))


# Arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (dict(variant="balance"), ValueError, "variant: expected one of trajectory, .*, got 'balance'"),
        (dict(value=None, policy=None), ValueError, "policy, value: expected at least one to train, got neither"),
        (dict(value=None), ValueError, "value: expected one, as x_0 of this reference varies"),
        (dict(value=None, variant="log_variance", replay=0.5), ValueError, "x_0 of this reference varies"),
        (dict(value=None, variant="detailed"), ValueError, "value: variant 'detailed' reads v_t at every t"),
        (dict(value=Table(torch.zeros(6, 5))), TypeError, "value: expected None or a Value, got Table"),
        (dict(value=Zero(), policy=None), ValueError, "expected trainable parameters, got none"),
        (dict(policy=3), TypeError, "policy: expected a policies.Policy, got int"),
        (dict(policy=None, exploration=0.1), ValueError, "exploration, .*, replay: expected 0 without a policy"),
        (
            dict(policy=None, exploration_noise=0.1),
            ValueError,
            "exploration_noise, replay: expected 0 without a policy",
        ),
        (dict(exploration_noise=1.0), ValueError, "exploration_noise: expected a share in"),
        (dict(value=None, variant="log_variance", exploration_noise=0.1), ValueError, "x_0 of this reference varies"),
        (dict(exploration=1.0), ValueError, "exploration: expected a share in"),
        (dict(replay=-0.1), ValueError, "replay: expected a share in"),
        (dict(replay_size=0), ValueError, "replay_size"),
        (dict(shared_start=0), ValueError, "shared_start: expected an integer of at least 1, got 0"),
        (dict(shared_start=2), ValueError, "shared_start: variant 'trajectory' has no use for it"),
        (dict(shared_start=2, variant="log_variance"), ValueError, "value: v_0 cancels"),
        (dict(shared_start=3, variant="log_variance", value=None), ValueError, "batch_size: expected a multiple of"),
        (dict(variant="log_variance", batch_size=1), ValueError, "at least 2 to take a variance"),
        (dict(num_steps=7), ValueError, "num_steps: expected an integer from 1 to 6, got 7"),
        (dict(sub_lambda=0.0), ValueError, "sub_lambda: expected a number above 0, got 0.0"),
        (dict(alpha=0.0), ValueError, "alpha: PathConsistency needs alpha > 0, got 0"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, error, words):
    with pytest.raises(error, match=words):
        make(markov(), **change)


# Training ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["trajectory", "log_variance", "subtrajectory"])
def test_on_policy_it_finds_the_best_linear_control(variant):
    oracle = gaussian()
    policy, value = Controlled(oracle, LinearInX(3, 8)), Learned(QuadraticInX(3, 8))
    objective = PathConsistency(
        oracle, oracle.target(ALPHA), value, policy, variant, learning_rate=2e-2, batch_size=256
    )
    fit(objective, max_steps=400, seed=0, enable_progress_bar=False)
    start, best = elbo(oracle, oracle, ALPHA), oracle.best_elbo(ALPHA)
    with torch.no_grad():
        bound = elbo(chain_of(objective), oracle, ALPHA)
    assert best - start > 0.06
    assert best - bound < 0.01
    states = roll_out(oracle, 4000, generator=seeded("cpu", 99))["states"]
    for time in range(8 if variant == "subtrajectory" else 1):
        t = torch.full((4000,), time)
        with torch.no_grad():
            exact, guess = oracle.soft_value(ALPHA)(states[:, time], t), value(states[:, time], t)
        if variant == "log_variance":  # which sees v_0 only up to a constant
            guess = guess - (guess - exact).mean()
        assert 1 - ((guess - exact) ** 2).mean() / exact.var() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "options"),
    [(variant, {}) for variant in VARIANTS]
    + [("trajectory", OFF_POLICY), ("subtrajectory", OFF_POLICY), ("subtrajectory", dict(exploration_noise=0.3))]
    + [("log_variance", dict(value=None, shared_start=4)), ("log_variance", dict(value=None))],
)
def test_it_finds_the_exact_policy_of_a_markov_chain(variant, options):
    oracle = markov()
    objective = make(oracle, variant, num_steps=3, learning_rate=5e-2, **options)
    start = gap(oracle, objective.policy.chain(), ALPHA)
    fit(objective, max_steps=150, seed=0, enable_progress_bar=False)
    end = gap(oracle, objective.policy.chain(), ALPHA)
    assert end < 0.01 < 0.05 < start


@pytest.mark.slow
def test_from_a_fixed_start_it_learns_log_z():
    oracle = fixed_start()
    objective = make(oracle, "trajectory", None, learning_rate=5e-2)
    fit(objective, max_steps=150, seed=0, enable_progress_bar=False)
    assert objective.log_normalizer.item() == pytest.approx(oracle.log_normalizer(ALPHA).item(), abs=0.005)
    assert gap(oracle, objective.policy.chain(), ALPHA) < 0.01
