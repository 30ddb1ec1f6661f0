"""The study of ways of learning a value: budgets that hold, labels by hand, a page that says who lost."""

from dataclasses import replace

import pytest
import torch
from finished_toys import LENGTHS, TARGET, Words
from tensordict import TensorDict

import svlearn as sv
from benchmarks.value_lessons import draws, lessons
from benchmarks.value_lessons.findings import against, rows, untrained
from benchmarks.value_lessons.lessons import LESSONS, LINEARIZED, PLAIN, TOKENS
from benchmarks.value_lessons.measured import SVDD_PM
from benchmarks.value_lessons.page import page
from benchmarks.value_lessons.problems import GROWING, PROBLEMS, reference, svdd, target
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.values import Learned, PosteriorMean, evaluate

CALLS = 600


@pytest.fixture
def table(assets):
    """The measurements of GB1, which its reward reads."""
    return assets("proteins/gb1_four_site.csv")


@pytest.fixture
def short(table, monkeypatch):
    """GB1 with few calls and few steps."""
    monkeypatch.setitem(PROBLEMS, "gb1", replace(PROBLEMS["gb1"], calls=CALLS, steps=4))
    draws.plain.cache_clear()
    yield
    draws.plain.cache_clear()


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("row", [name for name, lesson in LESSONS.items() if lesson.absent("gb1") is None])
def test_a_way_keeps_to_its_calls_and_its_value_guides(row):
    learnt = LESSONS[row].make("gb1", 1)
    assert 0.8 * CALLS <= learnt.calls <= 1.03 * CALLS  # a part of a row is not drawn; of random ones some cost more
    assert learnt.cpu_seconds > 0
    samples = svdd("gb1", learnt.value).sample(4, generator=seeded("cpu", 0))
    expected = 40 if LESSONS[row].reads else 4
    assert samples.cost.reference_calls == 4 * expected


@pytest.mark.usefixtures("table")
def test_two_seeds_learn_from_different_trajectories():
    one, two = (draws.plain("gb1", seed, 100) for seed in (1, 2))
    assert one.rows["states"].shape == two.rows["states"].shape == (20, 5, 4)
    assert not one.rows["states"].equal(two.rows["states"])


@pytest.mark.usefixtures("table")
def test_a_budget_below_the_first_rows_is_refused():
    with pytest.raises(ValueError, match="budget: expected at least 20 calls, got 10"):
        draws.drawn_for(10, lambda number, generator: draws.trajectories("gb1", number, generator), 1, 1)


def test_states_of_trajectories_by_hand():
    states = torch.arange(8).view(2, 4, 1)
    told = {"states": states, "rewards": torch.tensor([0.5, -1.0])}
    every = draws.labelled(TensorDict(told, batch_size=[2]))
    assert every["states"].flatten().tolist() == [0, 1, 2, 4, 5, 6]
    assert every["times"].tolist() == [0, 1, 2, 0, 1, 2]
    assert every["rewards"].tolist() == [0.5] * 3 + [-1.0] * 3
    late = draws.labelled(TensorDict(told | {"since": torch.tensor([2, 1])}, batch_size=[2]))
    assert late["states"].flatten().tolist() == [2, 5, 6] and late["rewards"].tolist() == [0.5, -1.0, -1.0]


class TenTimesTheLength(torch.nn.Module):
    def forward(self, x, t):
        return 10.0 * x[:, 1]


def test_what_a_value_lacks_of_words_that_end_early():
    """A row knows its word's length, of which the reward is a function; ended words have no rows, and a row of another
    word's reward would not add up."""
    sampler = sv.svdd(Words(), TARGET, Learned(TenTimesTheLength()), 1)
    samples = sampler.sample_candidates(len(LENGTHS), condition=LENGTHS, generator=seeded("cpu", 0))
    rows = draws.lacking(sampler, samples)
    lengths = rows["states"][:, 1]
    assert len(rows) == (LENGTHS + 1).clamp(max=sampler.reference.num_steps).sum()  # the ended one, once
    torch.testing.assert_close(rows["rewards"] + 10.0 * lengths, TARGET.reward(rows["states"][:, 1:].expand(-1, 2)))


