"""Judges and metrics of a comparison: means and errors by hand, in every table, by condition, and where they fail."""

import base64
import json
import math
import re

import numpy as np
import pytest
import torch
from condition_toys import gaussian_by_class
from torch import nn

from svlearn.evaluation.compare import compare
from svlearn.evaluation.partial import Partial
from svlearn.evaluation.report.tables import readable
from svlearn.inference.samplers import ancestral, best_of_n, smc
from svlearn.metering import current_max_batch
from svlearn.policies import Controlled
from svlearn.targets import Target

ROWS = torch.tensor([2, 0, 1])


def square(x):
    return x.squeeze(1) ** 2


def is_positive(x):
    return x.squeeze(1) > 0


def largest(objects):
    return max(objects)


class Still(nn.Module):
    """A control that moves nothing."""

    def forward(self, x, t):
        return torch.zeros_like(x)


@pytest.fixture
def samplers(walk, target, value):
    return {"best of 3": best_of_n(walk, target, 3), "SMC": smc(walk, target, value, num_particles=6)}


def test_a_judge_is_the_mean_over_the_samples_that_are_compared(samplers):
    """The reward of the walk is its end, so the rewards tell what each judge must say."""
    judged = {"square": square, "is_positive": is_positive}
    comparison = compare(samplers, 40, seed=[3, 4], judges=judged, metrics={"largest": largest})
    plain = compare(samplers, 40, seed=[3, 4])
    for name, rewards in comparison.rewards.items():
        figures = comparison.figures[name]
        assert np.array_equal(rewards, plain.rewards[name])
        assert figures["square"] == pytest.approx((rewards**2).mean(), rel=1e-6)
        error = (rewards**2).std(ddof=1) / math.sqrt(80)
        assert figures["square_standard_error"] == pytest.approx(error, rel=1e-6)
        share = (rewards > 0).mean()
        assert figures["is_positive"] == pytest.approx(share)
        assert figures["is_positive_standard_error"] == pytest.approx(math.sqrt(share * (1 - share) / 79))
        assert figures["largest"] == pytest.approx(rewards.max())
        assert figures["reward_calls_per_sample"] == plain.figures[name]["reward_calls_per_sample"]
    assert comparison.provenance["judges"] == ["square", "is_positive"]
    assert comparison.provenance["metrics"] == ["largest"] and "judges" not in plain.provenance


def test_a_judge_has_one_column_with_its_error(samplers, tmp_path):
    metrics = {"largest": largest, "any": lambda objects: len(objects) > 0}
    comparison = compare(samplers, 20, judges={"a_square": square}, metrics=metrics)
    shown = readable(comparison.table)
    assert "A square" in shown and "A square standard error" not in shown
    assert all(" ± " in cell for cell in shown["A square"]) and "Largest" in shown
    assert "A square" in comparison.to_markdown() and "A square" in comparison.to_html(tmp_path / "page").read_text()
    written = json.loads(comparison.to_json(tmp_path / "json").read_text())
    assert written["figures"]["SMC"]["a_square"] == comparison.figures["SMC"]["a_square"]
    assert written["figures"]["SMC"]["any"] == 1.0


def test_judges_are_asked_in_batches(samplers):
    sizes = []

    def seen(x):
        sizes.append((len(x), current_max_batch()))
        return x.squeeze(1)

    compare({"best of 3": samplers["best of 3"]}, 20, max_batch=8, judges={"seen": seen})
    assert sizes == [(8, 8), (8, 8), (4, 8)]


