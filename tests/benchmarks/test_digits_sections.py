"""The study of digits: p* by weighing plain samples, shares, what is not measured, and the parts of its page."""

import math

import pytest
import torch

from benchmarks.digits import two_rewards
from benchmarks.digits.findings import Cell, share, unmeasured
from benchmarks.digits.heads import OnKept, drawn, network
from benchmarks.digits.measured import measured
from benchmarks.digits.page import HEAD
from benchmarks.digits.problem import ALPHAS, NUM_STEPS, flow, process
from benchmarks.digits.rows import BY_FLOW, ROWS, Row
from benchmarks.digits.sections import by_flow, exact, weighed_row
from benchmarks.digits.sections import two_rewards as rewards_section
from benchmarks.digits.weighed import weighed
from svlearn.inference.samplers import ancestral
from svlearn.process import draw_initial, predict
from svlearn.randomness import seeded
from svlearn.values import Head

HALVES = torch.tensor([[0.5, 0.5], [0.75, 0.25]], dtype=torch.float64).log()


def test_p_star_by_hand():
    """Two samples, two classes, the judge says class 0 of the first and class 1 of the second; alpha = 1/2."""
    figures = weighed(HALVES, torch.tensor([0, 1]), 0.5)
    first, second = 0.25 / (0.25 + 0.5625), 0.0625 / (0.25 + 0.0625)  # weights of the hits
    accuracy, error = figures["accuracy"]
    assert accuracy == pytest.approx((first + second) / 2)
    pulls = [first * (1 - first) - (1 - second) * second, -(1 - first) * first + second * (1 - second)]
    assert error == pytest.approx(math.hypot(pulls[0] / 2, pulls[1] / 2))
    assert figures["certain"][0] == pytest.approx((1 - first) / 2)  # 3/4 alone is more than half
    reward = first * math.log(0.5) + (1 - first) * math.log(0.75)
    reward += (1 - second) * math.log(0.5) + second * math.log(0.25)
    assert figures["reward"][0] == pytest.approx(reward / 2)
    sizes = [1 / (p**2 + (1 - p) ** 2) for p in (first, second)]
    assert figures["ess"] == pytest.approx(sum(sizes) / 2)


def test_its_error_is_the_spread_of_the_estimate():
    """Over 300 draws of 200 samples; the spread of a spread is 1/sqrt(2 · 300)."""
    generator, estimates, errors = seeded("cpu", 0), [], []
    for _ in range(300):
        log_probs = torch.randn(200, 3, generator=generator, dtype=torch.float64).log_softmax(dim=1)
        said = torch.where(torch.rand(200, generator=generator) < 0.8, log_probs.argmax(dim=1), 0)
        accuracy, error = weighed(log_probs, said, 1.0)["accuracy"]
        estimates.append(accuracy)
        errors.append(error)
    spread = float(torch.tensor(estimates).std())
    assert sum(errors) / 300 == pytest.approx(spread, rel=4 / math.sqrt(600))


def cell(name, alpha, hits, rewards, **more):
    return Cell(name, alpha, {"hits": hits, "rewards": rewards, "diversity": [20.0, 30.0], **more})


def test_shares():
    assert share([True, True, False]) == (pytest.approx(2 / 3), pytest.approx(math.sqrt(0.6 * 0.4 / 5)))
    assert cell("DPS", 1.0, [True], [math.log(0.4), math.log(0.6), -0.1]).certain[0] == pytest.approx(2 / 3)


def test_what_is_not_measured_is_named():
    rows = {"a": Row(None), "b": Row(None), "c": Row(None, fixed=True), "d": Row(None, fixed=True)}
    cells = [cell("a", 0.5, [], []), cell("c", None, [], []), *(cell("b", alpha, [], []) for alpha in ALPHAS)]
    assert unmeasured(rows, cells) == ["a, alpha = 1, 0.25", "d"]


