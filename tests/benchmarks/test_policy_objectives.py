"""The study of objectives at equal work: what is counted, curves read by hand, and a page that says what is there."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch.nn import functional as F

import svlearn as sv
from benchmarks.common.results import Results
from benchmarks.digits_policies.steering import RADIUS
from benchmarks.policy_objectives import curves, findings, run
from benchmarks.policy_objectives.baselines import BASELINES, PRETRAINED
from benchmarks.policy_objectives.families import FAMILIES, families_of
from benchmarks.policy_objectives.figures import figures, file
from benchmarks.policy_objectives.files import MostLikelyDigit, SmallFile
from benchmarks.policy_objectives.findings import CALLS, SECONDS, Domain, gather
from benchmarks.policy_objectives.page import page
from benchmarks.policy_objectives.pulled import BACKGROUND, Pulled, Smoothed
from benchmarks.policy_objectives.tasks import TASKS, reference, target
from svlearn.domains.images.digits.classifier import FILES
from svlearn.metering import metered
from svlearn.objectives import ProximalPolicyGradient
from svlearn.process import predict

T = 3


def point(calls, reward, seconds=None, judge=0.0, kl=0.0, raw=False):
    seconds = calls / 10 if seconds is None else seconds
    held = {CALLS: calls, SECONDS: seconds, "reward": reward, "judge": judge, "kl": kl, "diversity": 0.5}
    return held if raw else findings.point_of(held, 0.0, TASKS["mrl"].alpha)


def baseline(reward, calls):
    return {"reward": [reward, 0.01], "judge": [0.0, 0.01], "diversity": 0.5, CALLS: calls, SECONDS: calls / 1000}


def domain(**families):
    """Of MRL, of whose baselines the pretrained process has reward 0 for 10 calls, and the others 1, 2, 3 for 110."""
    rows = {name: baseline(reward, 10 if reward == 0 else 110) for reward, name in enumerate(BASELINES)}
    made = Domain("mrl", rows, {})
    named = {"grpo": "GRPO", "nft": "NFT", "ppo": "PPO (DDPO)"}
    curves_of = {named[name]: [[made.start, *own] for own in seeds] for name, seeds in families.items()}
    return Domain("mrl", rows, curves_of)


class Walk(sv.Reference):
    num_steps = T

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 1)

    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(x, 1.0))


class Push(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.push = torch.nn.Parameter(torch.zeros(T, 1))

    def forward(self, x, t):
        return self.push[t].expand_as(x)


def test_calls_until_a_point_are_those_of_training_and_not_of_judging():
    """An iteration of PPO draws 2 · 8 trajectories of 3 steps by both processes; a step asks both of 8 · 3 moves."""
    walk, push = Walk(), Push()
    policy = sv.policies.Controlled(walk, push)
    options = {"num_minibatches": 2, "num_epochs": 1, "batch_size": 8}
    objective = ProximalPolicyGradient(walk, sv.Target(lambda x: x[:, 0], 1.0), policy, **options)
    seen = []

    def judged():
        predict(walk, torch.zeros(1000, 1), 0)
        seen.append(push.push.detach().clone())
        return {"reward": len(seen)}

    with metered() as meter:
        fitted = curves.Curve(meter, [1, 190, 191, 10_000], judged)
        sv.fit(objective, max_steps=6, callbacks=[fitted], enable_progress_bar=False)
    drawing, learning = 16 * T * 2, 8 * T * 2
    assert [each["steps"] for each in fitted.points] == [1, 2]  # one point for both marks that step 2 passes
    assert [each[CALLS] for each in fitted.points] == [drawing + learning, drawing + 2 * learning] == [144, 192]
    assert 0 < fitted.points[0][SECONDS] <= fitted.points[1][SECONDS]
    assert not torch.equal(*seen)


def test_the_fit_ends_at_the_last_mark():
    walk = Walk()
    policy = sv.policies.Controlled(walk, Push())
    objective = ProximalPolicyGradient(walk, sv.Target(lambda x: x[:, 0], 1.0), policy, batch_size=8)
    with metered() as meter:
        curve = curves.Curve(meter, [1, 600], dict)
        sv.fit(objective, max_steps=1000, callbacks=[curve], enable_progress_bar=False)
    assert curve.points[-1]["steps"] == objective.trainer.global_step < 1000
    assert curve.marks == []


def test_a_curve_is_read_between_its_points():
    curve = [point(0, 0.0), point(100, 1.0, seconds=20), point(300, 2.0, seconds=30)]
    assert findings.read(curve, CALLS, 50)["reward"] == 0.5
    assert findings.read(curve, CALLS, 200) == point(200, 1.5, seconds=25)
    assert findings.read(curve, SECONDS, 30)["reward"] == 2.0
    with pytest.raises(ValueError, match="spent: expected calls from 0 to 300, got 301"):
        findings.read(curve, CALLS, 301)
    assert findings.cost_to(curve, 1.5, CALLS) == 200 and findings.cost_to(curve, 0.0, CALLS) == 0
    assert findings.cost_to(curve, 2.1, CALLS) == math.inf
    assert findings.cost_to([*curve[:2], point(200, 0.5), point(300, 2.0)], 0.8, CALLS) == 80  # where it first has it


def test_equal_work_is_what_all_reach():
    """GRPO ends at 100 calls, NFT at 200; at 10 and at 40 seconds."""
    own = domain(
        grpo=[[point(100, 2.0, 10)], [point(120, 1.2, 10)]], nft=[[point(200, 2.0, 40)], [point(200, 3.0, 40)]]
    )
    assert own.common(CALLS) == 100 and own.common(SECONDS) == 10
    assert own.ranked(CALLS, "reward") == {"GRPO": [2.0, pytest.approx(1.0)], "NFT": [1.0, 1.5]}
    assert list(own.ranked(SECONDS, "reward")) == ["GRPO", "NFT"]
    assert own.ranked(SECONDS, "reward")["NFT"] == [0.5, 0.75]
    assert own.at("NFT", CALLS, 100)[SECONDS] == [20, 20]
    assert own.best(CALLS, "reward") == ["GRPO", "NFT"]  # two seeds of each tell nothing


def test_what_differs_by_hand():
    """Means 0 and 2, variances 1 of three seeds each: t = 2/sqrt(2/3) = 2.45 of four degrees of freedom, p = 0.07;
    of mean 3, t = 3.67, p = 0.02."""
    assert not findings.differ([-1.0, 0.0, 1.0], [1.0, 2.0, 3.0])
    assert findings.differ([-1.0, 0.0, 1.0], [2.0, 3.0, 4.0])
    assert not findings.differ([0.0], [5.0, 5.1])
    assert findings.reach([1.0, 2.0, 3.0]) == pytest.approx(4.3027 / 3**0.5, rel=1e-4)


def test_what_is_spent_until_a_reward_that_both_have():
    """NFT has 2 at 50 calls and a KL of 4, GRPO at its end."""
    own = domain(grpo=[[point(200, 2.0, kl=1.0)]] * 2, nft=[[point(100, 4.0, kl=8.0)]] * 2)
    assert findings.common_level(own, ("NFT", "GRPO")) == 2.0
    spent = {of: findings.cost_to(own.mean_curve("NFT"), 2.0, of) for of in (CALLS, SECONDS, "kl")}
    assert spent == {CALLS: 50, SECONDS: 5, "kl": 4}
    assert findings.common_level(own, ("NFT", "PPO (DDPO)")) is None
    noisy = domain(grpo=[[point(200, 2.0)], [point(200, -1.9)]], nft=[[point(100, 4.0)]] * 2)
    assert findings.common_level(noisy, ("NFT", "GRPO")) is None


def test_from_when_on_a_training_pays():
    """500 calls of training, 10 a sample instead of 110: from 5 samples on; but for a baseline of more reward."""
    own = domain(grpo=[[point(500, 2.5)]])
    _, one, two, three = BASELINES
    assert findings.pays_from(own, "GRPO", one) == findings.pays_from(own, "GRPO", two) == 5
    assert findings.pays_from(own, "GRPO", three) == math.inf


def test_hacking_and_the_elbo_by_hand():
    falls = [[point(100, 2.0 + each, judge=-1.0 + each, kl=3.0)] for each in (0.0, 0.2)]
    assert findings.hacked(domain(grpo=falls)) == []  # -0.9 ± 1.27 of two seeds
    falls = [[point(100, 2.0, judge=-1.0 + each, kl=3.0)] for each in (0.0, 0.01)]
    own = domain(grpo=falls, nft=[[point(100, -1.0, judge=-1.0)]] * 2)
    assert findings.hacked(own) == ["GRPO"]  # NFT's judge fell with its reward
    assert own.at("GRPO", CALLS, 100)["elbo"] == pytest.approx([2.0 / TASKS["mrl"].alpha - 3.0] * 2)
    assert own.best(CALLS, "reward") == ["GRPO"] and own.at("GRPO", CALLS, 0)["elbo"] == [0, 0]


@pytest.fixture
def held():
    """Three seeds of MRL's objectives but one, and of QM9 the baselines alone."""
    rows = [(name, each) for name, each in product(("mrl", "qm9"), BASELINES)]
    baselines = {f"{name}/{each}": baseline(0.1 if each == PRETRAINED else 0.7, 20) for name, each in rows}
    trainings = {
        f"mrl/{family}/{seed}": {
            "points": [
                point(calls, calls / 200_000 + place / 10 + seed / 1000, raw=True) for calls in (20_000, 160_000)
            ],
            "rate": 1e-3,
            "provenance": {"cpu": "a processor", "cores": 2},
        }
        for (place, family), seed in product(enumerate(families_of("mrl")), (1, 2, 3))
        if family != "distillation"
    }
    return {"baselines": baselines, "trainings": trainings}


