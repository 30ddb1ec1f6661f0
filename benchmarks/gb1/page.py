"""The page docs/leaderboards/gb1.md, written from its results."""

from collections.abc import Sequence
from typing import Any

from benchmarks.common.pages import markdown_table, not_measured, reproduce
from benchmarks.gb1 import policies as tuned
from benchmarks.gb1 import values as learned
from benchmarks.gb1.figures import complete
from benchmarks.gb1.findings import FREE, TRAINED, Method, by_family, frontier, methods, nearest
from benchmarks.gb1.problem import ALPHA, ALPHAS, CANDIDATES, CHOSEN
from benchmarks.gb1.samplers import EXACT, PM, SOFTEST
from benchmarks.gb1.tables import of_policies, of_samplers, of_sweeps, of_values
from svlearn.evaluation.report.numbers import plain

TITLE = "GB1: a protein landscape whose p\\* is exact"
OPENING = """# {title}

**On measured fitness, what comes nearest p\\* per call is {best}: {best_tv} away in total variation
at {best_calls} calls a sample, where p_ref is {start} away.** Close behind is {second}, {second_tv} away. {next}
Without any training the nearest is {free} at {free_tv}, for {free_calls} calls{suits};
SVDD-PM stops at {pm_tv} (M = {pm_m}), and more candidates do not help it.

![Total variation to p* by calls](gb1_calls.svg)

The data: 149,361 of the 160,000 variants of protein GB1 at four sites, with their measured fitness (Wu et al. 2016,
eLife 5, e16965; wild type 1, best 8.76; the 10,639 that were not measured score 0). The reward is r = log max(fitness,
0.01), so p\\*(x) ∝ p_ref(x) fitness^(1/alpha). p_ref is the shipped `svlearn.load("gb1")`, a masked diffusion of the
four sites in any order, T = 4, trained on half of the functional variants. All v_t, p\\* and log Z are exact, by
dynamic programming over the 21^4 masked states (`svlearn.domains.sequences.landscape`).

At alpha = {alpha} the mean fitness is {before} under p_ref and {after} under p\\*, KL(p\\*‖p_ref) = {kl} nats, and p\\*
is spread over {variants} variants, the exponential of its entropy.

The methods that none of as few calls beats:

{frontier}
Calls are those of the reference, or of the policy in its place; "all networks" counts those of a learned value and
gradients too, which here is as large as the reference.

"""
SAMPLERS = """## Samplers at alpha = {alpha}

Total variation of the law of one sample. *Summed* laws are exact, over all that the candidates may be; the others are
estimated from up to {groups} groups, by the weights of their particles, and beside each stands what as many exact draws
of p\\* would show: what is near that may be as good as exact. The error of log Z is the mean |log Z_hat - log Z| of
single groups, nats.

{table}
"""
CANDIDATE_TEXT = """## How many candidates? How large an alpha?

![Total variation to p* by candidates](gb1_candidates.svg)

The exercise of the tutorial (arXiv 2501.09685) on real data, all of it summed: total variation to p\\*, and in brackets
the mean fitness, by the number of candidates.

{table}
- **SVDD-PM has a bias of its own that no M takes away.** Its value is r at the most probable letters, which is not v_t:
  at alpha = {alpha} and M = {most} it is {pm} from p\\*, with the exact soft value {exact}.
- **The mean value is no soft value.** It is what SVDD-MC learns; at M = {most} it stays {mean} away at alpha = {alpha},
  and {mean_large} at alpha = {large}, where both values agree.
- **best-of-N passes p\\* by.** There is one N for each alpha, and beyond it the law runs to the largest reward: at
  alpha = {alpha} the nearest is N = {best_n}, {best_tv} away.

"""
VALUES = """## Values

R² over all masked states, t = 0 ... 3, each weighed as the law of x_t weighs it: 1 - Σ_t E[(v - exact)²]/Σ_t
Var[exact], of contrastive ones up to a constant c(t); against the exact soft and the exact mean value. Then the total
variation to p\\* of SVDD with M = {chosen} and of exact steps by that value, summed. Means over {seeds}; {steps}
steps of {batch} trajectories each, one perceptron and one learning rate for all.

{table}
"""
POLICIES = """## Policies

Fine-tuned copies of the reference; the KL to p\\* of x_T both ways, nats, and that of whole trajectories in brackets,
exact by enumeration. Means over {seeds}; {steps} steps of {batch} trajectories. A policy draws a sample by 4
calls.

{table}
"""


