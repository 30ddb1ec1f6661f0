"""The page of GDSS unguided, written from its results."""

from benchmarks.common.pages import markdown_table
from svlearn.evaluation.report.numbers import between, plain, with_error

PAGE = """\
# GDSS unguided

Molecules of the authors' checkpoints for ZINC-250k (v1 and v2) at 200 predictor steps: the model that the
[tables of the SVDD paper](gdss.md) start from. QED is that of the largest piece after the repair of valences; validity
and one piece are shares of the molecules as they come. *Batch norms*: the corrector's step from norms averaged over the
batch, as in the authors' code, which couples the molecules of a batch; otherwise each molecule has its own.

{rows}
In brackets 95 % bootstrap intervals. {coupling} Without the corrector the same 200 steps give far worse molecules.

## How near to the data

{distribution}
Machine: {cpu}, {cores} cores shared with other work, one thread. All figures: `benchmarks/results/gdss_baseline.json`,
by `python -m benchmarks gdss_baseline`, which writes this page too.
"""
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
    provenance = next(iter(held["rows"].values()))["provenance"]
    texts = [
        f"By themselves and coupled, molecules of {name} differ in mean QED by "
        f"{with_error(figures['difference_of_means'], figures['standard_error'], sign=True)}, and a Kolmogorov-Smirnov "
        f"test of one law for both has p = {figures['kolmogorov_smirnov_p_value']:.2f}."
        for name, figures in held["coupling"].items()
    ]
    near = held.get("distribution")
    return PAGE.format(
        rows=table(held), coupling=" ".join(texts), distribution="Not measured.\n" if near is None else distances(near),
        cpu=provenance["cpu"], cores=provenance["cores"],
    )  # fmt: skip


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
