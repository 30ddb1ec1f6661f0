"""The study of sequences: figures by hand, results of the shipped parts, and a page that says what is there."""

import json

import pytest
import torch
from tensordict import TensorDict

from benchmarks.sequences import batches, findings, run, speed, trained
from benchmarks.sequences.authors import LOGS, quantiles
from benchmarks.sequences.findings import Drawn, frontier, gather
from benchmarks.sequences.judged import variety
from benchmarks.sequences.page import WANTED, few_calls
from benchmarks.sequences.problems import PROBLEMS, process
from benchmarks.sequences.rows import MC, PM, PRETRAINED, ROWS
from svlearn.domains.sequences.alphabet import DNA


def row(name, rewards, **costs):
    spent = dict.fromkeys(("reference_calls", "policy_calls", "cpu_seconds"), 0) | costs
    return Drawn(name, [{"rewards": rewards, "sequences": ["A"] * len(rewards), "per_sequence": spent}])


@pytest.fixture(scope="module")
def results():
    return batches.RESULTS.read()


def test_edit_distances_by_hand():
    """ACGT to CGTA is two edits, where four places differ; each double counts as often as it stands there."""
    assert variety(["ACGT", "CGTA"])["edit_distance"] == 2
    assert variety(["ACGT", "ACGT", "CGTA"])["edit_distance"] == pytest.approx(4 / 3)
    assert variety(["ACGT"] * 3)["edit_distance"] == 0
    assert variety(["ACGT", "ACGT", "CGTA", "ACGT"]) == {"edit_distance": pytest.approx(1), "duplicates": 0.5}


def test_a_row_by_hand():
    """1, 2, 3, 6: the mean 3, its error sqrt(14/3)/2, quantiles between their neighbours."""
    own = Drawn("x", [{"rewards": [6.0, 1.0]}, {"rewards": [3.0, 2.0]}])
    assert own.mean == (3.0, pytest.approx((14 / 3) ** 0.5 / 2))
    assert [cut for cut, _ in own.quantiles] == pytest.approx([1.6, 2.5, 4.2, 5.1])
    assert all(error > 0 for _, error in own.quantiles)
    twice = Drawn("x", [{"per_sequence": {"reference_calls": n, "policy_calls": 1}} for n in (2, 4)])
    assert twice.cost("reference_calls") == 3 and twice.spent("process_calls") == 4


def test_the_frontier_by_hand():
    a, b, c, d = (row(*each) for each in (("a", [1.0]), ("b", [3.0]), ("c", [2.0]), ("d", [4.0])))
    for each, calls in ((a, 5), (b, 7), (c, 9), (d, 20)):
        each.batches[0]["per_sequence"]["reference_calls"] = calls
    spread = {
        each.name: Drawn(each.name, [{**each.batches[0], "rewards": each.rewards.tolist() * 2}])
        for each in (a, b, c, d)
    }
    assert [each.name for each in frontier(spread.values(), "process_calls")] == ["a", "b", "d"]


def test_who_wins_at_few_calls_by_hand():
    """At 7 calls the learned row is above what as few buy; c is above it, but not told apart; d is, from 20 on."""
    learned, a, c, d = (
        row(*each) for each in (("x", [3.0, 3.2]), ("a", [1.0, 1.2]), ("c", [3.0, 3.3]), ("d", [4.0, 4.2]))
    )
    for each, calls in ((learned, 7), (a, 5), (c, 9), (d, 20)):
        each.batches[0]["per_sequence"]["reference_calls"] = calls
    text = few_calls(learned, [d, c, a])
    assert "training-free that buys 1.10 ± 0.10 (a)" in text and text.endswith(
        "from 20 calls on d gets more without training."
    )
    assert few_calls(learned, [a, c]).endswith("no training-free row is told to be above it.")


def test_names_of_rows():
    assert findings.on_line("SVDD-MC, M = 5") == MC and findings.on_line(PM) == PM
    assert findings.on_line("SVDD-MC, the authors' training") is None
    assert findings.number_of(row("SVDD-PM, M = 50", [0.0])) == 50 and findings.number_of(row(PM, [0.0])) == 10
    kinds = [findings.kind_of(name) for name in ("SVDD-MC, M = 2", "SVDD-PM, M = 2", "TDS", "policy, PPO")]
    assert kinds == ["trained", "training-free", "gradient of the reward", "trained"]