@pytest.mark.parametrize(("accuracy", "said"), [(0.8, "not told apart"), (0.2, "told apart at alpha = 0.5")])
def test_tds_stands_beside_p_star(accuracy, said):
    own = {"accuracy": [accuracy, 0.01], "certain": [1.0, 0.01], "reward": [-0.1, 0.01], "ess": 93.0}
    held = {"data": {"plain samples": {"number": 1000, "agreement": 0.85, "weighed": {"0.5": own}}}}
    cells = [cell("TDS, K = 64", 0.5, [True] * 16 + [False] * 4, [-0.1] * 20)]
    (text,) = exact(held, cells)
    assert f"({said}" in text and "85 % of the plain samples" in text and "by weighing 1,000 plain" in text
    (row,) = weighed_row(held, 0.5, len(HEAD))
    assert len(row) == len(HEAD) and "93 of 1,000" in row
    assert exact({"data": {}}, cells) == [] == weighed_row({"data": {}}, 0.5, len(HEAD))


def test_the_twin_stands_beside_the_diffusion():
    cells = [cell("DPS", alpha, [True] * 80, [-0.1, -0.1]) for alpha in ALPHAS]
    assert by_flow(cells) == []
    cells.append(cell(f"{BY_FLOW}DPS", 0.5, [False] * 80, [-9.0, -9.1]))
    _, text, table = by_flow(cells)
    assert "told apart in DPS, alpha = 0.5" in text
    assert table.splitlines()[2].startswith("| DPS | 0.5 | 1.000 ± 0.012 | 0.000 ± 0.012 |")
    twins = [name.removeprefix(BY_FLOW) for name in ROWS if name.startswith(BY_FLOW)]
    assert len(twins) == 4 and all(name in ROWS and ROWS[BY_FLOW + name].of is flow for name in twins)


def test_both_rewards_have_their_part():
    own = {"rewards": [-4.0, -4.2], "kilobytes": [0.7, 0.8], "hits": [True, False], "diversity": [25.0]}
    own["per_image"] = {"reference_calls": 200, "gradient_calls": 0}
    name = next(iter(two_rewards.SAMPLERS))
    _, _, table, absent = rewards_section({"data": {}, "two rewards": {f"{name}/5": own}})
    row = table.splitlines()[2].split(" | ")
    assert row[2].startswith("-0.35") and row[3].startswith("0.75") and row[4].startswith("-4.1")
    assert f"{name}, weight 50" in absent and f"{name}, weight 5;" not in absent
    assert rewards_section({"data": {}, "two rewards": {}}) == []


def test_a_head_reads_what_is_kept():
    """The hidden states that are kept are those of the reference, and the head says of them what it is trained as."""
    features, samples = drawn(2, seeded("cpu", 0))
    assert features.shape == (2, NUM_STEPS, 48, 7, 7) and samples.shape == (2, 1, 28, 28)
    classes = torch.tensor([3, 7])
    x = draw_initial(process(), 2, condition=classes, generator=seeded("cpu", 0))
    with torch.no_grad():
        prediction = predict(process(), x, 0)
        torch.testing.assert_close(features[:, 0].float(), prediction.features, rtol=2e-3, atol=2e-3)
        own, t = network(), torch.zeros(2, dtype=torch.long)
        torch.nn.init.normal_(own.out[-1].weight, generator=seeded("cpu", 1))
        held = x.clone()
        held["sample"] = prediction.features
        assert torch.equal(OnKept(own)(held, t), Head(own)(x, t, prediction))


def test_images_of_one_class_are_measured(assets):
    assets("images/mnist_cnn_a.pt")
    assets("images/mnist_cnn_b.pt")
    labels = torch.full((2,), 7)
    sampler = ancestral(two_rewards.channels_last(), two_rewards.target(5.0))
    held = measured(sampler, process(), labels, 0, also={"kilobytes": two_rewards.sizes()})
    assert len(held["kilobytes"]) == len(held["hits"]) == 2 and len(held["diversity"]) == 1
    classes = [r + 5.0 * size for r, size in zip(held["rewards"], held["kilobytes"], strict=True)]
    assert all(each < 1e-3 for each in classes) and all(0.3 < size < 1.5 for size in held["kilobytes"])
