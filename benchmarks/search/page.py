"""The page docs/leaderboards/search.md, written from its results."""

from typing import Any

from benchmarks.common.estimates import apart
from benchmarks.common.pages import markdown_table, opening, reproduce
from svlearn.evaluation.report.numbers import plain, with_error

INTRODUCTION = """
How near the samplers of `svlearn` come to the target p\\* and to log Z, held against processes of which both are exact.

The chain has 5 states and 5 steps, at alpha = {alpha}; the reference alone is {start} away from p\\* in total
variation. ± is one standard error.

"""
BUDGETS = """## Tree search or SMC?

{table}
The distance is that of the law of one group; its bias is the distance of the mean law of {groups} groups, which more
groups do not take away.

- **Want samples of p\\*, or log Z? Take `smc`.** With {budget} particles a group is {smc} from p\\*, where a
  tree of as many roll-outs is {tree}; and its estimate of Z is unbiased at any budget
  ({smc_z} of Z), while that of a tree is too low ({tree_z}).
- **Leave `prior_children` of `tree_search` at 1.** The paper's own backup gives up on nodes whose first roll-out was
  unlucky: {paper} at {budget} roll-outs, hardly better than at {before} ({paper_before}).
- **On so short a chain an exact value gains nothing.** SMC with the value resamples on the way, and keeps fewer
  distinct ends for it ({smc_exact} against {smc}). A value pays where the reference
  seldom reaches the reward: see [QM9](qm9.md).
- What speaks for a tree: it may be grown on for as long as there is time, and costs fewer calls of the reference
  ({tree_calls} in the place of {smc_calls}), for it comes by the same nodes again.

"""
ROUNDS = """## Refinement: replace, or particle Gibbs?

![Total variation to p* by round](search-rounds.svg)

From draws of the reference, each round goes two steps back and on again by SMC of 8 particles without look-ahead.

- **Want p\\*? Use `refine(..., keep="particle_gibbs")`.** It leaves p\\* as it is with any value and any number of
  particles, and goes on towards it: {gibbs} after {rounds} rounds.
- **`keep="replace"` (SVDD-R) is for a better reward soon.** It stops at {replace}: what 8 particles cannot say of p\\*
  comes in again each round. More particles lower that floor, more rounds do not ({before} four rounds earlier).

"""
BEAMS = """## Beam search

![Share that finds the largest reward, by width](search-beams.svg)

The share of groups in which the largest reward of all is found, with the exact mean value and 4 candidates to a
particle; best-of-N has as many reference calls, for the value reads (x, t) alone.

- **Looking for one best sample with a value that you trust? A narrow beam is enough.** Width 1, which is greedy SVDD,
  finds it in {one} of groups, width 2 in {two}; best-of-N with {many} times the calls in {best}.

"""
BOUNDS = """## Bounds on log Z, and the KLs below them

![Lower and upper bounds on log Z by particles](search-bounds.svg)

`normalizer_bounds` gives lower <= log Z <= upper in expectation, from {runs} runs of each kind here. log Z - lower is
at least KL(q‖p\\*), upper - log Z at least KL(p\\*‖q), q being the law of what a run draws in the end. For importance
sampling and for SVDD on the chain these are known by quadrature: exact, not estimated.

![The gap and the exact KLs by particles](search-gaps.svg)

{tables}
- **The bounds hold, and close as 1/K.** From 16 to 64 particles the gap of importance sampling falls {fall_chain}-fold
  on the chain, {fall_gaussian}-fold on the Gaussian one.
- **With one particle they are the KLs themselves.** With more they answer for all particles of a run, of which you draw
  one: at 64 the chain's log Z - lower is {lower} nats, KL(q‖p\\*) is {kl}. So a small gap
  proves that samples are good; a large one does not prove that they are bad.
- **Read both sides.** The lower one alone cannot see a mode that the sampler never finds; the upper one needs exact
  draws of p\\*, which only an oracle has: else `normalizer_bounds` estimates it from its own runs, and says so.

"""


def page(results: dict[str, Any]) -> str:
    """The whole page, Markdown."""
    start, settings = results["rounds"]["replace"][0], results["settings"]
    pictures = {"search-budgets.svg": "Total variation to p* by reference calls"}
    return (
        opening("Search, refinement and bounds", f"**{finding(results)}**", pictures)
        + INTRODUCTION.format(start=plain(start, 2), alpha=settings["alpha"])
        + budgets(results["budgets"], settings["groups"])
        + rounds(results["rounds"])
        + beams(results["beams"])
        + bounds(results["bounds"], settings["runs"])
        + reproduce("search", results, "One thread.")
    )


