"""GRPO's gradient against enumeration of all groups: unbiased by default, and by how much the papers' forms are not."""

import itertools
import math

import pytest
import torch
from group_toys import ALPHA, LISTED, expected_gradient, gradient, judged, make

from svlearn.objectives.clipped_policy_gradient import clipped_surrogate_loss
from svlearn.objectives.group_relative import (
    constant_groups,
    group_advantages,
    relative_rewards,
    relative_sum,
)
from svlearn.objectives.group_relative_policy_gradient import k3
from svlearn.objectives.policy_gradient import PolicyGradient
from svlearn.objectives.policy_objective import log_ratio
from svlearn.randomness import seeded
from svlearn.reward import WeightedSum

DOUBLE = torch.float64


def listed(name):
    build, table, paths = LISTED[name]
    oracle = build()
    policy = table(oracle, 0.5)
    return oracle, policy, *paths(oracle, policy)


def slope(function, policy):
    return torch.autograd.grad(function, policy.logits, retain_graph=True)[0]


def rewards_of(oracle, states):
    return oracle.target(ALPHA)(states[:, -1]).double() / ALPHA


def test_advantages_by_hand():
    rewards = torch.tensor([1.0, 2.0, 6.0, 3.0, 3.0, 3.0])
    alone = relative_rewards(rewards, 3, "leave_one_out")
    assert alone.tolist() == [1 - 4, 2 - 3.5, 6 - 1.5, 0, 0, 0]
    assert relative_rewards(rewards, 3, "centered").tolist() == [-2, -1, 3, 0, 0, 0]
    spread = math.sqrt((4 + 1 + 9) / 2)
    expected = torch.tensor([-2 / spread, -1 / spread, 3 / spread, 0, 0, 0], dtype=DOUBLE)
    torch.testing.assert_close(relative_rewards(rewards, 3, "standardized"), expected)
    costs = torch.tensor([[3.0, 0.0], [1.0, 0.0], [2.0, 6.0], [0.0, 0.0], [0.0, 0.0], [9.0, 0.0]])
    by_hand = [[-6 - 1.5, -6 + 3], [-3 + 1.5, -3 + 3], [9 - 0, 9 - 6], [4.5, 0], [4.5, 0], [-9, 0]]
    assert group_advantages(alone, costs, 0.5, 3).tolist() == by_hand


def test_rewards_that_differ_by_rounding_alone_are_constant():
    drawn = torch.tensor([0.1, 0.1, 0.1, 0.2, 0.3, 0.3])
    noisy = drawn * (1 + torch.finfo(torch.float32).eps * torch.tensor([0.0, 1, 2, 0, 1, 2]))
    assert constant_groups(noisy, 3).tolist() == [True] * 3 + [False] * 3
    assert not relative_rewards(noisy, 3, "standardized")[:3].any()
    assert constant_groups(torch.zeros(4), 2).all() and not constant_groups(torch.tensor([0.0, 1e-30]), 2).any()


def test_each_reward_has_the_say_of_its_weight():
    terms = torch.tensor([[1.0, 100.0], [3.0, 0.0], [0.0, 7.0], [0.0, 9.0]], dtype=DOUBLE)
    root = math.sqrt(0.5)
    expected = [root * (-2 + 3 * 1), root * (2 - 3), 3 * -root, 3 * root]
    torch.testing.assert_close(relative_sum(terms, [2.0, 3.0], 2), torch.tensor(expected, dtype=DOUBLE))


def test_a_reward_that_differs_by_float32_rounding_alone_says_nothing():
    noisy = torch.full((4,), 0.7312)
    noisy[3] += 6e-8
    terms = torch.stack([noisy.double(), torch.arange(4, dtype=DOUBLE)], dim=1)
    assert not relative_sum(terms, [1.0, 0.0], 4).any()


