"""The page of GDSS unguided, written from its results."""

from benchmarks.common.dots import FREE, OTHER, Dot, Panel, chart, dot
from benchmarks.common.pages import markdown_table, opening, reproduce
from svlearn.evaluation.report.numbers import between, plain, with_error

TITLE, NAME, AUTHORS = "GDSS unguided", "gdss_unguided.svg", "authors' code, 200 steps, 64 molecules"
PAGE = """\
{opening}
Molecules of the authors' checkpoints for ZINC-250k (v1 and v2) at 200 predictor steps: the model that the
[tables of the SVDD paper](gdss.md) start from. QED is that of the largest piece after the repair of valences; validity
and one piece are shares of the molecules as they come. *Batch norms*: the corrector's step from norms averaged over the
batch, as in the authors' code, which couples the molecules of a batch; otherwise each molecule has its own.

{rows}
In brackets 95 % bootstrap intervals. {coupling} Without the corrector the same 200 steps give far worse molecules.

## How near to the data

{distribution}
{reproduce}"""
NEAR = """\
{number:,} molecules of v1, the trajectories that values learn from, beside {reference:,} of ZINC-250k drawn at random;
and, for what so few molecules make of a perfect model, as many others of ZINC-250k.

{table}
Repaired molecules for all but the first two columns; new are those that ZINC-250k does not have. The paper (arXiv
2202.02514, table 2) has 1,000 predictor steps and counts against its own test set; distances fall as molecules become
more.
"""
COLUMNS = {
    "validity": "Valid",
    "connected": "One piece",
    "uniqueness": "Distinct",
    "novelty": "New",
    "diversity": "Diversity",
    "scaffold_diversity": "Scaffolds a molecule",
    "fcd": "FCD",
    "nspdk": "NSPDK MMD",
}
PAPER = ["GDSS paper, 10,000 molecules", "0.970", "–", "–", "–", "–", "–", "14.7", "0.019"]


def page(held: dict) -> str:
    """The Markdown of the results."""
    texts = [
        f"By themselves and coupled, molecules of {name} differ in mean QED by "
        f"{with_error(figures['difference_of_means'], figures['standard_error'], sign=True)}, and a Kolmogorov-Smirnov "
        f"test of one law for both has p = {figures['kolmogorov_smirnov_p_value']:.2f}."
        for name, figures in held["coupling"].items()
    ]
    near = held.get("distribution")
    return PAGE.format(
        rows=table(held), coupling=" ".join(texts), distribution="Not measured.\n" if near is None else distances(near),
        opening=opening(TITLE, f"**{finding(held)}**", {NAME: "Mean QED of unguided molecules, ours and the authors'"}),
        reproduce=reproduce("gdss_baseline", held),
    )  # fmt: skip


def figures(held: dict) -> dict[str, str]:
    """SVG by file name: our rows with their intervals, and what others give without one."""
    dots = [dot(name, estimate(row)) for name, row in held["rows"].items()]
    dots += [
        Dot(name, row["mean_reward"], row["mean_reward"], row["mean_reward"], OTHER)
        for name, row in held["published"].items()
        if "mean_reward" in row
    ]
    kinds = {FREE: "svlearn", OTHER: "the authors' code"}
    dots = [Dot(each.name, each.at, each.low, each.high, kinds[each.kind]) for each in dots]
    return {NAME: chart("gdss_unguided", [Panel("Unguided", "mean QED, 95 % interval", dots)])}


def estimate(row: dict) -> tuple[float, float]:
    return row["figures"]["mean_reward"], row["figures"]["mean_reward_standard_error"]


def finding(held: dict) -> str:
    """The checkpoint v1 beside the authors' code and the paper."""
    mean, error = estimate(held["rows"]["v1"])
    theirs, paper = held["published"][AUTHORS]["mean_reward"], held["published"]["paper, table 2"]
    quantile = held["rows"]["v1"]["figures"]["reward_quantile_80"]
    words = "within 1.96 of our standard errors of" if abs(mean - theirs) <= 1.96 * error else "away from"
    return (
        f"Unguided molecules of v1 have a mean QED of {with_error(mean, error)}, {words} the {theirs:.3f} of the "
        f"authors' own code; their 80 % quantile is {quantile:.3f}, the paper's {paper['reward_quantile_80']:.3f}."
    )


def table(held: dict) -> str:
    header, rows = ["", "Molecules", "Mean QED", "80 %", "90 %", "Valid", "One piece", "Diversity"], []
    for name, row in held["rows"].items():
        figures = row["figures"]
        quantiles = [
            f"{figures[key]:.3f} ({between(figures[f'{key}_low'], figures[f'{key}_high'])})"
            for key in ("reward_quantile_80", "reward_quantile_90")
        ]
        shares = [plain(figures[f"{key}, as they come"], 3) for key in ("validity", "connected")]
        mean = with_error(figures["mean_reward"], figures["mean_reward_standard_error"])
        rows.append(
            [name, f"{figures['num_samples']}", mean, *quantiles, *shares, plain(figures["diversity, repaired"], 3)]
        )
    for name, figures in held["published"].items():
        mean = f"{figures['mean_reward']:.3f}" if "mean_reward" in figures else "–"
        quantiles = [f"{figures[f'reward_quantile_{level}']:.3f}" for level in (80, 90)]
        rows.append([f"*{name}*", "–", mean, *quantiles, "–", "–", "–"])
    return markdown_table(header, rows)


def distances(near: dict) -> str:
    rows = [
        [name, *("–" if figures.get(key) is None else plain(figures[key], 3) for key in COLUMNS)]
        for name, figures in near["sets"].items()
    ]
    text = markdown_table(["", *COLUMNS.values()], [*rows, PAPER])
    return NEAR.format(number=near["number"], reference=near["reference"], table=text)