def test_a_page_of_some_results(held):
    assert list(gather(held)) == ["mrl"]
    text = page(held)
    assert "at the given alpha take trajectory balance (" in text and "at equal calls trajectory balance 1 of 1" in text
    assert "Does not apply: adjoint matching (the states are discrete)" in text
    assert "Seeds of 5 that are not measured yet: GRPO 2, " in text and "distillation 5." in text
    assert f"Not measured yet: {TASKS['qm9'].title}" in text
    assert text.index("**Of mrl") < text.index("![") < text.index("| Objective")
    assert text.index("**Of mrl. For p*") and "one seed" not in text
    assert list(figures(held)) == [file("mrl")] and "trajectory balance" in figures(held)[file("mrl")]


def test_of_a_single_seed_nothing_is_told(held):
    held["trainings"] = {key: own for key, own in held["trainings"].items() if key[-1] == "1"}
    text = page(held)
    assert "Too few seeds yet" in text and "the largest mean ELBO is that of: mrl trajectory balance;" in text
    assert "there is one seed" in text and "not told apart from" not in text


def test_without_results_the_page_says_so():
    empty = {"baselines": {}, "trainings": {}}
    assert "Not yet measured" in page(empty) and figures(empty) == {}


def test_every_objective_applies_somewhere_and_absence_has_a_reason():
    assert {family for name in TASKS for family in families_of(name)} == set(FAMILIES)
    assert all(reason and family in FAMILIES for task in TASKS.values() for family, reason in task.absent.items())
    assert families_of("digits") == list(FAMILIES)
    assert run.SEEDS == (1, 2, 3, 4, 5)