def finding(results: dict[str, Any]) -> str:
    """How near to p* SMC, a tree and the kinds of refinement come."""
    *_, budget = results["budgets"]["smc"]
    smc, tree = (results["budgets"][kind][budget]["total_variation"] for kind in ("smc", "tree search"))
    last = {kind: each[-1] for kind, each in results["rounds"].items()}
    nearest = min(last, key=lambda kind: last[kind])
    others = ", ".join(f"{kind} {plain(each, 2)}" for kind, each in last.items() if kind != nearest)
    side = "nearer to p\\* than" if smc[0] < tree[0] else "farther from p\\* than"
    told = side if apart(tuple(smc), tuple(tree)) else "not told apart from"
    return (
        f"With {budget} particles SMC is {with_error(*smc)} from p\\* in total variation, {told} a tree of as many "
        f"roll-outs, {with_error(*tree)}; of refinements {nearest} ends nearest, {plain(last[nearest], 2)} away "
        f"({others})."
    )


def budgets(results: dict[str, Any], groups: int) -> str:
    *_, before, budget = results["smc"]
    rows = [
        [kind, size, plain(row["reference_calls"]), with_error(*row["total_variation"]),
         plain(row["total_variation_of_mean"], 2), with_error(*row["normalizer_ratio"])]
        for kind, by_budget in results.items()
        for size, row in by_budget.items()
    ]  # fmt: skip

    def distance(kind: str, size: str = budget) -> str:
        return with_error(*results[kind][size]["total_variation"])

    tree, smc = results["tree search"][budget], results["smc"][budget]
    return BUDGETS.format(
        table=markdown_table(
            ["Sampler", "budget", "reference calls", "distance to p\\*", "its bias", "E[Z_hat]/Z"], rows
        ),
        groups=f"{groups:,}",
        budget=budget,
        before=before,
        smc=distance("smc"),
        tree=distance("tree search"),
        smc_z=with_error(*smc["normalizer_ratio"]),
        tree_z=with_error(*tree["normalizer_ratio"]),
        paper=distance("tree search, paper's backup"),
        paper_before=distance("tree search, paper's backup", before),
        smc_exact=distance("smc, exact value"),
        tree_calls=plain(tree["reference_calls"], 3),
        smc_calls=plain(smc["reference_calls"]),
    )


def rounds(results: dict[str, list[float]]) -> str:
    replace = results["replace"]
    return ROUNDS.format(
        gibbs=plain(results["particle_gibbs"][-1], 2),
        rounds=len(replace) - 1,
        replace=plain(replace[-1], 2),
        before=plain(replace[-5], 2),
    )


def beams(results: dict[str, dict[str, float]]) -> str:
    many = list(results)[-1]
    share = {width: f"{100 * row['beam search']:.3g} %" for width, row in results.items()}
    return BEAMS.format(one=share["1"], two=share["2"], many=many, best=f"{100 * results[many]['best-of-N']:.3g} %")


def bounds(results: dict[str, Any], runs: int) -> str:
    def fall(oracle: str) -> str:
        rows = results[oracle]["samplers"]["importance sampling"]
        return plain(rows["16"]["gap"][0] / rows["64"]["gap"][0], 2)

    titles = ["Sampler", "K or M", "log Z - lower", "KL(q‖p\\*)", "upper - log Z", "KL(p\\*‖q)", "gap"]
    tables = []
    for oracle, of_oracle in results.items():
        log_z = of_oracle["log_normalizer"]
        rows = [
            [kind, size, with_error(log_z - row["lower"][0], row["lower"][1]), known(row["kl_to_target"]),
             with_error(row["upper"][0] - log_z, row["upper"][1]), known(row["kl_from_target"]),
             with_error(*row["gap"])]
            for kind, by_size in of_oracle["samplers"].items()
            for size, row in by_size.items()
            if size in ("1", "4", "16", "64")
        ]  # fmt: skip
        tables.append(f"On the {oracle}, log Z = {log_z:.4f} nats:\n\n{markdown_table(titles, rows)}")
    chain = results["Markov chain"]
    last = chain["samplers"]["importance sampling"]["64"]
    return BOUNDS.format(
        runs=f"{runs:,}",
        tables="\n".join(tables),
        fall_chain=fall("Markov chain"),
        fall_gaussian=fall("linear-Gaussian chain"),
        lower=with_error(chain["log_normalizer"] - last["lower"][0], last["lower"][1]),
        kl=known(last["kl_to_target"]),
    )


def known(number: float | None) -> str:
    return "–" if number is None else plain(number, 3)
