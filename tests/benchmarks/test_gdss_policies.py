"""The page of the policies of GDSS: that of its results, its figures by hand, its rows those of the files."""

from pathlib import Path

import pytest
import yaml

from benchmarks.common.command import parser_of
from benchmarks.gdss_policies import page as pages
from benchmarks.gdss_policies import run as policies
from svlearn.objectives.memoryless import MemorylessTest

ROOT = Path(__file__).parents[2]
COSTS = ("reference_calls", "policy_calls", "value_calls", "gradient_calls", "reward_calls", "seconds", "cpu_seconds")


def batch(rewards, predicted, log_ratios=None):
    made = {
        "rewards": list(rewards),
        "predicted": list(predicted),
        "smiles": ["CC", "CO", "CC"],
        "valid": [True, False, True],
        "one_piece": 0.5,
        "per_molecule": dict.fromkeys(COSTS, 2.0),
        "provenance": {"cpu": "a processor", "cores": 2},
    }
    return made if log_ratios is None else made | {"log_ratios": list(log_ratios)}


@pytest.fixture
def held():
    return {
        "batches": {
            "unguided/0": batch((0.2, 0.3, 0.4), (0.1, 0.2, 0.3)),
            "adjoint matching/0": batch((0.4, 0.5, 0.6), (0.7, 0.8, 0.9), (10.0, 12.0, 14.0)),
            "SVDD-PM, M = 5/0": batch((0.2, 0.4, 0.6), (0.1, 0.2, 0.3)),
        },
        "training": {"adjoint_matching": {"steps": 40, "batch_size": 4, "cpu_seconds": 99.0}},
    }


def test_what_is_kept_was_drawn_as_the_rows_say():
    for name, batch in policies.RESULTS.read()["batches"].items():
        row = policies.ROWS[name.split("/")[0]]
        assert len(batch["rewards"]) == len(batch["smiles"]) == len(batch["predicted"]) == policies.BATCH
        assert ("log_ratios" in batch) == (row.family is not None)
        calls = policies.NUM_STEPS * (1 if row.candidates is None else row.candidates)
        assert batch["per_molecule"]["reference_calls"] == calls


def test_a_policy_by_hand(held):
    """ELBO: of 40 - 10, 50 - 12, 60 - 14, 38 ± 8/√3, against 30 ± 10/√3; KL 12 ± 2/√3."""
    rows = pages.gather(held)
    own, plain = rows["adjoint matching"], rows["unguided"]
    assert own.divergence == pytest.approx((12.0, 2 / 3**0.5))
    assert own.elbo == pytest.approx((38.0, 8 / 3**0.5)) and plain.elbo == pytest.approx((30.0, 10 / 3**0.5))
    assert plain.correlation == pytest.approx(1.0)
    assert rows["SVDD-PM, M = 5"].divergence is None
    line, _ = pages.findings(rows)
    assert "the ELBO E[r/alpha] - KL changes by +8 ± 7 nats, and r_θ by +0.60." in line
    assert "the difference is +0.20 ± 0.08, at a KL of 12.0 ± 1.2 nats" in line


def test_when_a_policy_is_paid_for(held):
    """1.5 of 2 seconds a molecule, after 99 + 52: 302 molecules; at 2 of 2 never. 0.5 ± 0.06 against 0.4 ± 0.12."""
    rows = pages.gather(held)
    assert pages.against_search(rows, held["training"]) == []  # where what r_θ took is not known
    trained = held["training"] | {"reward_network": {"cpu_seconds": 52.0}}
    (line,) = pages.against_search(rows, trained)
    assert line.startswith("- **adjoint matching against SVDD-PM, M = 5**: the difference is +0.10 ± 0.13, not told")
    assert line.endswith(
        "at 1 times its seconds a molecule; training took 151 seconds with that of r_θ, never paid for."
    )
    held["batches"]["adjoint matching/0"]["per_molecule"] = dict.fromkeys(COSTS, 1.5)
    (line,) = pages.against_search(pages.gather(held), trained)
    assert "at 0.75 times" in line and line.endswith("of r_θ, 302 molecules pay for it.")
    held["batches"]["adjoint matching/0"]["rewards"] = [0.1, 0.2, 0.3]
    (line,) = pages.against_search(pages.gather(held), trained)
    assert line.endswith("training took 151 seconds with that of r_θ.")  # of what is no better nobody asks when it pays


def test_the_page_says_what_is_missing(held):
    text = pages.page(held)
    assert "with fewer as\nyet: unguided (3); adjoint matching (3); SVDD-PM, M = 5 (3); path consistency (0)." in text
    assert "- Adjoint matching: 99 seconds, 40 steps of 4 trajectories, once." in text
    assert pages.page({"batches": {}, "training": {}}).endswith(
        "Not yet measured: run `python -m benchmarks gdss_policies`.\n"
    )


def test_the_rows_are_those_of_the_files():
    shared = yaml.safe_load((ROOT / "configs/molecules/gdss/policy.yaml").read_text())["model"]["init_args"]
    assert shared["target"]["alpha"] == pages.ALPHA
    assert shared["reference"]["init_args"]["num_steps"] == policies.NUM_STEPS
    for name, family in pages.FAMILIES.items():
        assert policies.ROWS[name].family == family
        config = yaml.safe_load((ROOT / f"configs/molecules/gdss/policies/{family}.yaml").read_text())
        network = config["model"]["init_args"]["policy"]["init_args"]["network"]
        parts = network["init_args"].get("parts", [network])
        (gain,) = [each for each in parts if each["class_path"].endswith("RewardGain")]
        assert gain["init_args"]["strength"] == policies.STRENGTH
        assert all(each["init_args"]["num_steps"] == policies.NUM_STEPS for each in parts)


def test_a_run_goes_on_where_it_was(held, monkeypatch, tmp_path):
    monkeypatch.setattr(policies.RESULTS, "path", tmp_path / "results.json")
    monkeypatch.setattr(policies, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(policies, "RUNS", tmp_path)
    policies.RESULTS.write(held)
    drawn = []
    monkeypatch.setattr(policies, "draw", lambda row, number: drawn.append(number) or held["batches"]["unguided/0"])
    monkeypatch.setattr(policies, "measure_memory", lambda *arguments, **options: MemorylessTest(5.0, 0.1, 0.001))
    monkeypatch.setattr(policies, "process", lambda: None)
    options = parser_of("gdss_policies", policies).parse_args(["--rows", "unguided"])
    for _ in range(2):
        policies.measure(options)
    assert drawn == [1, 2] and "| unguided | 9 |" in policies.PAGE.read_text()