def test_the_rate_is_that_of_the_largest_elbo(held, monkeypatch, tmp_path):
    """Of rewards 2 and 3 with KL 1 and 9 at alpha 0.3: 5.7 and 1; the trials that are there are not run again."""
    results = Results("policy_objectives", run.RESULTS.empty)
    results.path = tmp_path / "results.json"
    rates, figures_of = TASKS["mrl"].rates, [(2.0, 1.0), (3.0, 9.0)]
    trials = {
        f"mrl/NFT/{rate:g}": {"points": [{"reward": [reward, 0.1], "kl": kl}]}
        for rate, (reward, kl) in zip(rates, figures_of, strict=True)
    }
    results.write(held | {"trials": trials})
    monkeypatch.setattr(run, "RESULTS", results)
    assert run.chosen("mrl", "NFT") == rates[0]


def test_what_is_pulled_predicts_the_end_of_its_own_steps(assets):
    """DDPM's mean is c x̂_T + d x_t: of the reference and of the policy with the same d, so their differences agree."""
    assets(FILES["a"])
    chain, generator = reference("digits"), torch.Generator().manual_seed(0)
    policy = Pulled(chain, target("digits"))
    x = chain.initial(2, generator=generator)
    t = torch.tensor([3, 7])
    plain = chain(x, t)
    assert torch.equal(policy(x, t).clean["sample"], plain.clean["sample"])
    policy.gains.data.normal_(generator=generator)
    own = policy(x, t)
    moved = own.transition.laws["sample"].mean - plain.transition.laws["sample"].mean
    shares = chain.steps.mean_clean[t][:, None, None, None]
    assert moved.abs().max() > 0
    torch.testing.assert_close(
        shares * (own.clean["sample"] - plain.clean["sample"]), moved.double(), check_dtype=False
    )
    end = torch.full((2,), chain.num_steps - 1)
    assert torch.equal(policy(x, end).clean["sample"], chain(x, end).clean["sample"])  # no noise, nothing to choose
    loss = chain.denoising_loss(plain.clean, x, t, own).sum()
    assert torch.autograd.grad(loss, policy.gains)[0].abs().max() > 0


