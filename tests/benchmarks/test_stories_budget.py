"""The study of equal token positions: what wins and when it pays by hand, and budgets that are kept."""

import math

import pytest
import torch

from benchmarks.stories_budget import findings, rows, run
from benchmarks.stories_budget.figures import NAME, figures
from benchmarks.stories_budget.page import headline, page
from benchmarks.stories_budget.tasks import TASKS, TOKENS

SINGLE = TOKENS - 1  # positions of a plain text


def row(figure, error, seconds):
    held = {"figure": [figure, error], "cpu_seconds": seconds, "positions": 1000 * seconds, "perplexity": 2.0}
    return held | {"self_bleu": 0.5, "distinct_2": 0.5, "bound": None, "log_normalizer": [-1.0, 0.1], "dead": 0.25}


def entry(figures, seconds, trained=None):
    budgets = {
        str(budget): row(figure, 0.01, own) for budget, figure, own in zip(rows.BUDGETS, figures, seconds, strict=True)
    }
    return {"budgets": budgets} | ({} if trained is None else {"trained": {"cpu_seconds": trained, "positions": 7e5}})


@pytest.fixture
def own():
    truth = {name: [0.0, 0.1] for name in ("of_reference", "of_target", "log_normalizer")}
    return {
        "truth": truth,
        "best-of-N": entry([0.1, 0.3, 0.5], [1.0, 4.0, 16.0]),
        "SMC, roll-outs": entry([0.0, 0.2, 0.45], [1.0, 4.0, 20.0]),
        "SVDD, roll-outs": entry([0.0, 0.1, 0.495], [1.0, 4.0, 12.0]),
        "twisted SMC": entry([0.4, 0.05, 0.9], [1.0, 4.0, 16.0], trained=70.0),
        "policy": entry([0.0, 0.1, 0.2], [5.0, 6.0, 7.0], trained=70.0),
    }


def test_what_a_figure_costs_by_hand():
    curve = [(1.0, 0.1), (4.0, 0.3), (16.0, 0.5)]
    assert findings.cost_of(0.05, curve) == 1.0  # the first point exceeds it
    assert findings.cost_of(0.2, curve) == pytest.approx(2.0)  # the middle of 1 and 4 in logarithms
    assert findings.cost_of(0.5, curve) == pytest.approx(16.0)
    assert findings.cost_of(0.51, curve) == math.inf
    assert findings.cost_of(0.3, [(1.0, 0.1), (4.0, 0.4), (16.0, 0.2)]) == pytest.approx(4 ** (2 / 3))


def test_who_wins_and_when_a_training_pays_by_hand(own):
    assert findings.winners(own, 4) == ["twisted SMC"]
    assert findings.winners(own, 64) == ["twisted SMC"]
    del own["twisted SMC"]["budgets"]["64"]["figure"]
    own["twisted SMC"]["budgets"]["64"]["figure"] = [0.0, 0.01]
    assert findings.winners(own, 64) == ["best-of-N", "SVDD, roll-outs"]  # 0.005 is less than 1.96 · 0.014
    # 0.4 costs best-of-N 8 seconds, SVDD 4 · 3^(0.3/0.395) = 9.2; 70/(8 - 1)
    assert findings.pays_from(own, "twisted SMC", 4) == pytest.approx(10.0)
    assert findings.pays_from(own, "policy", 16) == math.inf  # best-of-N has 0.1 for a second
    own["twisted SMC"]["budgets"]["16"]["figure"] = [0.9, 0.01]  # none has it: SVDD's 12 seconds are the least
    assert findings.pays_from(own, "twisted SMC", 16) == pytest.approx(70 / (12 - 4))


def test_whose_bound_is_nearest(own):
    assert findings.nearest_bound(own, 64) is None
    for name, bound in (("SMC, roll-outs", -3.0), ("twisted SMC", -2.5)):
        own[name]["budgets"]["64"]["bound"] = [bound, 0.1]
    assert findings.nearest_bound(own, 64) == "twisted SMC"
    assert "the bound on log Z is nearest by twisted SMC at 64; twisted SMC pays" in headline({"sentiment": own})


def test_what_is_not_measured_is_left_out(own):
    del own["policy"]
    assert findings.trained(own) == ("twisted SMC",) and "policy" not in headline({"sentiment": own})
    assert list(figures({"sentiment": own, "constraint": {}})) == [NAME]
    del own["twisted SMC"]
    assert not findings.is_measured(own) and figures({"sentiment": own}) == {}


def test_the_page_says_it(own):
    text = page({"sentiment": own, "constraint": {}})
    assert "| twisted SMC | 4 | 1000 | 0.400 ± 0.010 | -1.00 ± 0.10 | – | 25% |" in text
    assert "| 10 |" in text and "| never |" in text and "| < 18 |" not in text
    assert "twisted SMC at 4, best-of-N at 16, twisted SMC at 64; twisted SMC pays from 10 texts on at 4" in text
    assert "policy never pays" in headline({"sentiment": own})
    assert "Not yet measured" in page({task: {} for task in TASKS})


def test_log_z_of_groups_by_hand():
    held = rows.log_normalizer(torch.tensor([0.5, 0.25, 0.75, 0.5], dtype=torch.float64).log())
    assert held["log_normalizer"][0] == pytest.approx(math.log(0.5)) and held["dead"] == 0
    deviation = math.sqrt((0.25**2 + 0.25**2) / 3)
    assert held["log_normalizer"][1] == pytest.approx(deviation / 0.5 / 2)
    assert held["bound"][0] == pytest.approx((2 * math.log(0.5) + math.log(0.25) + math.log(0.75)) / 4)
    held = rows.log_normalizer(torch.tensor([0.0, -math.inf], dtype=torch.float64))
    assert (held["dead"], held["bound"]) == (0.5, None) and held["log_normalizer"][0] == pytest.approx(math.log(0.5))
    assert rows.log_normalizer(torch.full((2,), -math.inf, dtype=torch.float64))["log_normalizer"] is None


@pytest.mark.parametrize("name", rows.FREE)
def test_a_sampler_keeps_to_its_budget(name, assets, monkeypatch):
    assets("language/stories260K.bin"), assets("language/tok512.bin")
    monkeypatch.setattr(rows, "NUMBER", 16)
    held = rows.drawn("sentiment", rows.FREE[name]("sentiment", 4))
    assert 0.7 < held["positions"] / (4 * SINGLE) < 1.15
    assert -3 < held["figure"][0] < 0 and 0 < held["distinct_2"] <= 1 and 1 < held["perplexity"] < 20


def test_budgets_are_equal_in_the_results():
    results = run.RESULTS.read()
    assert all(name in own for own in results.values() for name in rows.FREE)
    for task, own in results.items():
        for name in [each for each in (*rows.FREE, *rows.TRAINED) if each in own]:
            for budget, row in own[name]["budgets"].items():
                assert 0.7 < row["positions"] / (int(budget) * SINGLE) < 1.15, (task, name, budget)