@pytest.mark.parametrize(("name", "size"), [("chain", 2), ("tree", 2), ("tree", 3)])
@pytest.mark.parametrize("kl", ["exact", "sampled"])
def test_the_expected_gradient_over_all_groups_is_that_of_the_elbo(name, kl, size):
    oracle, policy, states, own, others = listed(name)
    elbo = (own.exp() * (rewards_of(oracle, states) - (own - others))).sum()
    objective = make(oracle, policy, kl=kl, group_size=size, batch_size=size)
    torch.testing.assert_close(expected_gradient(objective, states, own), slope(-elbo, policy))


@pytest.mark.parametrize("name", LISTED)
def test_the_mean_of_the_whole_group_takes_a_share_of_the_reward_away(name):
    oracle, policy, states, own, others = listed(name)
    objective = make(oracle, policy, advantages="centered")
    shrunk = (own.exp() * (0.5 * rewards_of(oracle, states) - (own - others))).sum()  # (K - 1)/K of the reward
    torch.testing.assert_close(expected_gradient(objective, states, own), slope(-shrunk, policy))


@pytest.mark.parametrize("name", LISTED)
def test_without_the_score_function_term_what_a_step_leads_to_is_not_seen(name):
    oracle, policy, states, own, others = listed(name)
    objective = make(oracle, policy, kl="direct")
    t = torch.arange(oracle.num_steps).expand(len(states), -1)
    (kls,) = objective.step_terms(states, t, [lambda q, p, x: q.kl(p)])
    probs = own.detach().exp()
    seen = slope((probs * kls.sum(dim=1)).sum() - (own.exp() * rewards_of(oracle, states)).sum(), policy)
    actual = expected_gradient(objective, states, own)
    torch.testing.assert_close(actual, seen)
    exact = slope(-(own.exp() * (rewards_of(oracle, states) - (own - others))).sum(), policy)
    assert (actual - exact).norm() / exact.norm() > {"chain": 0.001, "tree": 0.01}[name]


@pytest.mark.parametrize("name", LISTED)
def test_the_sampled_divergence_of_grpo_has_the_gradient_of_the_other_direction(name):
    """Σ_t E[∇KL(p_ref || q)] at the states that q visits, and not of KL(q || p_ref)."""
    oracle, policy, states, own, _ = listed(name)
    objective = make(oracle, policy, kl="k3")
    t = torch.arange(oracle.num_steps).expand(len(states), -1)
    (kls,) = objective.step_terms(states, t, [lambda q, p, x: p.kl(q)])
    seen = slope((own.detach().exp() * kls.sum(dim=1)).sum() - (own.exp() * rewards_of(oracle, states)).sum(), policy)
    torch.testing.assert_close(expected_gradient(objective, states, own), seen)


def test_k3_is_the_divergence_on_average_and_never_negative():
    oracle, policy, states, own, _ = listed("tree")
    objective = make(oracle, policy)
    t = torch.arange(oracle.num_steps).expand(len(states), -1)
    terms, kls = objective.step_terms(states, t, [k3, lambda q, p, x: q.kl(p)])
    assert (terms >= 0).all()
    torch.testing.assert_close((own.exp() @ terms).detach(), (own.exp() @ kls).detach())


def test_the_bias_of_the_division_in_figures():
    """Of two, r less the mean over the spread is ±1/√2: whatever the rewards, only their order is seen."""
    oracle, policy, states, own, others = listed("tree")
    objective = make(oracle, policy, advantages="standardized")
    rewards, probs = rewards_of(oracle, states), own.detach().exp()
    signs = (rewards[:, None] - rewards[None]).sign() @ probs / math.sqrt(2) / ALPHA  # E_y[sign(r(x) - r(y))]
    divergence = (own.exp() * (own - others)).sum()
    actual = expected_gradient(objective, states, own)
    torch.testing.assert_close(actual, slope(divergence - (own.exp() * signs).sum(), policy))
    exact = slope(divergence - (own.exp() * rewards).sum(), policy)
    cosine = torch.nn.functional.cosine_similarity(actual.flatten(), exact.flatten(), dim=0).item()
    assert cosine == pytest.approx(0.948, abs=0.002)
    assert (actual.norm() / exact.norm()).item() == pytest.approx(0.646, abs=0.002)


