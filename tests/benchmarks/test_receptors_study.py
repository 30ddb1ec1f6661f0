"""Surrogates of few dockings: the page by hand, and each part of the study with QED in the place of docking."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "domains/molecules/gdss"))
from gdss_files import random_content, write

from benchmarks.receptors import page as pages
from benchmarks.receptors import run as study
from svlearn.domains.molecules.gdss import GDSS
from svlearn.domains.molecules.rewards import QED


def batch(rewards, seconds, failed=0):
    costs = {"cpu_seconds": seconds, "docking_seconds": seconds - 1}
    return {"rewards": list(rewards), "report": {"failed": failed}, "per_molecule": costs}


@pytest.fixture
def held():
    """Forty plain molecules of scores 0 and 8 at 3 seconds each, 2 of docking; guided ones of 7 at 4 seconds."""
    surrogates = {"jak2": {"pearson": 0.456, "cpu_seconds": 0.5, "learned": 40}}
    return {
        "plain": {"jak2/0": batch((0.0, 8.0) * 20, 3.0, failed=10), "fa7/0": batch((1.0, 2.0), 3.0)},
        "guided": {"jak2/0": batch((6.9, 7.1) * 4, 4.0)},
        "surrogates": surrogates,
    }


def test_the_page_by_hand(held):
    """The best of n is 8 - 8 / 2^n: 7 at n = 3 and so at 9 seconds, 5 more than its own 4: of 120.5 seconds, 24.1.

    SVDD-PM that docks every candidate takes 2 * 2210 seconds a molecule, more than both at once."""
    jak2 = pages.Measured("jak2", held)
    assert jak2.training == 120.5 and jak2.saves_from == 1
    assert jak2.paying.against_best.samples == pytest.approx(24.1, rel=0.1)
    text = pages.page(held)
    assert "- **jak2**: 7.00 ± 0.04 kcal/mol by the surrogate, 4.0 ± 0.6 of plain molecules" in text
    assert "| jak2 | plain | 40 | 4.0 ± 0.6 | 4.00 | 8.00 | 0.25 | 3 |" in text and "jak2 0.46." in text
    assert "fa7" not in text  # of which nothing is guided yet
    assert "Not yet measured" in pages.page({"plain": {}, "guided": {}, "surrogates": {}})


@pytest.fixture
def small(tmp_path, monkeypatch):
    """16 molecules in two chunks, and a GDSS of random weights with two levels."""

    def made(receptor):
        reward = QED(**study.READING)
        reward.report = lambda: {"asked": 1, "failed": 0}
        return reward

    process = GDSS.from_checkpoint(write(random_content(), tmp_path / "toy.pth"), num_steps=2)
    for name, stand_in in {
        "NUM_LEARNED": 16, "CHUNK": 8, "BATCH": 3, "M": 2, "FOLDS": 4, "made": made, "reference": lambda: process,
    }.items():  # fmt: skip
        monkeypatch.setattr(study, name, stand_in)
    monkeypatch.setattr(study.RESULTS, "path", tmp_path / "receptors.json")


def test_it_measures_what_is_missing_and_no_more(small):
    options = study.argparse.Namespace(receptors=["fa7"], batches=1)
    study.measure(options)
    held = study.RESULTS.read()
    assert list(held["plain"]) == ["fa7/0", "fa7/1"] and list(held["guided"]) == ["fa7/0"]
    first = held["plain"]["fa7/0"]
    assert first["rewards"] == pytest.approx(QED().of_smiles(first["smiles"]).tolist(), abs=1e-3)
    assert first["per_molecule"]["cpu_seconds"] > first["per_molecule"]["docking_seconds"] > 0
    assert held["surrogates"]["fa7"]["learned"] == 16 and len(held["guided"]["fa7/0"]["rewards"]) == 3
    assert "- **fa7**" in pages.page(held)
    study.measure(options)
    assert study.RESULTS.read() == held