def test_each_condition_is_judged_by_its_own_samples():
    oracle = gaussian_by_class()
    target = Target(lambda x: x["x"][:, 0], 0.0)

    def judge(x):
        return 10.0 * x["condition"] + x["x"][:, 0]

    comparison = compare({"plain": ancestral(oracle, target)}, 30, seed=[1, 2], condition=ROWS, judges={"sum": judge})
    parts = comparison.by_condition
    for label, part in parts.items():
        assert part.figures["plain"]["sum"] == pytest.approx(10 * int(label) + part.rewards["plain"].mean())
    whole, errors = (
        comparison.figures["plain"],
        [each.figures["plain"]["sum_standard_error"] for each in parts.values()],
    )
    assert whole["sum"] == pytest.approx(10 + comparison.rewards["plain"].mean())
    assert whole["sum_standard_error"] == pytest.approx(math.hypot(*errors) / 3)  # the classes' distance is no noise


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (lambda x: x, r"not judged by bad: ValueError: reward: expected shape \(20,\)"),
        (lambda x: x.squeeze(1) * math.nan, "not judged by bad: NonFiniteError: reward: expected a number or -inf"),
    ],
)
def test_a_judge_that_fails_costs_its_figure_alone(samplers, judge, message):
    with pytest.warns(UserWarning, match=message):
        comparison = compare(samplers, 20, judges={"bad": judge, "square": square})
    assert "bad" not in comparison.table and comparison.table["square"].notna().all()
    with pytest.raises(ValueError, match="reward: expected"):
        compare(samplers, 20, judges={"bad": judge}, errors="raise")


def test_a_metric_that_fails_costs_its_figure_alone(samplers):
    with pytest.warns(
        UserWarning, match=r"not measured by texts: TypeError: metrics\['texts'\]: expected what returns"
    ):
        comparison = compare(samplers, 20, metrics={"texts": str, "largest": largest})
    assert "texts" not in comparison.table and comparison.table["largest"].notna().all()


def test_a_constraint_as_a_judge_is_minus_infinity_where_one_sample_breaks_it(samplers):
    figures = compare(samplers, 20, judges={"allowed": lambda x: torch.where(is_positive(x), 0.0, -math.inf)}).figures
    assert figures["best of 3"]["allowed"] == -math.inf and math.isnan(figures["best of 3"]["allowed_standard_error"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"judges": {"mean_reward": square}}, ValueError, "judges: expected names of their own, got 'mean_reward'"),
        ({"metrics": {"x_standard_error": largest}}, ValueError, "metrics: expected names of their own"),
        ({"judges": {"x": square}, "metrics": {"x": largest}}, ValueError, "metrics: expected names of their own"),
        ({"judges": {"x": 3}}, TypeError, r"judges\['x'\]: expected a callable, got int"),
        ({"judges": [square]}, TypeError, "judges: expected a Mapping, got list"),
    ],
)
def test_what_is_no_judge_is_refused_before_the_run(samplers, options, error, message):
    with pytest.raises(error, match=message):
        compare(samplers, 20, **options)


def test_figures_are_kept_and_others_judges_are_another_request(samplers, tmp_path):
    partial = Partial(tmp_path / "partial.json", {})
    first = compare(samplers, 20, judges={"square": square}, partial=partial)
    again = compare(samplers, 20, judges={"square": square}, partial=partial)
    assert again.figures["SMC"]["square"] == first.figures["SMC"]["square"]
    with pytest.raises(ValueError, match="another judges"):
        compare(samplers, 20, judges={"other": square}, partial=partial)


def test_a_picture_of_all_samples_is_drawn_of_all(walk, target, tmp_path):
    """Of a policy too, whose reference draws it; best and random samples are a few of them."""
    seen = []

    def overview(self, objects):
        seen.append(len(objects))
        return f"<svg width='9' height='9'><text>{len(objects)} samples</text></svg>"

    reference = type("Seen", (type(walk),), {"overview": overview})()
    samplers = {"plain": ancestral(reference, target), "policy": ancestral(Controlled(reference, Still()), target)}
    comparison = compare(samplers, 20, seed=[1, 2])
    assert seen == [2, 2]  # before the run
    page = comparison.to_html(tmp_path / "page.html").read_text()
    assert seen[2:] == [40, 40] and page.count('class="all"') == 2
    pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert sum(b"40 samples" in base64.b64decode(each) for each in pictures) == 2