def test_what_is_smoothed_moves_by_blurs_and_towards_the_empty_image():
    """The mean moves by s_t² k (b * x̂_T - x̂_T), of the first blur by s_t² k (-1 - x̂_T)."""
    chain, generator = reference("jpeg"), torch.Generator().manual_seed(0)
    policy = Smoothed(chain, target("jpeg"))
    x, t = chain.initial(2, generator=generator), torch.tensor([3, 7])
    plain = chain(x, t)
    clean, law = plain.clean["sample"], plain.transition.laws["sample"]
    policy.gains.data[:, 0] = 0.5
    moved = policy(x, t).transition.laws["sample"].mean - law.mean
    torch.testing.assert_close(moved, law.std.square() * 0.5 * (BACKGROUND - clean), rtol=1e-4, atol=1e-5)
    policy.gains.data[:] = torch.tensor([0.0, 0.0, 0.0, 2.0])
    lit = clean + 1
    flat = law.mean + law.std.square() * 2.0 * (F.conv2d(lit, policy.blurs[3:], padding=RADIUS) - lit)
    torch.testing.assert_close(policy(x, t).transition.laws["sample"].mean, flat, rtol=1e-4, atol=1e-5)


def test_an_empty_image_is_what_all_blurs_leave_alone():
    chain = reference("jpeg")
    policy = Smoothed(chain, target("jpeg"))
    policy.gains.data.fill_(1.0)
    x, t = chain.initial(2, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 7])
    plain = chain(x, t)
    empty = plain.clean.clone()
    empty["sample"].fill_(BACKGROUND)
    law = policy.steer(replace(plain, clean=empty), x, t)
    torch.testing.assert_close(law.laws["sample"].mean, plain.transition.laws["sample"].mean)


def test_a_smaller_file_is_better_and_an_empty_one_is_no_digit(assets):
    assets(FILES["b"])
    empty = torch.full((1, 1, 28, 28), BACKGROUND)
    generator = torch.Generator().manual_seed(0)
    drawn = sv.ancestral(reference("jpeg"), target("jpeg")).sample(4, generator=generator).states[:, 0]
    assert (SmallFile()(empty) > SmallFile()(drawn)).all()
    assert (MostLikelyDigit()(empty) < MostLikelyDigit()(drawn)).all()