def page(results: dict[str, Any]) -> str:
    """The whole page, Markdown."""
    if not complete(results):
        return not_measured(TITLE, "gb1")
    found = methods(results)
    return (
        opening(results, found)
        + samplers(results, found)
        + candidates(results)
        + values(results)
        + policies(results)
        + reproduce("gb1", results, "One thread.")
    )


def opening(results: dict[str, Any], found: Sequence[Method]) -> str:
    best = frontier(found)
    free, problem = nearest(found, FREE), results["problem"][f"gb1/{ALPHA}"]
    pm = min((each for each in found if each.family == f"SVDD, {PM}"), key=lambda each: each.total_variation)
    start = next(each for each in found if each.family == "p_ref")
    second = min(
        (each for each in found if each.calls == best[0].calls and each.kind == TRAINED and each != best[0]),
        key=lambda each: each.total_variation,
    )
    rows = [
        [
            each.name,
            plain(each.calls),
            plain(each.network_calls),
            plain(each.total_variation, 3),
            plain(each.fitness, 3),
        ]
        for each in best
    ]
    return OPENING.format(
        title=TITLE,
        best=told(best[0]),
        best_tv=plain(best[0].total_variation, 2),
        best_calls=plain(best[0].calls),
        start=plain(start.total_variation, 2),
        second=told(second),
        second_tv=plain(second.total_variation, 2),
        next=_next(best),
        free=told(free),
        free_tv=plain(free.total_variation, 2),
        free_calls=plain(free.calls),
        suits=", an N that suits this alpha alone" if free.family == "best-of-N" else "",
        pm_tv=plain(pm.total_variation, 2),
        pm_m=pm.setting.removeprefix("M = "),
        alpha=ALPHA,
        before=plain(problem["reference_fitness"], 3),
        after=plain(problem["fitness"], 3),
        kl=plain(problem["kl"], 3),
        variants=f"{problem['variants']:,.0f}",
        frontier=markdown_table(["Method", "calls", "all networks", "distance to p\\*", "mean fitness"], rows),
    )


def samplers(results: dict[str, Any], found: Sequence[Method]) -> str:
    groups = max(row["groups"] for row in results["samplers"].values())
    return SAMPLERS.format(alpha=ALPHA, groups=f"{groups:,}", table=of_samplers(results, found))


def candidates(results: dict[str, Any]) -> str:
    rows, most = results["sweeps"][f"gb1/{ALPHA}"], str(CANDIDATES[-1])
    large = ALPHAS[-1]

    def distance(kind: str, alpha: float = ALPHA) -> str:
        return plain(results["sweeps"][f"gb1/{alpha}"][kind][most]["total_variation"], 2)

    best_n = min(rows["best-of-N"], key=lambda number: rows["best-of-N"][number]["total_variation"])
    return CANDIDATE_TEXT.format(
        table=of_sweeps(results),
        alpha=ALPHA,
        most=most,
        pm=distance(f"SVDD, {PM}"),
        exact=distance(f"SVDD, {EXACT}"),
        mean=distance(f"SVDD, {SOFTEST}"),
        mean_large=distance(f"SVDD, {SOFTEST}", large),
        large=plain(large),
        best_n=best_n,
        best_tv=plain(rows["best-of-N"][best_n]["total_variation"], 2),
    )


def values(results: dict[str, Any]) -> str:
    seeds = _seeds(results["values"])
    return VALUES.format(chosen=CHOSEN, seeds=seeds, steps=learned.STEPS, batch=learned.BATCH, table=of_values(results))


def policies(results: dict[str, Any]) -> str:
    seeds = _seeds(results["policies"])
    return POLICIES.format(seeds=seeds, steps=tuned.STEPS, batch=tuned.BATCH, table=of_policies(results))


def _seeds(runs: dict[str, Any]) -> str:
    """How many every family has been trained with."""
    number = min(map(len, by_family(runs).values()))
    return "one seed" if number == 1 else f"{number} seeds"


def _next(best: Sequence[Method]) -> str:
    """What comes nearer by more calls."""
    if len(best) == 1:
        return "No method that was tried comes nearer, whatever it costs."
    names = [f"{told(each)} at {plain(each.calls)} ({plain(each.total_variation, 2)})" for each in best[1:]]
    return f"More calls come nearer: {', then '.join(names)}."


def told(method: Method) -> str:
    """Its name amid a sentence."""
    if method.family.startswith("Policy: "):
        name = method.name.removeprefix("Policy: ")
        return f"a policy trained by {name[0].lower()}{name[1:]}".replace("p*", "p\\*")
    name = method.name
    return f"{name[0].lower()}{name[1:]}" if name[1].islower() else name
