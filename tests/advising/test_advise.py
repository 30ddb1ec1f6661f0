"""What is advised on processes and rewards of which the answer is known."""

import math

import numpy as np
import pytest
import torch

import svlearn as sv
from svlearn.advising import advise
from svlearn.advising.draws import Drawing
from svlearn.advising.foresight import Foresight
from svlearn.domains.analytic import LinearGaussianChain, QuadraticReward

T, DIM = 4, 2


def chain(std=0.5):
    """x_0 ~ N(0, 1), x_{t+1} = 0.9 x_t + N(0, std²), r(x_T) = x_1 + x_2/2."""
    linear = QuadraticReward(torch.zeros(DIM, DIM), torch.tensor([1.0, 0.5]))
    matrices = 0.9 * torch.eye(DIM).expand(T, DIM, DIM)
    stds = torch.full((T,), std)
    return LinearGaussianChain(torch.zeros(DIM), 1.0, matrices, torch.zeros(T, DIM), stds, linear)


def hashed(x):
    """A number in [0, 1) that no other state tells."""
    return torch.frac(43758.5453 * (1e3 * x).sin().sum(dim=1)).abs()


REFERENCE = chain()
QUICK = {"budget": "12000 calls", "for_samples": 500, "trainable": {}}


def test_a_reward_that_nothing_foresees_leaves_best_of_n():
    advice = advise(REFERENCE, sv.Target(hashed, alpha=0.0), **QUICK)
    assert advice.recommended.startswith("best of ") and advice.gain is None and advice.break_even is None
    assert "nothing that was tried is known to beat best-of-N" in advice.text
    assert "Nothing foresees the reward before the end: a choice between two candidates by" in advice.text
    assert "posterior mean" in advice.skipped
    number = int(advice.recommended.split()[-1])
    assert advice.sampler.num_particles == number > 1


def test_what_costs_nothing_more_is_tried_though_no_gain_was_seen():
    """A choice by a network of (x, t) costs no call, so whatever it may gain is worth a race; one by the posterior mean
    costs a call a candidate."""
    advice = advise(REFERENCE, sv.Target(hashed, alpha=0.0), **{**QUICK, "trainable": None})
    assert any(name.startswith("SVDD, learned") for name in advice.front.index)
    assert "learned" not in advice.skipped
    assert "a choice between two candidates by posterior mean gains" in advice.skipped["posterior mean"]
    assert advice.recommended.startswith("best of ") and "Nothing foresees the reward before the end" in advice.text


def test_no_gain_is_claimed_of_noise_and_the_race_alone_would_have():
    """Eight samplers that choose by nothing, on a reward that nothing foresees: the best of the race has a gain there,
    and none on fresh samples."""
    target = sv.Target(hashed, alpha=0.0)
    same = {f"number {place}": sv.svdd(REFERENCE, target, sv.values.Zero(), 1) for place in range(8)}
    claims = []
    for seed in range(4):
        advice = advise(REFERENCE, target, samplers=same, seed=seed, **{**QUICK, "budget": "9000 calls"})
        claims.append(advice.gain is not None)
    assert sum(claims) <= 1


def test_a_cheap_smooth_reward_is_worth_looking_ahead():
    """The gain is what the exact reward of SVDD with the exact value says, less the best of N of N(0, σ²)."""
    target = sv.Target(REFERENCE.reward, alpha=0.0)
    advice = advise(REFERENCE, target, seed=1, **QUICK)
    assert "posterior mean" in advice.recommended and advice.gain.low > 0
    row = advice.front.loc[advice.recommended]
    drawn = advice.sampler.sample(2000, generator=torch.Generator().manual_seed(5)).rewards.double()
    assert abs(row["reward"] - drawn.mean()) < 4 * math.hypot(row["standard_error"], drawn.std() / 2000**0.5)
    assert row["stage"] == "final"


def test_nothing_on_the_front_is_beaten_at_its_price():
    advice = advise(REFERENCE, sv.Target(REFERENCE.reward, alpha=0.0), seed=1, **QUICK)
    final = advice.front[advice.front["stage"] == "final"]
    for row in final.itertuples():
        better = (final["price"] <= row.price) & (final["reward"] > row.reward)
        assert row.pareto == (not better.any())
    assert 1 < final["pareto"].sum() < len(final)


def test_a_gradient_is_used_where_there_is_one():
    advice = advise(REFERENCE, sv.Target(REFERENCE.reward, alpha=0.5), seed=1, **QUICK)
    names = list(advice.front.index)
    assert any(name.startswith("guidance by posterior mean") for name in names) and advice.gain.low > 0


def test_a_gradient_is_tried_where_no_choice_is_seen_to_gain(monkeypatch):
    """At the bottom of its noise a foresight says nothing of where a gradient leads."""
    monkeypatch.setattr(Foresight, "foresees", False)
    advice = advise(REFERENCE, sv.Target(REFERENCE.reward, alpha=0.5), seed=1, **QUICK)
    assert "posterior mean" in advice.skipped
    assert not any(name.startswith("SVDD, posterior mean") for name in advice.front.index)
    assert "guidance by posterior mean" in advice.recommended and advice.gain.low > 0