def test_at_the_optimum_the_gradient_is_0_and_with_the_division_it_is_not():
    oracle, policy, *_ = listed("tree")
    best = oracle.optimal(ALPHA)
    policy.logits.data = torch.where(oracle.probs > 0, (best.probs / oracle.probs).log(), 0.0)
    states, own, _ = LISTED["tree"][2](oracle, policy)
    for form, expected in (("leave_one_out", 0.0), ("centered", 0.105), ("standardized", 0.049)):
        actual = expected_gradient(make(oracle, policy, advantages=form), states, own)
        assert actual.norm().item() == pytest.approx(expected, abs=0.001 if expected else 1e-12), form


def test_groups_do_not_meet():
    """Other groups in the batch change nothing of a group's advantages; a larger group is another baseline."""
    oracle, policy, states, *_ = listed("tree")
    objective = make(oracle, policy)
    alone = torch.cat([judged(objective, states[rows])["advantages"] for rows in (slice(0, 2), slice(2, 4))])
    torch.testing.assert_close(judged(objective, states)["advantages"], alone)
    together = judged(make(oracle, policy, group_size=4), states)["advantages"]
    assert (together - alone).abs().max() > 0.1


def test_one_group_of_the_whole_batch_with_sampled_costs_is_the_policy_gradient():
    oracle, policy, states, *_ = listed("chain")
    ours = make(oracle, policy, group_size=8, batch_size=8, kl="sampled")
    plain = PolicyGradient(oracle, oracle.target(ALPHA), policy)
    torch.testing.assert_close(gradient(ours, judged(ours, states)), gradient(plain, judged(ours, states)))


def test_a_constant_group_has_no_update_of_the_reward_and_is_counted():
    oracle, policy, states, *_ = listed("tree")
    rows = torch.tensor([0, 0, 1, 2])
    for form in ("leave_one_out", "centered", "standardized"):
        objective = make(oracle, policy, advantages=form, kl="direct")
        batch = judged(objective, states[rows])
        assert batch["constant"].tolist() == [True, True, False, False]
        assert not batch["advantages"][:2].any() and batch["advantages"][2:].all()
        assert batch["advantages"].isfinite().all()


def test_several_rewards_are_weighted_and_each_standardized():
    """By hand, and as one standardized reward where one alone counts."""
    oracle, policy, *_ = listed("tree")

    def length(x):
        return 1000.0 * x[:, -1].double()

    total = WeightedSum({oracle.reward: 1.0, length: -2.0})
    objective = make(oracle, policy, reward=total, advantages="standardized_each", kl="direct", batch_size=4)
    drawn = objective._trajectories(0, 4, seeded("cpu", 1))
    ends = drawn["states"][:, -1]
    torch.testing.assert_close(drawn["terms"], torch.stack([oracle.reward(ends).double(), length(ends)], dim=1))
    torch.testing.assert_close(drawn["rewards"], oracle.reward(ends) - 2 * length(ends))
    parts = [relative_rewards(each, 2, "standardized") for each in drawn["terms"].T]
    expected = (parts[0] - 2 * parts[1]) / ALPHA
    torch.testing.assert_close(drawn["advantages"], expected[:, None].expand(-1, 3))
    forbidden = WeightedSum({oracle.reward: 1.0, length: -2.0, (lambda x: torch.full((len(x),), -math.inf)): 0.0})
    unseen = make(oracle, policy, reward=forbidden, advantages="standardized_each", kl="direct", batch_size=4)
    torch.testing.assert_close(unseen._trajectories(0, 4, seeded("cpu", 1))["advantages"], drawn["advantages"])
    weighted = make(oracle, policy, reward={oracle.reward: 1.0, length: -2.0}, batch_size=4)
    again = weighted._trajectories(0, 4, seeded("cpu", 1))
    torch.testing.assert_close(again["rewards"], drawn["rewards"])


