"""The page of several trainings: it is that of its results, and its figures by hand."""

import pytest

from benchmarks.gdss import rows, trajectories
from benchmarks.gdss_trainings import page as pages
from benchmarks.gdss_trainings import run as study


@pytest.fixture
def drawn():
    """A row of three trainings, means 0.8, 0.5 and 0.2, each ± 0.1/sqrt(3), and SVDD-PM of the first one alone."""

    def batch(mean):
        rewards = [mean - 0.1, mean, mean + 0.1]
        return {"rewards": rewards, "smiles": ["C", "CC", "CC"], "valid": [True] * 3, "one_piece": 1.0}

    trainings = [{"SA": {"twist": rows.Drawn("SA", "twist", [batch(mean)])}} for mean in (0.8, 0.5, 0.2)]
    trainings[0]["SA"]["SVDD-PM"] = rows.Drawn("SA", "SVDD-PM", [batch(0.6)])
    trainings[0]["QED"] = {"twist": rows.Drawn("QED", "twist", [batch(0.1)])}
    return trainings


def test_a_row_by_hand(drawn):
    """0.5, with 0.3/sqrt(3) over trainings; from 0.6, at errors of 0.058 each, the first and the last are told."""
    (row,) = pages.Trained.all("SA", drawn, ["twist", "absent"])
    assert row.mean == (pytest.approx(0.5), pytest.approx(0.3 / 3**0.5))
    assert row.spread == pytest.approx(0.3 / (0.1 / 3**0.5))
    finding = row.finding(drawn[0]["SA"]["SVDD-PM"])
    assert "0.50 ± 0.17 over 3 trainings, 0.200 to 0.800; against SVDD-PM (0.60 ± 0.06) -0.10 ± 0.18" in finding
    assert finding.endswith("above it at 95 % in 1 of 3, below it in 1.")
    assert list(row.cells())[1:5] == ["0.80 ± 0.06", "0.50 ± 0.06", "0.20 ± 0.06", "0.50 ± 0.17"]
    assert list(row.cells())[-1] == "0.67 to 0.67"


def test_only_what_all_trainings_have_is_told(drawn):
    """QED has one training as yet, and nothing has where there is but one."""
    text = pages.page(drawn, ["twist"], {})
    assert "## SA" in text and "QED" not in text and "3 molecules a row" in text
    assert "Not yet measured" in pages.page(drawn[:1], ["twist"], {})


def test_each_training_is_kept_apart(tmp_path, monkeypatch):
    """Values of a training are not those of the table, nor of another training."""
    assert trajectories.home(0) == trajectories.RUNS and len({trajectories.home(k) for k in range(3)}) == 3
    held = {"batches": {"1/SA/twist/1/0": {"rewards": [1.0]}, "2/SA/twist/1/0": {"rewards": [2.0]}}}
    monkeypatch.setattr(study.RESULTS, "path", tmp_path / "trainings.json")
    study.RESULTS.write(held)
    first, *others = study.trainings()
    assert first and [each["SA"]["twist"].rewards.tolist() for each in others] == [[1.0], [2.0]]


@pytest.mark.parametrize("reward", ["QED", "SA"])
def test_what_the_readme_says_holds_for_every_training(reward):
    """A learned value early and SVDD-PM late beat SVDD-PM alone, whichever training the value is of."""
    trainings, below = study.trainings(), rows.below
    free, both = trainings[0][reward]["SVDD-PM"], study.handover(study.TWIST, study.START)
    assert len(trainings) == 3 and all(below(free, each[reward][both]) for each in trainings)