@pytest.mark.slow
def test_a_dear_reward_is_learned_and_pays_from_some_samples_on():
    """Each reward costs 20 seconds elsewhere: looking ahead by it is over the limit, and the learned value is not."""
    target = sv.Target(REFERENCE.reward, alpha=0.0)
    advice = advise(
        REFERENCE, target, budget="8h", for_samples=5000, prices={"reward_calls": 20.0}, seed=2, max_batch=512
    )
    assert "learned" in advice.recommended and "over the limit" in advice.skipped["posterior mean"]
    assert advice.break_even is not None and 1 < advice.break_even.samples < 5000
    assert "Training (" in advice.text and "pays from" in advice.text
    assert advice.price < 1.1 * 8 * 3600


def test_a_budget_in_calls_gives_the_same_advice_again():
    target = sv.Target(REFERENCE.reward, alpha=0.0)
    options = {**QUICK, "budget": "6000 calls", "seed": 3}
    one, other = (advise(REFERENCE, target, **options) for _ in range(2))
    same = [name for name in one.front.columns if not name.startswith("seconds")]
    assert one.front[same].equals(other.front[same]) and one.text == other.text
    assert one.gains.equals(other.gains) and one.break_even == other.break_even


def test_all_that_is_spent_is_counted_and_is_the_budget():
    class Counted:
        calls = 0

        def __call__(self, x):
            self.calls += len(x)
            return x[:, 0]

    reward = Counted()
    advice = advise(REFERENCE, sv.Target(reward, alpha=0.0), **QUICK)
    assert advice.spent.reward_calls == reward.calls
    assert advice.price == advice.spent.reference_calls + advice.spent.reward_calls
    assert 0.7 * 12000 < advice.price <= 1.02 * 12000


def test_what_is_missing_of_a_budget_is_said():
    with pytest.raises(ValueError, match=r"budget: expected at least 800 calls, what 160 plain samples cost here, got"):
        advise(REFERENCE, sv.Target(REFERENCE.reward, alpha=0.0), **{**QUICK, "budget": "700 calls"})


def test_rewards_without_an_answer_are_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"reward: expected one that tells samples apart, got 2 for all \d+ plain"):
        advise(REFERENCE, sv.Target(lambda x: torch.full((len(x),), 2.0), alpha=0.0), **QUICK)
    with pytest.raises(ValueError, match=r"reward: expected a finite one on some plain samples, got -inf on all \d+"):
        advise(REFERENCE, sv.Target(lambda x: torch.full((len(x),), -math.inf), alpha=1.0), **QUICK)


def test_a_reward_that_fails_on_most_samples_says_so_and_counts_failures():
    def rare(x):
        return torch.where(x[:, 0] > 1.2, x[:, 1], -math.inf)

    advice = advise(REFERENCE, sv.Target(rare, alpha=1.0), **QUICK)
    assert "The reward is -inf on most of the plain samples (" in advice.text
    assert math.isfinite(advice.front.loc["plain samples", "reward"])


def test_a_reward_that_changes_between_calls_is_measured():
    noise = torch.Generator().manual_seed(0)

    def noisy(x):
        return x[:, 0] + 0.5 * torch.randn(len(x), generator=noise, dtype=x.dtype)

    advice = advise(REFERENCE, sv.Target(noisy, alpha=0.0), **QUICK)
    (note,) = advice.notes
    assert "The reward changes between calls" in note
    measured = float(note.split("standard deviation of ")[1].split(",")[0])
    assert abs(measured - 0.5) < 3 * 0.5 / np.sqrt(2 * 32)


def test_a_policy_at_hand_races_and_may_win():
    """A policy that ends 3 further on, at the price of a plain sample."""
    moved = chain()
    moved.offsets[-1] += torch.tensor([3.0, 0.0])
    advice = advise(REFERENCE, sv.Target(REFERENCE.reward, alpha=0.0), policies={"moved": moved}, **QUICK)
    assert advice.recommended == "policy moved" or advice.front.loc["policy moved", "reward"] > 2.5
    assert any(name.startswith("policy moved") for name in advice.front.index)


def test_a_process_without_noise_has_samplers_that_it_refuses():
    advice = advise(chain(std=0.0), sv.Target(REFERENCE.reward, alpha=0.5), **QUICK)
    assert advice.recommended.startswith("best of ")
    assert any("noise" in reason for reason in advice.skipped.values())


def test_conditions_are_taken_in_turns():
    drawing = Drawing(0, torch.tensor([5, 6, 7]))
    assert drawing.rows(5).tolist() == [5, 6, 7, 5, 6] and Drawing(0).rows(5) is None


def test_a_sampler_that_raises_costs_itself_alone():
    class Broken(sv.Value):
        def forward(self, x, t, prediction=None, *, generator=None):
            raise RuntimeError("out of order")

    advice = advise(REFERENCE, sv.Target(REFERENCE.reward, alpha=0.0), values={"broken": Broken()}, **QUICK)
    assert "out of order" in advice.skipped["broken"] and "posterior mean" in advice.recommended


def test_names_are_their_own():
    value = {"posterior mean": sv.values.Zero()}
    with pytest.raises(ValueError, match=r"values: expected names of their own, got 'posterior mean'"):
        advise(REFERENCE, sv.Target(REFERENCE.reward, alpha=0.0), values=value, **QUICK)
    with pytest.raises(TypeError, match=r"policies\['p'\]: expected a Reference, got int"):
        advise(REFERENCE, sv.Target(REFERENCE.reward, alpha=0.0), policies={"p": 3}, **QUICK)
