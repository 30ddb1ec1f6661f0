"""The table of GDSS: its page and figure are those of its results, and its figures by hand."""

import json
import math

import pytest
import torch
from tensordict import TensorDict

import svlearn as sv
from benchmarks.gdss import trajectories as training
from benchmarks.gdss.rows import below
from benchmarks.gdss_table import batches, samplers
from benchmarks.gdss_table import page as pages
from benchmarks.gdss_table import run as table

COSTS = ("reference_calls", "policy_calls", "value_calls", "gradient_calls", "reward_calls", "seconds", "cpu_seconds")


def batch(rewards, seconds, smiles=("CC", "CC", None)):
    return {
        "rewards": list(rewards),
        "smiles": list(smiles),
        "valid": [True, False, True],
        "one_piece": 0.5,
        "per_molecule": dict.fromkeys(COSTS, 1.0) | {"cpu_seconds": seconds},
        "provenance": {"cpu": "a processor", "cores": 2},
    }


def held(batches):
    return {"batches": batches, "training": {}}


def test_what_is_kept_was_drawn_as_the_rows_say():
    """32 molecules a batch, at the calls that each kind of row costs; x_T is called by none."""
    for name, batch in table.RESULTS.read()["batches"].items():
        _, row, _, _ = name.split("/")
        costs = batch["per_molecule"]
        assert len(batch["rewards"]) == len(batch["smiles"]) == len(batch["valid"]) == 32
        kind = samplers.ROWS[row.split(", strength ")[0]]
        assert costs["gradient_calls"] == (0 if not kind.strengths else 400)
        if row == "SVDD-PM, late":
            assert costs["reference_calls"] == 400 + (400 - samplers.LATE) // 2 * (samplers.N - 1)
        elif "then SVDD-PM" in row:
            start = int(row.partition(" from ")[2] or samplers.LATE)
            assert costs["reference_calls"] == 400 + (400 - start) // 2 * (samplers.N - 1)
        elif row.startswith("SVDD-PM"):
            number = int(row.partition("M = ")[2] or 10)
            start = 0 if row.endswith("at the predictor") else number - 1  # the last predictor has one candidate anyway
            assert costs["reference_calls"] == 200 * (number + 1) + start
        else:
            assert costs["reference_calls"] == 400 * kind.runs


@pytest.mark.parametrize("reward", ["QED", "SA"])
def test_what_the_readme_says_of_it_is_what_was_found(reward):
    """A learned value early and SVDD-PM late beat SVDD-PM at half the calls; nothing that draws once beats that."""
    rows = pages.gather(table.RESULTS.read())[reward]
    both, free = rows["SVDD, contrastive twist, then SVDD-PM from 240"], rows["SVDD-PM"]
    (own, error), (other, other_error) = both.mean, free.mean
    assert own - other > 1.96 * (error**2 + other_error**2) ** 0.5
    assert both.cost("reference_calls") < 0.51 * free.cost("reference_calls")
    once = [row for name, row in rows.items() if "best of" not in name and "best-of" not in name]
    assert not any(below(both, row) for row in once)


def test_a_row_by_hand():
    rows = pages.gather(
        held(
            {
                "QED/SVDD-MC/1/0": batch((0.1, 0.2, 0.3), 1.0),
                "QED/SVDD-MC/1/1": batch((0.4, 0.5, 0.6), 3.0, ("CCO", None, "CC")),
                "QED/DPS, strength 10/1000/0": batch((9.0, 9.0, 9.0), 1.0),
            }
        )
    )
    assert set(rows["QED"]) == {"SVDD-MC"}
    row = rows["QED"]["SVDD-MC"]
    assert row.mean == pytest.approx((0.35, (0.035 / 6) ** 0.5))
    assert row.cost("cpu_seconds") == 2.0
    assert row.quantile(80).startswith("0.500 (")
    assert row.molecules["Valid"] == pytest.approx(2 / 3) and row.molecules["Distinct"] == 0.5


