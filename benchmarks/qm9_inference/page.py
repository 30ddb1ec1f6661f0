"""The page of inference on QM9, written from its results."""

from benchmarks.common.estimates import apart
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.qm9_inference.findings import ALPHAS, findings
from benchmarks.qm9_inference.rows import KNOWN_ESS, Row, candidates, gather, known
from svlearn.evaluation.report.numbers import plain, with_error

COLUMNS = {
    "reward_quantile_90": "90 %",
    "connected": "One piece",
    "uniqueness": "Distinct",
    "diversity": "Diversity",
    "reference_calls_per_sample": "Reference calls",
    "value_calls_per_sample": "Value calls",
    "gradient_calls_per_sample": "Gradient calls",
    "reward_calls_per_sample": "Reward calls",
    "cpu_seconds_per_sample": "Seconds",
}

PICTURES = {
    "qm9_inference_diversity.svg": "Mean QED against diversity, by alpha",
    "qm9_inference_cost.svg": "Mean QED against reference calls and seconds, by alpha",
}
TITLE = "QM9: which sampler to run"
INTRODUCTION = """\
QED of molecules, from the masked graph diffusion that svlearn ships (T = 45), by every sampler of `svlearn.inference`
at four alphas. A sample may cost about 450 calls of the reference, the price of SVDD-PM with M = 10; what needs only
45 is shown at that, and beside it with all 450 spent. A row has {size} samples of each of {seeds} seeds. PM is
the posterior mean r(x̂_T); the learned value is that of SVDD-MC, a network (GIN) that regresses QED on noised
molecules ([how it is trained, and others](qm9.md)), trained anew for each seed and used at every alpha.
"""
METHODS = """\
## The methods

| Name | What it is |
| --- | --- |
| pretrained, best-of-10 | plain samples; the best of ten |
| SVDD-PM, SVDD-MC | M = 10 candidates a step, chosen among by PM or by the learned value |
| SVDD-MC, best of 10 | the best of ten such runs |
| SVDD-MC in SMC | ten of its lineages as particles that are resampled (nested SMC) |
| SVDD-MC, all candidates | `proposals.Exact`: every next state is weighed, the limit of large M |
| SVDD-R | SVDD-PM with M = 5, then four rounds: a quarter of the steps back, and guided again |
| guidance | one sample moved by the gradient of the learned value at the one-hots of x_t (scale 1) |
| TDS | ten particles so moved, weighed by the learned value and resampled |
| SMC-PM; SMC, learned | ten particles of the reference, weighed and resampled |
| SMC-PM, DAS | the same with λ_t = (1 + γ)^t - 1, which reaches 1 at T |
| beam | the best by value, 2 × 5 candidates for PM and 10 × 10 for the learned value; it reads no alpha |
| tree | ten roll-outs, `widening_factor = 1`; the value is the first guess of a node's worth |

DPS at the state (`at="state"`) does not apply: x_t is tokens, in which r(x̂_T) has no gradient, and `Guided` says so.
"""
NOTES = """\
± is one standard error, and "at 95 %" means 1.96 of the difference. It is that of the samples; for the mean QED of what
uses a learned value it is never less than half the distance of the seeds' means, all that two trainings tell of the
chance of training: where they lie far apart, a third may lie elsewhere. Distinct is the share of
distinct molecules among {size}, diversity the mean Tanimoto distance of pairs, one piece the share that is valid
and connected, 90 % a quantile of QED; all are means over seeds. Seconds are those of the processor, of one thread and
of the worker that scores molecules. What reads no alpha stands beside every alpha in the figures, and once in the
tables.

log Z is log E_ref[exp(r/alpha)] by the mean over groups of their estimates, which are unbiased (but for the tree's),
nats; where few groups carry that mean its error is too small. mean log Z is the mean of their logarithms, a lower bound
of log Z: what it lacks is at least KL(q to p\\*), q being the law of the molecule drawn, and is given as "KL at
most" where log Z is known. It is known from the {trajectories} trajectories that the values learned from, by their
importance weights, where these rest on {ess} trajectories at least.
"""


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    rows, truth = gather(held), held["truth"]
    if not rows:
        return not_measured(TITLE, "qm9_inference")
    seeds = sorted({seed for row in rows for seed in row.seeds})
    size = int(max(each["num_samples"] for row in rows for each in row.seeds.values()))
    short = [f"{row.name} (alpha = {row.alpha:g})" for row in rows if len(row.seeds) < len(seeds)]
    shown = [alpha for alpha in ALPHAS if any(row.alpha == alpha for row in rows)]
    ablation = [row for kind in ("SVDD-PM", "SVDD-MC") for row in candidates(rows, kind).values()]
    trajectories = next(iter(truth.values()))["num_trajectories"]
    return "\n".join(
        [
            opening(TITLE, f"**{headline(rows)}**", PICTURES),
            "Bars are 95 % intervals; the dashed line is the mean QED of p\\*, where it is known.\n",
            INTRODUCTION.format(size=size, seeds=len(seeds)),
            *([f"With fewer seeds as yet: {'; '.join(short)}.\n"] if short else []),
            "## What came out\n",
            *findings(rows, truth),
            "",
            METHODS,
            *[section(rows, alpha, truth.get(f"{alpha:g}")) for alpha in shown],
            "## How many candidates\n",
            "![QED against M and seconds](qm9_inference_candidates.svg)\n",
            table(ablation, None) if ablation else "",
            NOTES.format(size=size, trajectories=f"{trajectories:,}", ess=KNOWN_ESS),
            reproduce("qm9_inference", held, "One thread."),
        ]
    )