def test_a_value_is_learned_about_the_mean_reward():
    network = trained.Standardised(lambda x, t: 0.5 * x[:, 0] * t, 3.0, 2.0)
    x, t = torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 2.0])
    assert network(x, t).tolist() == [4.0, 7.0]


def test_stored_trajectories_are_served_once_an_epoch():
    held = TensorDict({"rewards": torch.arange(2.0 * trained.BATCH)}, batch_size=[2 * trained.BATCH])
    served = list(trained.Stored(held).train_dataloader())
    assert len(served) == 2
    together = torch.cat([each["rewards"] for each in served])
    assert sorted(together.tolist()) == held["rewards"].tolist() and together.tolist() != held["rewards"].tolist()


def test_the_bare_loop_and_the_sampler_draw_from_one_law():
    """Every place is unmasked, and letters are as frequent as in plain samples, within 4 standard errors."""
    reference = process("utr5")
    x = speed.bare(reference, 64, torch.Generator().manual_seed(0))
    assert int(x.max()) < DNA.size
    sampled = torch.cat([DNA.encode(each["sequences"]) for each in plain_batches()])
    one, other = (torch.bincount(each.flatten(), minlength=4) / each.numel() for each in (x, sampled))
    assert float((one - other).abs().max()) < 4 * 0.5 / x.numel() ** 0.5


def plain_batches():
    held = batches.RESULTS.read()["batches"]
    return [each for name, each in held.items() if name.startswith(f"mrl/{PRETRAINED}/")]


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "stability"])
def test_the_results_are_those_of_the_shipped_rewards(name, results, assets):
    """Each row's first sequences, rewarded again."""
    if name == "hepg2":
        assets("dna/mpra_dragonn_convmodel.hdf5")
    rows = gather(results, name)
    reward = PROBLEMS[name].reward() if rows else None
    for own in rows.values():
        again = reward(DNA.encode(own.sequences[:4]))
        assert again.tolist() == pytest.approx(own.rewards[:4].tolist(), abs=2e-3)


def test_rewards_are_of_so_many_sequences_and_figures_of_all_of_them(results):
    for name, problem in PROBLEMS.items():
        for row_name, own in gather(results, name).items():
            length = process(problem.reference).length
            assert len(own.rewards) == len(own.sequences) <= WANTED
            assert all(len(each) == length and set(each) <= set("ACGT") for each in own.sequences)
            judged = results["judged"].get(f"{name}/{row_name}")
            if judged is not None:
                assert judged["number"] <= len(own.sequences) and judged["judges"].keys() == problem.judges.keys()
                if judged["number"] == len(own.sequences):
                    assert variety(own.sequences) == pytest.approx(
                        {key: judged[key] for key in ("edit_distance", "duplicates")}
                    )


def test_the_authors_quantiles_are_those_of_their_logs(results, assets):
    for logs in LOGS.values():
        for log in logs.values():
            assets(f"dna/svdd_logs/svdd_{log}.npz")
    assert json.loads(json.dumps(quantiles())) == results["authors"]["logs"]
    logged = results["authors"]["logs"]["hepg2"]
    assert (
        logged[MC]["quantiles"][0] > logged[PM]["quantiles"][0]
        and logged[MC]["quantiles"][3] < logged[PM]["quantiles"][3]
    )


def test_costs_are_what_the_rows_must_cost(results):
    """Best-of-10 ten times a sample; a learned value a call at each step that unmasks, so one a letter at most."""
    for name in PROBLEMS:
        rows, reference = gather(results, name), process(PROBLEMS[name].reference)
        calls = {each: row.spent("process_calls") for each, row in rows.items()}
        if {PRETRAINED, "best-of-10"} <= rows.keys():
            assert calls["best-of-10"] == pytest.approx(10 * calls[PRETRAINED])
        if MC in rows:
            assert calls[MC] <= 1 + min(reference.num_steps, reference.length)
        if PM in rows:
            assert 9 * calls[PRETRAINED] < calls[PM] <= 1 + 10 * reference.num_steps


def test_the_page_says_what_is_there(results):
    page = run.pages()[run.PAGE]
    for name, problem in PROBLEMS.items():
        rows = gather(results, name)
        assert (problem.title in page) == bool(rows)
        for row_name in rows:
            assert f"| {row_name}" in page
        short = [own for own in rows.values() if len(own.rewards) < (ROWS[own.name].number or WANTED)]
        assert all(f"{own.name} of {name} ({len(own.rewards)})" in page for own in short)