def test_the_comparison_takes_the_nearest_in_seconds():
    """SVDD-PM at 4 seconds: of 1, 3 and 9, 3 is the nearest by ratio."""
    rows = pages.gather(
        held(
            {
                "SA/SVDD-MC/1/0": batch((0.1, 0.2, 0.3), 1.0),
                "SA/SVDD-PM/1/0": batch((0.1, 0.2, 0.3), 4.0),
                "SA/SVDD-MC, M = 50/1/0": batch((0.7, 0.8, 0.9), 3.0),
                "SA/SVDD-MC, M = 100/1/0": batch((0.1, 0.2, 0.3), 9.0),
                "SA/SVDD-MC, best of 5/1/0": batch((0.8, 0.9, 1.0), 4.5),
                "SA/SVDD by r(x_t)/1/0": batch((0.2, 0.3, 0.4), 4.0),
                "SA/SVDD-PM, late/1/0": batch((0.6, 0.7, 0.8), 1.0),
                "SA/SVDD, soft-Q, then SVDD-PM/1/0": batch((0.8, 0.9, 1.0), 1.0),
                "SA/SVDD, soft-Q, then SVDD-PM from 340/1/0": batch((0.7, 0.8, 0.9), 1.0),
                "SA/best-of-10/1/0": batch((0.1, 0.2, 0.3), 4.0),
            }
        )
    )
    same, nearest, several, undenoised, late, both, plain = pages.findings(
        "SA", rows["SA"], {"SVDD-MC, M = 50": 6.0, "SVDD-PM": 8.0}
    )
    assert "by the true reward: 0.90 ± 0.06 in 4.5 seconds; against SVDD-PM the difference is +0.70" in several
    assert "as it stands, 0.30 ± 0.06; against SVDD-PM the difference is +0.10 ± 0.08, not told" in undenoised
    assert "0.70 ± 0.06 at 1 times the reference calls, 1 times the reward calls and 0.25 times the seconds; " in late
    assert late.endswith("the difference is +0.50 ± 0.08.")
    assert "soft-Q, then SVDD-PM (from t = 280 of 400 on), 0.90" in both and "was tried, 340 beside it" in both
    assert "and 0.25 times the seconds of SVDD-PM; against it the difference is +0.70 ± 0.08; 50% of" in both
    assert "SVDD-MC, best of 5 +0.70 ± 0.08" in plain and "SVDD-PM, late +0.50 ± 0.08" in plain
    assert "SVDD-PM costs 4 times the seconds" in same and "not told apart" in same
    assert "SVDD-MC, M = 50 (3): 0.80 ± 0.06; the difference is +0.60 ± 0.08. By the wall, [side" in nearest
    assert nearest.endswith("it takes 0.75 times what SVDD-PM does.")
    assert "SVDD-MC +0.00 ± 0.08, not told apart at 95 %" in plain


def test_the_best_of_the_other_families_is_named():
    """0.5 of soft-Q above 0.3, its row of more candidates apart; SVDD-MC has 0.2, SVDD-PM 0.6."""
    means = {"SVDD-MC": 0.2, "SVDD-PM": 0.6, "SVDD, path consistency": 0.3, "SVDD, soft-Q": 0.5}
    means["SVDD, soft-Q, M = 30"] = 0.9
    rows = pages.gather(
        held({f"QED/{name}/1/0": batch((mean - 0.01, mean, mean + 0.01), 2.0) for name, mean in means.items()})
    )
    (finding,) = (line for line in pages.findings("QED", rows["QED"], {}) if "another family" in line)
    assert "the best of 2 is soft-Q, 0.500 ± 0.006 at M = 10; against SVDD-MC the difference is +0.300" in finding
    assert "SVDD, soft-Q, M = 30 takes 2 seconds: 0.900 ± 0.006; against SVDD-PM the difference is +0.300" in finding
    assert finding.endswith("50% of its molecules are distinct, of SVDD-PM's 50%.")


