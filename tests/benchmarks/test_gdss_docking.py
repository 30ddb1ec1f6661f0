"""The table of docking: its page and figure are those of its results, and its figures by hand."""

import json
from types import SimpleNamespace

import pytest
import torch

from benchmarks.gdss_docking import break_even, training
from benchmarks.gdss_docking import page as pages
from benchmarks.gdss_docking import run as table

COSTS = ("reference_calls", "value_calls", "reward_calls", "dockings", "failed")


def batch(rewards, seconds, dockings=1.0):
    smiles = ["CCO", "CCN", "CCO", None, "C1CC1", "CCF"][: len(rewards)]
    return {
        "rewards": list(rewards),
        "smiles": smiles,
        "valid": [True, False, True, False, True, True][: len(rewards)],
        "per_molecule": dict.fromkeys(COSTS, 1.0) | {"dockings": dockings, "cpu_seconds": seconds},
        "report": {"failed": 2, "ValueError: no conformer": 1},
        "provenance": {"cpu": "a processor", "cores": 2},
    }


def held(batches, training=None, **trained):
    batches = {f"parp1/{name}": each for name, each in batches.items()}
    return {"batches": batches, "training": training, "trained": trained}


def test_what_is_kept_was_drawn_as_the_rows_say():
    """At the calls of each row: SVDD-PM takes 400 and 4 more at each of 10 choices; its dockings are of 51 at most."""
    calls = {
        pages.PLAIN: (400, 0, 1),
        pages.LEARNED: (400, None, 1),
        pages.TWISTED: (400, None, 1),
        pages.FREE: (440, 50, 51),
        pages.RELAY: (440, None, 51),
        pages.FORESEEN: (2209, 2209, 2210),
        pages.BOTH: (400 + 80 * 9, None, 1 + 80 * 11),
    }
    for name, batch in table.RESULTS.read()["batches"].items():
        _, row, _, _ = name.split("/")
        reference, value, reward = calls[row]
        costs = batch["per_molecule"]
        assert (costs["reference_calls"], costs["reward_calls"]) == (reference, reward)
        assert value in (None, costs["value_calls"])
        assert batch["report"]["cached"] == 0 or row == pages.PLAIN
        assert costs["failed"] <= costs["dockings"] <= reward
        assert len(batch["rewards"]) == len(batch["smiles"]) == len(batch["valid"])
        assert all(reward >= 0 for reward in batch["rewards"])


def test_what_the_readme_says_of_it_is_what_was_found():
    """A value early and a surrogate late beat the best of five plain molecules at one docking each, and none fails."""
    rows = pages.rows_of(table.RESULTS.read())
    both, five = rows[pages.BOTH], rows[pages.BEST[pages.PLAIN]]
    (own, error), (other, other_error) = both.mean, five.mean
    assert own - other > 1.96 * (error**2 + other_error**2) ** 0.5
    assert both.cost("dockings") == 1 and both.cost("failed") == 0 and five.cost("dockings") > 4.9


def test_every_so_many_choices_are_left():
    """Of the choices at 0, 1, 3, 5 and 7, every second: those at 1 and 5."""
    assert table.sparse([4, 4, 1, 4, 1, 4, 1, 4, 1], 2) == [1, 4, 1, 1, 1, 4, 1, 1, 1]
    assert sum(number > 1 for number in table.sparse([5, *[5, 1] * 200], 20)) == 10


def test_the_price_of_a_surrogate_by_hand():
    """100 seconds of dockings, 10 of the twist and 2 of the forests; best-of-5 takes 15 seconds and it 4: 11 pay."""
    rows = {"pretrained/1/0": batch((1.0, 5.0, 2.0, 4.0, 3.0), 3.0), f"{pages.BOTH}/1/0": batch((6.0, 7.0), 4.0)}
    results = held(rows, {"docking_cpu_seconds": 100.0}, contrastive_twist=10.0)
    assert pages.price(pages.rows_of(results), results) == []  # until the forests were judged
    results["surrogate"] = {"pearson": 0.5, "folds": 10, "cpu_seconds": 2.0}
    (line,) = pages.price(pages.rows_of(results), results)
    assert "had cost 112 seconds" in line and "11 seconds less" in line and line.endswith("11 molecules pay for them.")
    (line,) = pages.forests(results["surrogate"])
    assert "in 2 seconds" in line and "(10 folds), failures included: 0.50." in line


def test_the_best_of_five_by_hand():
    """Of 1 5 2 4 3 the second, in the first batch; of the five after it, 6 and two more of each batch, the first."""
    first, second = batch((1.0, 5.0, 2.0, 4.0, 3.0, 6.0), 2.0), batch((0.0, 0.0, 0.0, 0.0, 9.0, 9.0), 4.0)
    rows = pages.rows_of(held({"pretrained/1/0": first, "pretrained/1/1": second}))
    assert set(rows) == {"pretrained", "best-of-5"}
    best = rows["best-of-5"]
    assert best.rewards.tolist() == [5.0, 6.0]
    assert best.all("smiles") == ["CCN", "CCF"] and best.all("valid") == [False, True]
    assert best.cost("cpu_seconds") == 15.0 and best.cost("dockings") == 5.0


def test_a_row_by_hand():
    row = pages.rows_of(held({"SVDD-MC/1/0": batch((1.0, 2.0, 3.0, 4.0), 2.0)}))["SVDD-MC"]
    assert row.mean == pytest.approx((2.5, (5 / 3 / 4) ** 0.5))
    assert row.median.startswith("2.50 (") and row.best_decile.startswith("3.70 (")
    valid, distinct, diversity = row.described()
    assert (valid, distinct) == (0.5, pytest.approx(2 / 3)) and 0 < diversity < 1


