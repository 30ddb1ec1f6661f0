"""The study of GB1: R² and the frontier by hand, results of the shipped reference, a page that says what is there."""

import math

import pytest
import torch

from benchmarks.gb1 import findings, laws, run
from benchmarks.gb1.findings import FREE, ORACLE, TRAINED, Method
from benchmarks.gb1.page import told
from benchmarks.gb1.problem import ALPHA, ALPHAS, CANDIDATES, figures_of
from benchmarks.gb1.samplers import EXACT, LEARNED, PM, SOFTEST
from benchmarks.gb1.values import r2
from svlearn.domains.sequences.gb1 import LogFitness, load
from svlearn.domains.sequences.landscape import Landscape


@pytest.fixture(scope="module")
def results():
    return run.RESULTS.read()


@pytest.fixture(scope="module")
def sweep(results):
    return results["sweeps"][f"gb1/{ALPHA}"]


def distances(sweep, kind):
    return [sweep[kind][str(number)]["total_variation"] for number in CANDIDATES]


def test_r2_by_hand():
    """Two times; at the second, three states of which one weighs nothing."""
    exact = [torch.tensor([2.0]), torch.tensor([0.0, 4.0, 100.0])]
    weights = [torch.tensor([1.0]), torch.tensor([0.25, 0.75, 0.0])]
    values = [torch.tensor([3.0]), torch.tensor([1.0, 4.0, -7.0]), torch.tensor([0.0])]
    variance = 0.25 * 3.0**2 + 0.75 * 1.0**2
    assert r2(values, exact, weights, False) == pytest.approx(1 - (1.0 + 0.25) / variance)
    assert r2(values, exact, weights, True) == pytest.approx(1 - (0.25 * 0.75**2 + 0.75 * 0.25**2) / variance)
    shifted = [each + 5 for each in values]
    assert r2(shifted, exact, weights, True) == pytest.approx(r2(values, exact, weights, True))


def test_the_frontier_by_hand():
    def method(family, calls, variation, kind=FREE):
        return Method(family, "", kind, calls, calls, variation, 1.0)

    a, b, c = method("a", 4, 0.5), method("b", 4, 0.4), method("c", 10, 0.45)
    d, e = method("d", 16, 0.1), method("e", 4, 0.0, ORACLE)
    assert findings.frontier([c, a, d, e, b]) == [b, d]
    assert findings.nearest([a, b, c, e], FREE) == b and findings.nearest([a, e], ORACLE) == e


def test_the_results_are_those_of_the_shipped_reference(assets, results):
    landscape = Landscape(load(), LogFitness(assets("proteins/gb1_four_site.csv")))
    for alpha in (ALPHAS[0], ALPHA):
        for name, number in figures_of(landscape, alpha).items():
            assert results["problem"][f"gb1/{alpha}"][name] == pytest.approx(number, rel=1e-4)
        found = laws.total_variation(laws.best_of(landscape, 5), landscape.law(alpha))
        assert results["sweeps"][f"gb1/{alpha}"]["best-of-N"]["5"]["total_variation"] == pytest.approx(found, rel=1e-4)


def test_every_method_of_the_study_was_measured(results):
    for part, known in (("values", run.values.FAMILIES), ("policies", run.policies.FAMILIES)):
        assert findings.by_family(results[part]).keys() == {family.name for family in known}
    assert results["samplers"].keys() == run.samplers.DRAWN.keys()
    assert results["sweeps"].keys() == run.samplers.SWEEPS.keys()


def test_summed_laws_are_what_theory_says_of_them(results):
    """One candidate is p_ref; of the exact value more candidates are nearer, without end; of others they are not."""
    for alpha in ALPHAS:
        sweep = results["sweeps"][f"gb1/{alpha}"]
        start = [sweep[kind]["1"]["total_variation"] for kind in sweep]
        assert max(start) - min(start) < 1e-6
        exact = distances(sweep, f"SVDD, {EXACT}")
        assert exact == sorted(exact, reverse=True) and exact[-1] < 0.25 * exact[0]
    problem = results["problem"][f"gb1/{ALPHA}"]
    untrained = results["policies"]["untrained"]
    assert untrained["The reference"]["forward"] == pytest.approx(problem["kl"], rel=1e-6)
    assert abs(untrained["p* itself"]["reverse"]) < 1e-9


def test_a_policy_s_law_of_ends_is_nearer_than_that_of_its_paths(results):
    for key, row in results["policies"].items():
        for each in row.values() if key == "untrained" else [row]:
            for way in ("reverse", "forward"):
                assert -1e-9 <= each[way] <= each[f"{way}_path"] + 1e-9
            assert each["total_variation"] <= math.sqrt(max(each["reverse"], 0) / 2) + 1e-9  # Pinsker


def test_summed_and_drawn_laws_agree(results, sweep):
    """As near as draws can tell: the distance of what was drawn lies between the exact one and that plus its noise."""
    for kind, rows in ((PM, sweep), (LEARNED, results["learned"]["svdd"])):
        drawn = results["samplers"][f"SVDD, {kind}, M = 10"]
        exact = rows[f"SVDD, {kind}"]["10"]
        assert exact["total_variation"] - 0.02 < drawn["total_variation"]
        assert drawn["total_variation"] < exact["total_variation"] + 1.5 * drawn["of_exact_draws"]
        assert drawn["fitness"] == pytest.approx(exact["fitness"], abs=0.25)


def test_what_the_page_advises_is_what_was_found(results, sweep):
    pm, exact, mean = (distances(sweep, f"SVDD, {kind}") for kind in (PM, EXACT, SOFTEST))
    assert min(pm) < pm[-1] and pm[-1] > 5 * exact[-1], "more candidates do not help SVDD-PM"
    assert mean[-1] > 3 * exact[-1]
    large = results["sweeps"][f"gb1/{ALPHAS[-1]}"]
    gap = [large[f"SVDD, {kind}"][str(CANDIDATES[-1])]["total_variation"] for kind in (SOFTEST, EXACT)]
    assert gap[0] < 0.02 and gap[0] < 3 * gap[1] + 0.01
    best = distances(sweep, "best-of-N")
    assert min(best) < best[-1]
    found = findings.methods(results)
    first, free = findings.frontier(found)[0], findings.nearest(found, FREE)
    assert first.calls == 4 and first.kind == TRAINED and free.calls >= 10 * first.calls
    quick = [each for each in found if each.kind == FREE and each.calls <= 10 * first.calls]
    assert all(each.total_variation > first.total_variation for each in quick)
    page = run.PAGE.read_text(encoding="utf-8")
    assert page.index("**On measured fitness, what comes nearest p\\* per call is") < page.index("](gb1_calls.svg)")
    assert f"per call is {told(first)}: " in page


def test_the_page_shows_every_figure(results):
    drawn = run.figures(results)
    for name in drawn:
        assert f"]({name})" in run.PAGE.read_text(encoding="utf-8")
    assert {path.name for path in run.PAGE.parent.glob("gb1_*.svg")} == set(drawn)