def test_what_is_drawn_has_the_divergence_of_every_step():
    for name in LISTED:
        oracle, policy, *_ = listed(name)
        objective = make(oracle, policy, batch_size=40)
        drawn = objective.drawn(40, seeded("cpu", 0))
        t = torch.arange(oracle.num_steps).expand(40, -1)
        ratios, kls = objective.step_terms(drawn["states"], t, [log_ratio, lambda q, p, x: q.kl(p)])
        torch.testing.assert_close(drawn["kl"], kls.detach())
        torch.testing.assert_close(drawn["log_ratios"], -ratios.detach())
        assert (drawn["kl"] >= 0).all() and (drawn["kl"] > 0).any()


def test_bad_input_is_refused():
    oracle, policy, states, *_ = listed("tree")
    for name, setting, words in (
        ("group_size", 1, "group_size: expected an integer of at least 2, got 1"),
        ("group_size", 5, "batch_size: expected a multiple of group_size 5, got 12"),
        ("advantages", "mean", "advantages: expected one of leave_one_out, centered, standardized, standardized_each"),
        ("kl", "none", "kl: expected one of exact, sampled, direct, k3, got 'none'"),
        ("window", 4, "window: expected"),
        ("window", 0, "window: expected"),
        ("advantages", "standardized_each", "advantages: 'standardized_each' needs several rewards, as Target"),
        ("clip", 1.0, "clip: expected a number in"),
    ):
        with pytest.raises(ValueError, match=words):
            make(oracle, policy, **{name: setting})
    with pytest.raises(ValueError, match="num_times, window: expected one of them at most, got both"):
        make(oracle, policy, window=1, num_times=1)
    with pytest.raises(ValueError, match="window_moves: expected one of progressive, random, frozen, got 'left'"):
        make(oracle, policy, window=1, window_moves="left")
    for form in ("leave_one_out", "standardized"):
        objective = make(oracle, policy, advantages=form)
        batch = judged(objective, states)
        batch["rewards"][0] = -math.inf
        with pytest.raises(ValueError, match="DistributionalPolicyGradient takes it"):
            objective.judged(batch)


def test_ratios_that_overflow_leave_a_finite_loss_and_gradient_and_are_counted():
    oracle, policy, states, *_ = listed("tree")
    objective = make(oracle, policy)
    batch = judged(objective, states)
    batch["log_ratios"] = batch["log_ratios"] + 2000.0  # as if q_old had drawn what q finds e^2000 times likelier
    counted = {}
    objective.log = lambda name, value, **options: counted.update({name: float(value)})
    objective.train()
    for sign in (1.0, -1.0):
        batch["advantages"] = torch.full_like(batch["advantages"], sign)
        loss = objective.loss(batch, seeded("cpu", 0))
        (actual,) = torch.autograd.grad(loss, policy.logits)
        assert loss.isfinite() and actual.isfinite().all()
        assert counted["train/overflow_fraction"] == counted["train/clip_fraction"] == 1.0
    ones = torch.ones(3, dtype=DOUBLE, requires_grad=True)
    losses = clipped_surrogate_loss(ones * torch.tensor([0.0, 19.0, 1e5]), torch.zeros(3), -torch.ones(3), 0.2)
    torch.testing.assert_close(losses.detach(), torch.tensor([1.0, math.exp(19), math.exp(20)], dtype=DOUBLE))
    assert (torch.autograd.grad(losses.sum(), ones)[0] > 0).tolist() == [False, True, False]


def test_all_pairs_of_one_random_window_have_the_mean_gradient_of_all_steps():
    oracle, policy, states, *_ = listed("tree")
    whole, one = make(oracle, policy), make(oracle, policy, window=2, window_moves="random")
    batch = judged(whole, states)
    windows = {}
    for seed in itertools.count():
        generator = seeded("cpu", seed)
        times = tuple(one.chosen_times(4, seeded("cpu", seed))[0].tolist())
        windows[times] = torch.autograd.grad(one.loss(batch, generator), policy.logits)[0]
        if len(windows) == 3:
            break
    assert set(windows) == {(0, 1), (1, 2), (2, 0)}
    torch.testing.assert_close(sum(windows.values()) / 3, gradient(whole, batch))