@pytest.mark.parametrize(
    ("rewards", "words"),
    [
        ((7.0, 7.1, 7.2, 7.1), "loses to best-of-5: 7.10 ± 0.04 against 9.15 ± 0.05"),
        ((9.0, 9.4, 9.0, 9.2), "is not told apart at 95 % from best-of-5"),
        ((9.9, 9.8, 9.9, 9.8), "beats best-of-5"),
    ],
)
def test_where_a_learned_value_loses_the_page_says_so(rewards, words):
    plain = [batch((0.0, 0.0, 0.0, 0.0, top), 2.0, 2.0) for top in (9.1, 9.2)]
    batches = {f"pretrained/1/{place}": each for place, each in enumerate(plain)}
    page = pages.page(held(batches | {"SVDD-MC/1/0": batch(rewards, 5.0, 2.0)}))
    assert f"- **SVDD-MC** {words}" in page
    assert "It takes 0.2 times the dockings and 0.5 times the seconds." in page
    assert "Their shares: pretrained 0.50, SVDD-MC 0.50. 3 of 6 are molecules without a conformer" in page


def test_when_the_learned_value_is_paid_for():
    """1,000 seconds before the first molecule, 30 less for each: 34 molecules."""
    trained = {"molecules": 64, "dockings": 60, "failed": 1, "validating": 6, "pearson": {"100": 0.25}}
    trained |= {"docking_cpu_seconds": 900.0}
    batches = {"SVDD-MC/1/0": batch((1.0, 2.0, 4.0), 10.0), f"{pages.FREE}/1/0": batch((1.0, 2.0, 3.0), 40.0)}
    page = pages.page(held(batches, trained, monte_carlo=100.0, contrastive_twist=250.0))
    assert "had cost 1,000 seconds" in page and "so that 34 molecules pay for it." in page
    assert "60 dockings, of which 1 failed, and 900 seconds; training took 100 more." in page
    assert "The contrastive twist's training, on the same, took 250." in page
    assert "0.25 at t = 100" in page


def test_a_run_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(table.RESULTS, "path", tmp_path / "docking.json")
    monkeypatch.setattr(table, "PAGE", tmp_path / "docking.md")
    drawn = []
    for place in (0, 0, 1):
        table.keep(f"parp1/pretrained/1/{place}", lambda: drawn.append(1) or batch((1.0, 2.0, 3.0), 1.0))
    assert len(drawn) == 2
    kept = json.loads((tmp_path / "docking.json").read_text())["batches"]
    assert list(kept) == ["parp1/pretrained/1/0", "parp1/pretrained/1/1"]
    assert "| pretrained | 6 | 2.0 ± 0.4 |" in (tmp_path / "docking.md").read_text()


def test_a_chunk_is_docked_once(tmp_path, monkeypatch):
    """Rows 2 and 3 of the trajectories, by their last states; the second time the note is read."""
    chunks = []

    class Reward:
        scorer = SimpleNamespace(smiles=lambda states: [f"C{each}" for each in states.tolist()], close=lambda: None)

        def __call__(self, states):
            chunks.append(states.tolist())
            return states.float()

        def report(self):
            return {"docked": 2}

    monkeypatch.setattr(training, "RUNS", tmp_path)
    monkeypatch.setattr(training, "made", lambda cache: Reward())
    request = SimpleNamespace(rows=lambda chunk: slice(2 * chunk, 2 * chunk + 2), num_steps=3)
    rollouts = SimpleNamespace(states=torch.arange(24).view(6, 4), request=request)
    scores = [training.docked(1, rollouts) for _ in range(2)]
    assert chunks == [[11, 15]] and scores[0] == scores[1]
    assert scores[0]["rewards"] == [11.0, 15.0] and scores[0]["smiles"] == ["C11", "C15"]
    assert scores[0]["report"] == {"docked": 2} and scores[0]["cpu_seconds"] >= 0


def test_from_how_many_molecules_on_training_pays_by_hand():
    """Plain scores 0 and 1 by turns at a second each: the best of n is 1 - 2^-n. A row of 0.875 at a second, for 20
    seconds of training, pays where 1 + 20/N is below 3, at N = 10; one that docks and reaches 0.5 at half a second
    is no rival; one that reaches 0.9 at two seconds stays ahead until 1 + 20/N is below that, at N = 20."""
    plain = pages.Docked("parp1", pages.PLAIN, [batch((0.0, 1.0) * 400, 1.0)])
    row = pages.Docked("parp1", pages.FORESEEN, [batch((0.874, 0.876) * 20, 1.0)])
    weak, strong = (
        pages.Docked("parp1", pages.FREE, [batch(*each)]) for each in (((0.5,) * 9, 0.5), ((0.9,) * 9, 2.0))
    )
    found = break_even.paying(row, 20.0, plain, weak)
    assert found.against_best.samples == pytest.approx(10, rel=0.01) == found.against_all.samples
    assert found.against_best.low < 10 < found.against_best.high
    assert found.best == (pytest.approx(0.5), pytest.approx(0.0177, abs=1e-4))
    assert break_even.paying(row, 20.0, plain, strong).against_all.samples == pytest.approx(20, rel=0.01)
    assert break_even.paying(row, 20.0, plain, None).cells()[-1] == "–"
    poor = pages.Docked("parp1", pages.FORESEEN, [batch((0.3, 0.31) * 20, 1.0)])
    assert break_even.paying(poor, 20.0, plain, None).cells()[-2].startswith("never")
