"""What an advice pays and by which price it plans, on a clock that moves only where work is done."""

from types import SimpleNamespace

import pytest
import torch

import svlearn as sv
from svlearn import metering
from svlearn.advising import rates
from svlearn.advising.account import Account, Record
from svlearn.advising.budget import Budget, Prices
from svlearn.advising.draws import Drawing
from svlearn.advising.pilot import pilot
from svlearn.domains.analytic import LinearGaussianChain, QuadraticReward

T = 3


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    for module in (metering, rates):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=made))
    return made


class Timed(LinearGaussianChain):
    """A chain whose calls take 1 s a state, the very first call 1000 s besides; describing a batch takes 7 s, decoding
    it 5 s."""

    def __init__(self, clock):
        linear = QuadraticReward(torch.zeros(1, 1), torch.ones(1))
        matrices, offsets = torch.ones(T, 1, 1), torch.zeros(T, 1)
        super().__init__(torch.zeros(1), 1.0, matrices, offsets, torch.full((T,), 0.5), linear)
        self.clock, self.cold = clock, 1000.0

    def forward(self, x, t, previous=None):
        self.clock.now += len(x) + self.cold
        self.cold = 0.0
        return super().forward(x, t, previous)

    def decode(self, x):
        self.clock.now += 5.0
        return x

    def describe(self, objects):
        self.clock.now += 7.0
        return {"mean": float(objects.mean())}


def target_of(reference):
    return sv.Target(reference.reward, alpha=0.0)


def test_the_first_call_of_all_tells_no_price(clock):
    """160 plain samples take 480 s, and the first call 1000 s once: with that in its price a first look of eight would
    ask for 20,000 s."""
    reference, budget = Timed(clock), Budget(10000.0)
    account = Account(budget, Prices.of("seconds"))
    known = pilot(reference, target_of(reference), Drawing(0), account, Record(None, {}, account))
    assert known.price == T
    assert len(known.rewards) - 2 == 0.15 * 10000 / T  # those of the warm-up are there besides
    assert account.spent.seconds == clock.now


def test_a_first_call_of_a_kind_tells_no_rate(clock):
    class Cold(sv.Value):
        cold = 100.0

        def forward(self, x, t, prediction=None, *, generator=None):
            clock.now += 0.1 * len(x) + self.cold
            self.cold = 0.0
            return x[:, 0]

    reference = Timed(clock)
    states = torch.zeros(4, T + 1, 1, dtype=torch.float64)
    options = {"limit": 50.0, "prices": dict.fromkeys(metering.KINDS, 0.0), "max_batch": None}
    rows = {}
    for value in (None, Cold()):
        table = rates.measure(reference, target_of(reference), states, value, **options)["table"]
        rows |= {(kind, size): each for kind, size, each in zip(*table.values(), strict=True)}
    assert rows["value_calls", 1] == pytest.approx(0.1) and rows["reference_calls", 1] == pytest.approx(1)
    assert rows["value_calls", 256] == pytest.approx(0.1)


def test_all_seconds_are_spent_those_of_decoding_and_describing_too(clock):
    reference = Timed(clock)
    advice = sv.advise(reference, target_of(reference), budget=20000.0, for_samples=500, trainable={})
    assert advice.spent.seconds == pytest.approx(clock.now)
    assert advice.price == pytest.approx(clock.now)
    assert advice.front.loc["plain samples", "price"] == T  # a sample costs its calls, and no figures of a study


def test_seconds_of_figures_are_kept_with_the_parts(clock, tmp_path):
    def advised():
        clock.now = 0.0
        reference = Timed(clock)
        return sv.advise(
            reference, target_of(reference), budget=20000.0, for_samples=500, trainable={}, folder=tmp_path
        )

    once = advised()
    drawn, again = clock.now, advised()
    assert again.recommended == once.recommended and again.front.equals(once.front)
    assert drawn < again.spent.seconds == pytest.approx(drawn + clock.now)


class Reading(sv.Value):
    """One that is trained on predictions."""

    needs_prediction = True

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1, dtype=torch.float64)

    def forward(self, x, t, prediction=None, *, generator=None):
        return self.linear(prediction.clean)[:, 0]


@pytest.mark.parametrize(("budget", "trained"), [(12_000, False), (200_000, True)])
def test_the_training_of_a_value_that_reads_predictions_keeps_to_its_share(budget, trained):
    """400 steps on 64 · min(8, T) states would take 76,800 calls of the reference."""
    chain = LinearGaussianChain.random(dim=1, num_steps=T, seed=0)
    options = {"budget": f"{budget} calls", "for_samples": 500, "trainable": {"reading": Reading()}}
    advice = sv.advise(chain, sv.Target(chain.reward, alpha=0.0), **options)
    assert advice.price <= 1.05 * budget
    assert trained or "steps of its training would cost" in advice.skipped["reading"]
    rows = [row for name, row in advice.front.iterrows() if "reading" in name]
    assert bool(rows) is trained
    for row in rows:
        of_pilot = 0.15 * budget * 2 / 3
        assert row["training_price"] - of_pilot < 0.12 * budget


def test_a_plain_sample_that_costs_nothing_is_refused_with_the_prices_that_say_so():
    linear = QuadraticReward(torch.zeros(1, 1), torch.ones(1))
    chain = LinearGaussianChain.random(dim=1, num_steps=T, seed=0)
    target = sv.Target(linear, alpha=0.0)
    expected = r"prices: expected one above 0 of reference_calls and reward_calls, .* got 0 for both"
    with pytest.raises(ValueError, match=expected):
        sv.advise(
            chain, target, budget="4000 calls", for_samples=9, prices={"reference_calls": 0.0, "reward_calls": 0.0}
        )
    free = {"reward_calls": 0.0}
    advice = sv.advise(chain, target, budget="4000 calls", for_samples=9, prices=free, trainable={})
    assert advice.price == advice.spent.reference_calls