@pytest.mark.usefixtures("table")
def test_what_the_posterior_mean_lacks():
    """Labels and r(x̂_T) of one trajectory add up to its reward, whatever t."""
    data = draws.residuals("gb1", 1, 36).rows  # four trajectories of 4 + 5 calls each
    known = PosteriorMean(target("gb1"))
    x, t = data["states"], data["times"]
    sums = data["rewards"] + evaluate(known, x, t, predict(reference("gb1"), x, t))
    assert len(sums) == 16
    torch.testing.assert_close(sums.view(4, 4), sums.view(4, 4)[:1].expand(4, -1))


def test_what_does_not_apply_says_why():
    assert LESSONS["residual of PM"].absent("stories") == LESSONS["linearised PM"].absent("stories") == GROWING
    assert LESSONS["linearised PM"].absent("qm9") == TOKENS
    assert [name for name in PROBLEMS if LESSONS["linearised PM"].absent(name) is None] == ["digits"]
    assert all(LESSONS[PLAIN].absent(name) is None for name in PROBLEMS)


def part(reward, error=0.01, **own):
    figures = {"reference_calls": 4, "value_calls": 40, "reward_calls": 10, "cpu_seconds": 0.1}
    machine = {"cpu": "some", "cores": 2}
    return {"reward": [reward, error], **figures, **own, "provenance": machine}


def trained(reward):
    return part(reward, training_calls=600, training_cpu_seconds=2.0)


HELD = {
    "free": {"gb1/SVDD-PM": part(1.0), "gb1/pretrained": part(-1.0)},
    "trained": {f"gb1/{PLAIN}/{seed}": trained(0.5 + seed / 100) for seed in (1, 2, 3)}
    | {f"gb1/losers of SVDD-PM/{seed}": trained(0.9 + seed / 100) for seed in (1, 2, 3)},
}


def test_errors_are_over_trainings():
    found = {row.name: row for row in rows(HELD, "gb1")}
    assert found[PLAIN].reward == pytest.approx((0.52, 0.01 / 3**0.5)) and found[PLAIN].number == 3
    assert found[SVDD_PM].reward == (1.0, 0.01) and found[SVDD_PM].number == 0
    own = list(found.values())
    assert against(own, "losers of SVDD-PM", PLAIN) == 1 and against(own, PLAIN, SVDD_PM) == -1
    assert against(own, PLAIN, PLAIN) == 0 and against(own, PLAIN, "TD(0.9)") is None


def test_the_page_says_who_loses():
    text = page(HELD)
    assert "losers of SVDD-PM above it on 1 and below on 0 of 1" in text
    assert "beats SVDD-PM on none, is not told apart from it on none, and loses to it on GB1 (losers of SVDD-PM" in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [
        "SVDD-PM",
        "losers of SVDD-PM",
        PLAIN,
        "pretrained",
    ]
    assert f"Does not apply: linearised PM ({TOKENS})." in text
    assert "Not yet measured" in page({"free": {}, "trained": {}})


def test_the_linearised_posterior_mean_is_told_beside_what_needs_no_training():
    free = {"digits/SVDD-PM": part(-0.1), "digits/best-of-10": part(-2.0)}
    cheap = trained(-1.0) | {"reference_calls": 19}
    told = untrained({"free": free, "trained": {f"digits/{LINEARIZED}/1": cheap}})
    assert told.startswith("On Digits, by reference calls a sample: linearised PM -1.000 ± 0.010 at 19, SVDD-PM -0.1")
    assert untrained(HELD) == ""


def test_networks_are_in_the_unit_of_their_labels():
    data = TensorDict({"rewards": torch.tensor([1.0, 3.0])}, batch_size=[2])
    own = lessons.network("gb1", 1, data)
    assert own(torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, dtype=torch.long)).tolist() == [2.0, 2.0]
