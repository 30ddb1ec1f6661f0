"""compare() under conditions: each has its own figures, log Z, verdicts and disagreements, in table, page and files."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from condition_toys import ALPHA, gaussian_by_class, markov_by_class, reversible_by_class

from svlearn.domains.analytic import ConditionalOracle
from svlearn.evaluation.compare import compare
from svlearn.evaluation.partial import Partial
from svlearn.inference.refinement import refine
from svlearn.inference.samplers import ancestral, beam_search, best_of_n, smc, svdd
from svlearn.inference.tree_search import tree_search
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import PosteriorMean, Zero

LABELS = ["2", "0", "1"]
ROWS = torch.tensor([2, 0, 1])
REVERSIBLE = reversible_by_class()
KINDS = {"gaussian": gaussian_by_class, "markov": markov_by_class}


class Shown(ConditionalOracle):
    """Decodes, describes and draws."""

    def decode(self, x):
        return [f"<{float(each):.2f}> of {c}" for each, c in zip(x["x"][:, 0], x["condition"].tolist())]

    def describe(self, objects):
        return {"of_class_0": sum(each.endswith("0") for each in objects) / len(objects)}


ORACLE = Shown(list(gaussian_by_class().oracles))


def samplers_of(oracle):
    target = oracle.target(ALPHA)
    return {
        "plain": ancestral(oracle, target),
        "SMC": smc(oracle, target, oracle.soft_value(ALPHA), 8),
        "SVDD": svdd(oracle, target, oracle.mean_value(), 6),
    }


@pytest.fixture(scope="module")
def comparison():
    return compare(samplers_of(ORACLE), 150, seed=[1, 2], condition=ROWS)


@pytest.mark.parametrize("name", KINDS)
def test_log_z_of_each_condition_is_the_exact_one_and_of_all_there_is_none(name):
    oracle = KINDS[name]()
    table = compare(samplers_of(oracle), 400, condition=ROWS).table
    assert table.index.names == ["sampler", "condition"]
    assert table.loc["SMC"].index.tolist() == ["all", *LABELS]
    for label in LABELS:
        truth = float(oracle.log_normalizers(ALPHA)[int(label)])
        for sampler in ("SMC", "SVDD"):
            row = table.loc[sampler, label]
            error = row["log_normalizer_standard_error_nats"]
            assert abs(row["log_normalizer_nats"] - truth) < 4 * error < 0.5
    assert table["log_normalizer_nats"].xs("all", level="condition").isna().all()
    assert (table["num_samples"].xs("all", level="condition") == 1200).all()
    means = oracle.mean_value()(oracle.initial(3000, condition=torch.arange(3000) % 3), torch.zeros(3000).long())
    for c in range(3):  # the reference's own rewards have the exact mean of each condition
        row, truth = table.loc["plain", str(c)], means[torch.arange(3000) % 3 == c]
        error = math.hypot(row["mean_reward_standard_error"], float(truth.std()) / 1000**0.5)
        assert abs(row["mean_reward"] - truth.mean()) < 4 * error


def test_the_figures_of_all_by_hand(comparison):
    for name, rewards in comparison.rewards.items():
        assert len(rewards) == 2 * 3 * 150
        own, parts = comparison.figures[name], [comparison.by_condition[label].figures[name] for label in LABELS]
        assert own["mean_reward"] == pytest.approx(rewards.mean())
        assert own["mean_reward"] == pytest.approx(sum(part["mean_reward"] for part in parts) / 3)
        errors = [part["mean_reward_standard_error"] for part in parts]
        assert own["mean_reward_standard_error"] == pytest.approx(math.hypot(*errors) / 3)
        assert own["mean_finite_reward_standard_error"] == own["mean_reward_standard_error"]
        assert own["mean_reward_standard_error"] < rewards.std() / 900**0.5  # for the conditions differ
        assert own["reward_quantile_90"] == pytest.approx(np.quantile(rewards, 0.9))
        assert math.isnan(own["mean_reward_low"]) and not math.isnan(parts[0]["mean_reward_low"])
        by_seed = rewards.reshape(2, -1).mean(axis=1)
        assert own["mean_reward_spread_over_seeds"] == pytest.approx(by_seed.std(ddof=1))
        assert own["reference_calls_per_sample"] == parts[0]["reference_calls_per_sample"]
        assert own["of_class_0"] == pytest.approx(1 / 3) and [part["of_class_0"] for part in parts] == [0, 1, 0]
    own = comparison.figures["SMC"]
    weighted = [each.figures["SMC"]["weighted_mean_reward"] for each in comparison.by_condition.values()]
    assert own["weighted_mean_reward"] == pytest.approx(sum(weighted) / 3)


def test_rewards_and_curves_of_a_condition_are_those_of_its_groups(comparison):
    table = comparison.rewards["SMC"].reshape(2, 3, 150)
    for place, label in enumerate(LABELS):
        each = comparison.by_condition[label]
        assert np.array_equal(each.rewards["SMC"], table[:, place].ravel())
        assert all(text.endswith(label) for text, _ in each.galleries["SMC"].best)
    frames = [each.curves["SMC"]["ess"] for each in comparison.by_condition.values()]
    assert np.allclose(sum(frames) / 3, comparison.curves["SMC"]["ess"])
    assert max(abs(frames[0] - frames[1])) > 0.01  # each has its own


def test_with_one_sample_a_condition_the_error_is_over_all():
    comparison = compare(samplers_of(ORACLE), 1, condition=ROWS)
    rewards = comparison.rewards["plain"]
    assert comparison.figures["plain"]["mean_reward_standard_error"] == pytest.approx(rewards.std(ddof=1) / 3**0.5)


def test_forbidden_samples_are_counted_in_each_condition():
    oracle = gaussian_by_class()
    target = Target(lambda x: torch.where(x["condition"] == 0, -math.inf, oracle.reward(x)), ALPHA)
    comparison = compare({"plain": ancestral(oracle, target), "SMC": smc(oracle, target, Zero(), 4)}, 5, condition=ROWS)
    parts = {label: each.figures["SMC"]["minus_infinity_fraction"] for label, each in comparison.by_condition.items()}
    assert parts == {"2": 0.0, "0": 1.0, "1": 0.0}
    assert comparison.figures["SMC"]["minus_infinity_fraction"] == pytest.approx(1 / 3)
    assert comparison.by_condition["0"].figures["SMC"]["dead_group_fraction"] == 1.0
    assert comparison.by_condition["0"].figures["SMC"]["log_normalizer_nats"] == -math.inf
    assert comparison.figures["SMC"]["mean_reward"] == -math.inf


def test_one_condition_is_as_a_comparison_without():
    oracle, alone = gaussian_by_class(), gaussian_by_class().oracles[1]
    one = compare(samplers_of(oracle), 20, condition=[1])
    assert one.by_condition == {} and one.table.index.name == "sampler"
    assert one.provenance["conditions"] == ["1"] and "conditions" not in compare(samplers_of(alone), 2).provenance
    assert one.figures["SMC"]["num_samples"] == 20 and math.isfinite(one.figures["SMC"]["log_normalizer_nats"])


def test_a_contradiction_is_said_of_the_condition_where_it_is():
    oracle = gaussian_by_class()
    target = oracle.target(ALPHA)

    class Biased(type(smc(oracle, target, Zero(), 2))):
        def sample(self, *arguments, **options):
            samples = super().sample(*arguments, **options)
            shift = 3.0 * (samples.states["condition"][:, 0] == 0)
            return type(samples)(**{**vars(samples), "log_normalizer": samples.log_normalizer + shift})

    wrong = smc(oracle, target, oracle.soft_value(ALPHA), 8)
    wrong.__class__ = Biased
    right = smc(oracle, target, oracle.soft_value(ALPHA), 8)
    comparison = compare({"right": right, "wrong": wrong}, 100, condition=ROWS)
    num_notes = {label: len(each.notes) for label, each in comparison.by_condition.items()}
    assert num_notes == {"2": 0, "0": 1, "1": 0}
    assert [note.startswith("0: The estimates of one log Z contradict") for note in comparison.notes] == [True]


def test_verdicts_are_of_all_and_of_each(comparison):
    assert len(comparison.verdicts()) == 2
    sentences = {label: each.verdict("SMC", "plain") for label, each in comparison.by_condition.items()}
    assert len(set(sentences.values())) == 3 and comparison.verdict("SMC", "plain") not in sentences.values()


def test_every_file_tells_of_each_condition(comparison, tmp_path):
    content = json.loads(comparison.to_json(tmp_path / "a.json").read_text())
    assert list(content["by_condition"]) == LABELS and content["provenance"]["conditions"] == LABELS
    for label in LABELS:
        held, name = content["by_condition"][label], "log_normalizer_nats"
        assert held["figures"]["SMC"][name] == comparison.by_condition[label].figures["SMC"][name]
        assert held["verdicts"] and held["curves"]["SMC"]["ess"]
    assert content["figures"]["SMC"]["log_normalizer_nats"] is None
    with comparison.to_csv(tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sampler"], row["condition"]) for row in rows[:4]] == [("plain", each) for each in ["all", *LABELS]]
    assert len(rows) == 12
    lines = str(comparison).splitlines()
    assert lines[0].split("|")[1:3] == [" Sampler ", " Condition "] and lines[3].split("|")[2].strip() == "2"
    page = comparison.to_html(tmp_path / "a.html").read_text()
    assert "<h2>By condition</h2>" in page and all(f"<h3>{label}</h3>" in page for label in LABELS)
    assert "log Z (nats)" in page.split("<h2>By condition</h2>")[1].split("<h2>")[0]
    assert "log Z (nats)" not in page.split("<h2>By condition</h2>")[0]
    for label in LABELS:
        assert all(each.split(" (")[0] in page for each in comparison.by_condition[label].verdicts())
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    assert "By condition" not in compare(samplers_of(ORACLE.oracles[0]), 4).to_html(tmp_path / "b.html").read_text()


def test_labels_of_users_are_escaped_and_many_conditions_are_not_all_drawn(tmp_path):
    class Named(ConditionalOracle):
        def initial(self, batch_size, *, condition=None, generator=None):
            return super().initial(batch_size, condition=[len(text) % 3 for text in condition], generator=generator)

    oracle = Named(list(gaussian_by_class().oracles))
    prompts = ["<script>", "=1+1", *("x" * n for n in range(1, 9))]
    comparison = compare(samplers_of(oracle), 3, condition=prompts)
    page = comparison.to_html(tmp_path / "a.html").read_text()
    assert "<h3>&lt;script&gt;</h3>" in page and "<script>" not in page
    assert "'=1+1" in comparison.to_csv(tmp_path / "a.csv").read_text()
    assert "Of 10 conditions together" in str(comparison) and str(comparison).count("\n") < 12
    assert "<svg" not in page.split("<h2>By condition</h2>")[1].split("<h2>")[0]


def test_a_partial_file_gives_back_each_condition_and_refuses_others(comparison, tmp_path):
    samplers = samplers_of(ORACLE)
    first = compare(samplers, 5, condition=ROWS, partial=Partial(tmp_path / "p.json", {}))
    again = compare(samplers, 5, condition=ROWS, partial=Partial(tmp_path / "p.json", {}))
    for label in LABELS:
        assert np.array_equal(first.by_condition[label].rewards["SMC"], again.by_condition[label].rewards["SMC"])
    assert first.table.equals(again.table)  # seconds too: nothing was drawn again
    with pytest.raises(ValueError, match="got those of one with another condition"):
        compare(samplers, 5, condition=ROWS[:2], partial=Partial(tmp_path / "p.json", {}))


def test_a_sampler_that_fails_is_in_the_table_of_every_condition():
    def broken(x):
        raise RuntimeError("no")

    oracle = gaussian_by_class()
    samplers = {"good": ancestral(oracle, oracle.target(ALPHA)), "bad": ancestral(oracle, Target(broken, ALPHA))}
    with pytest.warns(UserWarning, match="bad failed|different reward objects"):
        table = compare(samplers, 4, condition=ROWS).table
    assert table.loc["bad", "failure"].tolist() == ["seed 0: RuntimeError: no"] * 4
    assert table.loc["good", "failure"].tolist() == [""] * 4


def test_what_is_refused():
    samplers = samplers_of(ORACLE)
    with pytest.raises(TypeError, match="condition: expected a tensor, .* got function"):
        compare(samplers, 4, condition=lambda number, generator: ROWS)
    with pytest.raises(TypeError, match="condition: expected rows, got one str"):
        compare(samplers, 4, condition="cat")


def test_values_that_read_predictions_are_of_the_condition():
    oracle = gaussian_by_class()
    target = oracle.target(ALPHA)
    table = compare({"PM": svdd(oracle, target, PosteriorMean(target), 4)}, 300, condition=ROWS).table
    for label in LABELS:
        row = table.loc["PM", label]
        truth = float(oracle.log_normalizers(ALPHA)[int(label)])
        assert abs(row["log_normalizer_nats"] - truth) < 4 * row["log_normalizer_standard_error_nats"]


def test_every_sampler_is_taken_apart_by_condition():
    oracle = REVERSIBLE
    target = oracle.target(ALPHA)
    samplers = {
        "beam": beam_search(oracle, target, oracle.soft_value(ALPHA), 2, 3),
        "tree": tree_search(oracle, target, num_rollouts=20),
        "best": best_of_n(oracle, target, 3),
        "refined": refine(smc(oracle, target, Zero(), 3), 2),
    }
    comparison = compare(samplers, 6, seed=[0, 1], condition=ROWS)
    for name, sampler in samplers.items():
        for place, label in enumerate(LABELS):
            groups = slice(6 * place, 6 * place + 6)
            runs = [sampler.sample(18, condition=ROWS.repeat_interleave(6), generator=seeded("cpu", k)) for k in (0, 1)]
            each = comparison.by_condition[label]
            ess = torch.cat([run.history.ess[groups] for run in runs]).double().mean(dim=0)
            size = runs[0].log_weights.shape[1]
            if each.curves[name]["ess"].notna().any():
                assert np.allclose(each.curves[name]["ess"], ess / size)
            unique = torch.cat([run.history.unique_ancestors[groups] for run in runs]).double().mean(dim=0)
            if size > 1:
                assert np.allclose(each.curves[name]["unique_ancestors"], unique / size)
    assert comparison.by_condition["0"].curves["tree"]["ess"].notna().all()
