"""What an advice is not fooled by: conditions that differ, ties, prices beyond what is known, another's files."""

import numpy as np
import pytest
import torch

import svlearn as sv
from svlearn.advising import race
from svlearn.advising.candidates import Candidate
from svlearn.advising.decision import decide
from svlearn.advising.draws import Draws
from svlearn.advising.estimates import Baseline
from svlearn.advising.race import Entry, Terms
from svlearn.domains.analytic import LinearGaussianChain, QuadraticReward
from svlearn.domains.analytic.conditional import ConditionalOracle
from svlearn.metering import Cost


def chain(mean):
    linear = QuadraticReward(torch.zeros(1, 1), torch.ones(1))
    stds = torch.full((3,), 0.5)
    return LinearGaussianChain(torch.tensor([mean]), 1.0, torch.ones(3, 1, 1), torch.zeros(3, 1), stds, linear)


REFERENCE = chain(0.0)
TARGET = sv.Target(REFERENCE.reward, alpha=0.0)
SMALL = dict(budget="4000 calls", for_samples=500, trainable={})


class Negated(sv.Value):
    def __init__(self):
        super().__init__()
        self.inner = REFERENCE.mean_value()

    def forward(self, x, t, prediction=None, *, generator=None):
        return -self.inner(x, t)


def entry(name, rewards, price):
    return Entry(Candidate(name, None), price, 0.0, Draws(rewards, Cost(), {}))


def test_the_best_of_n_is_one_of_samples_of_the_same_condition():
    reference, rows = ConditionalOracle([chain(-20.0), chain(20.0)]), torch.arange(2)
    target = sv.Target(reference.reward, alpha=0.0)
    advice = sv.advise(reference, target, budget="12000 calls", for_samples=500, trainable={}, condition=rows)
    best = sv.best_of_n(reference, target, 4)
    drawn = best.sample(2000, condition=torch.arange(2000) % 2, generator=torch.Generator().manual_seed(1))
    truth = float(drawn.rewards.max(dim=1).values.mean())
    assert abs(advice.front.loc["best of 4", "reward"] - truth) < 1  # 18 where conditions are pooled
    assert abs(truth) < 2 and 0 not in advice.gains["t"].tolist()


def test_more_conditions_than_plain_samples_are_refused():
    reference = ConditionalOracle([chain(-20.0), chain(20.0)])
    target = sv.Target(reference.reward, alpha=0.0)
    with pytest.raises(ValueError, match="condition: expected at most"):
        sv.advise(reference, target, **SMALL, condition=torch.arange(5000) % 2)


def test_a_folder_of_another_value_of_that_name_is_refused(tmp_path):
    for _ in range(2):
        sv.advise(REFERENCE, TARGET, values={"v": REFERENCE.mean_value()}, folder=tmp_path, **SMALL)
    with pytest.raises(ValueError, match="another values"):
        sv.advise(REFERENCE, TARGET, values={"v": Negated()}, folder=tmp_path, **SMALL)


def test_draws_that_are_all_alike_are_not_certain():
    """A sampler that meets a constraint with p = 0.97 gains less than nothing over the best of 16 of p = 0.25; 24 draws
    of it are all alike in 48 % of the runs."""
    rng, claims = np.random.default_rng(0), 0
    for _ in range(100):
        plain = entry("best of 1", rng.binomial(1, 0.25, 1152) * 1.0, 1.0)
        terms = Terms(Baseline(plain.scores(0), 1.0), -1.0, 100)
        claims += decide([entry("s", rng.binomial(1, 0.97, 24) * 1.0, 16.0)], plain, terms, 16.0).winner is not None
    assert claims <= 10


def test_a_best_of_n_that_no_draws_tell_is_not_beaten():
    rng = np.random.default_rng(0)
    plain = entry("best of 1", rng.normal(0, 1, 250), 4.0)  # which tell the best of 62; of 1000 it is 3.24
    terms = Terms(Baseline(plain.scores(0), 4.0), -9.0, 100, 4000.0)
    assert decide([entry("s", rng.normal(2.81, 0.5, 60), 32.0)], plain, terms, 4000.0).winner is None


def test_what_a_sample_may_cost_binds_samplers_at_hand():
    samplers = {"dear": sv.svdd(REFERENCE, TARGET, REFERENCE.mean_value(), 32)}
    advice = sv.advise(REFERENCE, TARGET, samplers=samplers, per_sample=8.0, **SMALL)
    assert advice.front.loc[advice.recommended, "price"] <= 8.0


def test_the_name_of_the_value_that_is_trained_is_taken():
    options = {**SMALL, "trainable": None}
    with pytest.raises(ValueError, match="names of their own, got 'learned'"):
        sv.advise(REFERENCE, TARGET, values={"learned": Negated()}, **options)


def test_a_policy_that_was_handed_over_has_no_configuration():
    advice = sv.advise(REFERENCE, TARGET, policies={"moved": chain(9.0)}, **SMALL)
    with pytest.raises(ValueError, match="policies.moved"):
        _ = advice.yaml


def test_figures_are_those_of_the_larger_part():
    parts = Draws(np.zeros(512), Cost(), {"distinct": 0.1}), Draws(np.zeros(1), Cost(), {"distinct": 1.0})
    assert Draws.cat(*parts).figures["distinct"] == 0.1


def test_a_finalist_that_raises_in_the_final_is_named(monkeypatch):
    class Late(sv.Value):
        out_of_order = False

        def forward(self, x, t, prediction=None, *, generator=None):
            if self.out_of_order:
                raise RuntimeError("out of order")
            return REFERENCE.mean_value()(x, t)

    value, last = Late(), race.final

    def final(*arguments):
        value.out_of_order = True
        return last(*arguments)

    monkeypatch.setattr("svlearn.advising.answer.final", final)
    advice = sv.advise(REFERENCE, TARGET, values={"late": value}, **SMALL)
    late = {name: reason for name, reason in advice.skipped.items() if "late" in name}
    assert late and all("out of order" in reason for reason in late.values())
    assert "late" not in advice.recommended