def headline(rows: list[Row]) -> str:
    """Who has the largest mean QED at each alpha, and whether it is told apart from SVDD-PM's."""
    sentences = []
    for alpha in ALPHAS:
        here = {row.name: row for row in rows if row.alpha == alpha and "M = " not in row.name}
        if here:
            best = max(here.values(), key=lambda row: row.reward[0])
            text = f"alpha = {alpha:g}: {best.name}, {with_error(*best.reward)}"
            if (rival := here.get("SVDD-PM")) is not None and rival is not best:
                side = "above" if apart(best.reward, rival.reward) else "not told apart from"
                text += f", {side} SVDD-PM, {with_error(*rival.reward)}"
            sentences.append(text)
    return f"The largest mean QED. {'; '.join(sentences)}."


def section(rows: list[Row], alpha: float, truth: dict | None) -> str:
    here = [row for row in rows if row.alpha == alpha and "M = " not in row.name]
    text = "" if truth is None else aim(truth)
    return f"## alpha = {alpha:g}\n\n{text}{table(sorted(here, key=lambda row: -row.reward[0]), truth)}"


def aim(truth: dict) -> str:
    """What the reference's own trajectories say of p*."""
    mean = with_error(truth["mean_reward"], truth["mean_reward_standard_error"])
    log_normalizer = with_error(truth["log_normalizer_nats"], truth["log_normalizer_standard_error_nats"])
    unsure = "" if known(truth) else ", too unsure to judge by"
    return (
        f"p\\*: mean QED {mean}, log Z {log_normalizer}, KL(p\\* to p_ref) {plain(truth['kl_nats'], 3)} nats{unsure}; "
        f"the weights rest on {plain(truth['ess'], 3)} of {truth['num_trajectories']:,} trajectories.\n\n"
    )


def table(rows: list[Row], truth: dict | None) -> str:
    nats = ["log Z", "mean log Z", "KL at most"] if truth is not None else []
    header = ["Method", "Mean QED", "Seeds' means", *COLUMNS.values(), *nats]
    cells = []
    for row in rows:
        means = ", ".join(f"{each:.3f}" for each in row.seed_means)
        estimates = [row.log_normalizer, row.mean_log_normalizer, row.divergence(truth)] if truth is not None else []
        written = ["–" if each is None else with_error(*each) for each in estimates]
        cells.append([row.name, row.reward_text, means, *(plain(row.mean(name), 3) for name in COLUMNS), *written])
    return markdown_table(header, cells)