@pytest.mark.parametrize(
    ("name", "calls", "nats"),
    [
        ("pretrained", 0, 0.0),
        ("best-of-10", 0, math.log(10) - 0.9),
        ("SVDD-MC", 400 + 201 * 9, 201 * (math.log(10) - 0.9)),
        ("SVDD-PM, M = 2", 400 + 201, 201 * (math.log(2) - 0.5)),
        ("SVDD-PM, late", 400 + 60 * 9, 60 * (math.log(10) - 0.9)),
        ("SVDD-MC, best of 5", 5 * (400 + 201 * 9), 201 * math.log(10) + math.log(5) - 0.8),
    ],
)
def test_the_kl_counts_the_choices(name, calls, nats):
    drawn = batch((0.1, 0.2, 0.3), 1.0)
    drawn["per_molecule"]["value_calls"] = float(calls)
    assert pages.gather(held({f"QED/{name}/1/0": drawn}))["QED"][name].kl == pytest.approx(nats)
    guided = drawn | {"strength": 10.0}
    rows = {"QED/DPS/1/0": guided | {"kl": 3.0}, "QED/DPS/1/1": guided | {"kl": 5.0}, "SA/DPS/1/0": guided}
    gathered = pages.gather(held(rows))
    assert gathered["QED"]["DPS"].kl == 4.0 and gathered["SA"]["DPS"].kl is None  # which has not recorded its own
    free = pages.gather(held({"QED/SVDD-PM/1/0": drawn}))["QED"]
    (line,) = (each for each in pages.findings("QED", gathered["QED"] | free, {}) if "how far" in each)
    assert f"DPS, strength 10 4; SVDD-PM {free['SVDD-PM'].kl_in_words} at most" in line
    (far,) = pages.gather(held({"QED/DPS/1/0": guided | {"kl": 1234.5}}))["QED"].values()
    assert far.kl_in_words == "1,234" and gathered["SA"]["DPS"].kl_in_words == "–"
    assert not [each for each in pages.findings("SA", gathered["SA"] | free, {}) if "how far" in each]


def test_of_several_runs_the_best_is_kept(monkeypatch):
    """Two molecules of three runs each, of rewards 1 5 2 and 4 3 6: rows 1 and 5 stay; best-of-10 costs ten samples."""
    monkeypatch.setattr(batches, "BATCH", 2)
    monkeypatch.setitem(
        samplers.ROWS, "best-of-10", samplers.Row(samplers.ROWS["pretrained"].make, runs=3, stored=True)
    )
    states = TensorDict({"row": torch.arange(6)}, batch_size=[6])
    rewards = torch.tensor([1.0, 5.0, 2.0, 4.0, 3.0, 6.0])
    monkeypatch.setattr(batches, "stored", lambda reward, batch: (states, rewards, {"reference_calls": 2400}))

    class Process:
        @staticmethod
        def decode(states):
            return [None] * len(states)

    class Reward:
        class scorer:
            smiles = staticmethod(lambda states: states["row"].tolist())
            close = staticmethod(lambda: None)

        def __call__(self, states):
            raise AssertionError

    monkeypatch.setattr(batches, "reference", Process)
    monkeypatch.setattr(batches, "made", lambda name: Reward())
    figures = table.draw("QED", table.ROWS["best-of-10"], 1, 0)
    assert figures["rewards"] == [5.0, 6.0] and figures["smiles"] == [1, 5]
    assert figures["per_molecule"] == {"reference_calls": 1200}


def test_a_run_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(table.RESULTS, "path", tmp_path / "table.json")
    monkeypatch.setattr(table, "PAGE", tmp_path / "table.md")
    drawn = []
    for _ in range(2):
        table.keep(table.key("QED", "DPS", 1, 0), lambda: drawn.append(1) or batch((1.0, 2.0, 3.0), 1.0))
    assert len(drawn) == 1
    assert list(json.loads((tmp_path / "table.json").read_text())["batches"]) == ["QED/DPS/1/0"]
    assert "| DPS | 3 | 2.0 ± 0.6 |" in (tmp_path / "table.md").read_text()


def test_another_reward_shares_the_states(tmp_path, monkeypatch):
    """Three trajectories of a chain of two steps, kept with one reward: the other is r(x_T), the states are linked."""
    monkeypatch.setattr(training, "RUNS", tmp_path)

    class Walk(sv.Reference):
        num_steps = 2

        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.randn(batch_size, 1, generator=generator)

        def forward(self, x, t, previous=None):
            return sv.Prediction(transition=sv.GaussianTransition(x, torch.ones(len(x), 1)))

    target = sv.Target(lambda x: x[:, 0], 0.0)
    held = training.collect(Walk(), 3, tmp_path / "rollouts_QED", target=target, batch_size=2, progress=False)
    monkeypatch.setattr(training, "made", lambda name: lambda x: 2 * x[:, 0])
    training.rescored(held, "SA", tmp_path / "rollouts_SA")
    rollouts = training.Rollouts.open(tmp_path / "rollouts_SA")
    torch.testing.assert_close(rollouts.rewards, 2 * held.rewards)
    torch.testing.assert_close(held.rewards, held.states[:, 2, 0])
    assert torch.equal(rollouts.states, held.states) and rollouts.request.reward == "SA"
