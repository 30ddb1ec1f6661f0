"""The page of the sampler benchmarks, docs/leaderboards/densities.md, written from its results."""

import statistics

from benchmarks.common.dots import Dot, Panel, chart
from benchmarks.common.estimates import NORMAL, apart
from benchmarks.common.pages import markdown_table, opening, reproduce
from svlearn.evaluation.report.numbers import plain, with_error

# |Δ log Z| as others report it; see `SOURCES` for where, and for what differs.
PUBLISHED = {
    ("many-well-2", "log-variance"): "diverged",
    ("many-well-50", "log-variance"): "1.36",
    ("many-well-100", "log-variance"): "1.81",
    ("many-well-200", "log-variance"): "1.96",
    ("many-well-2", "adjoint-matching"): "1.36",
    ("many-well-50", "adjoint-matching"): "3.43",
    ("many-well-100", "adjoint-matching"): "3.46",
    ("many-well-200", "adjoint-matching"): "3.32",
    ("many-well-2", "trust-region"): "0.000",
    ("many-well-50", "trust-region"): "0.000",
    ("many-well-100", "trust-region"): "0.002",
    ("many-well-200", "trust-region"): "0.002",
    ("funnel-10", "log-variance"): "0.64 (DIS)",
    ("gmm40", "log-variance"): "0.09 (DIS, another 2-d mixture)",
}
HEADER = (
    "Density", "Method", "abs. Δ log Z", "published", "KL(q to p\\*)", "KL(p\\* to q)", "ESS share",
    "abs. Δ log Z, SMC", "Steps", "Steps / s", "Seconds", "CPU seconds",
)  # fmt: skip
TITLE, NAME = "Sampler benchmarks", "densities.svg"
INTRODUCTION = """
How near a learned policy comes to a density of known log Z, from nothing but its log-density and gradient.

"""
SOURCES = """
abs. Δ log Z: distance of the estimate to the known log Z, nats, by the importance weights of trajectories of the
learned policy; ± is one standard error of log Z. Where the ESS share is below about 1 in 100 that error is itself
unreliable, and too small. KL(q to p\\*) = log Z - ELBO, and KL(p\\* to q) = EUBO - log Z, nats, are those of whole
trajectories; the second is taken on exact trajectories of p\\*, so it shows what the first cannot see, a mode that
the policy has lost. SMC: 10 groups of 1,000 particles that the policy moves, twisted by the reward of the
reference's prediction, which is a poor guide early on. Each row is one seed unless it says otherwise; what is not in
the table has not been measured.

The published figures for the many-well are those of figure 3 of trust-region stochastic optimal control (arXiv
2508.12511), read as log-variance, adjoint matching and trust-region log-variance; those marked DIS are one independent
rerun of the log-variance sampler. They are not the same experiment:

- **Process.** Ours runs from the point 0 by Gaussian steps of a fixed, annealed std ({steps} steps), so that even the
  best policy keeps a KL of the order 1/T; theirs is a discretised diffusion of its own.
- **Network.** A perceptron of width {hidden} that reads x and the gradient of the log-density, and a small one that all
  coordinates share, each with its own place and slope (`svlearn.domains.analytic.networks.LangevinControl`). The
  second suits a product density such as the many-well; no coordinate is told what it is.
- **Settings.** Network, learning rate, batch and schedule were chosen on trial runs of the trust region on the
  many-well, and the other methods were given the same: the comparison leans towards the trust region.
- **Budget.** The seconds are of one thread of a shared, busy machine, so the steps a second compare the methods only
  roughly; the CPU seconds, where they were taken, are those of the training alone. The other methods get fewer
  gradient steps, for theirs cost more: each rolls out anew. The published runs had a budget of their own, which we do
  not know in full.
- **Estimator.** Ours is log mean w over {samples} trajectories; of theirs we know the figure alone.
"""


def page(results: dict[str, dict]) -> str:
    """The table, a row for each density and method, mean over the seeds; and what the figures are."""
    cells: dict[tuple[str, str], list[dict]] = {}
    for name, entry in results.items():
        density, method, _ = name.split("/")
        cells.setdefault((density, method), []).append(entry)
    rows = [_row(density, method, entries) for (density, method), entries in cells.items()]
    rows += [_empty(*key, "not measured", figure) for key, figure in PUBLISHED.items() if key not in cells]
    settings = [entry["case"] for entry in results.values()]
    return (
        opening(TITLE, f"**{finding(results)}**", {NAME: "Both divergences from the density, by density and method"})
        + INTRODUCTION
        + markdown_table(HEADER, rows, left=2)
        + SOURCES.format(
            steps=_span(case["num_steps"] for case in settings),
            hidden=_span(case["hidden"] for case in settings),
            samples=_span(case["num_samples"] for case in settings),
        )
        + "\n"
        + reproduce("densities", results)
    )


def divergences(results: dict[str, dict]) -> dict[str, dict[str, dict[str, tuple[float, float]]]]:
    """KL both ways with its error, by density, method and way; the mean over seeds."""
    entries: dict[str, dict[str, list[dict]]] = {}
    for name, entry in results.items():
        density, method, _ = name.split("/")
        if "failed" not in entry:
            entries.setdefault(density, {}).setdefault(method, []).append(entry)
    return {
        density: {
            method: {
                way: (
                    statistics.fmean(each[way] for each in own),
                    sum(each[f"{way}_error"] ** 2 for each in own) ** 0.5 / len(own),
                )
                for way in ("reverse_kl", "forward_kl")
            }
            for method, own in methods.items()
        }
        for density, methods in entries.items()
    }


def figures(results: dict[str, dict]) -> dict[str, str]:
    """SVG by file name: a panel each way, densities in the order of the nearest."""
    panels = []
    for way, title in (("reverse_kl", "KL(q to p*)"), ("forward_kl", "KL(p* to q)")):
        dots = [
            Dot(density, mean, max(mean - NORMAL * error, 1e-3), mean + NORMAL * error, method)
            for density, methods in divergences(results).items()
            for method, ways in methods.items()
            for mean, error in [ways[way]]
        ]
        label = "nats, of whole trajectories; 95 % interval of the samples"
        panels.append(Panel(title, label, dots, best="low", logarithmic=True))
    return {NAME: chart("densities", panels)}


def finding(results: dict[str, dict]) -> str:
    """Where which method is nearest both ways, told apart from the next."""
    nearest: dict[str, list[str]] = {}
    for density, methods in divergences(results).items():
        if len(methods) > 1:
            first, *_ = winner = sorted(methods, key=lambda name: methods[name]["reverse_kl"][0])
            told = all(
                methods[first][way][0] < methods[other][way][0] and apart(methods[first][way], methods[other][way])
                for way in ("reverse_kl", "forward_kl")
                for other in winner[1:]
            )
            nearest.setdefault(first if told else "no method alone", []).append(density)
    said = [f"{method} on {', '.join(densities)}" for method, densities in nearest.items()]
    return (
        f"Nearest to the density by both divergences, told apart from all other methods there: {'; '.join(said)}; the "
        "training budgets are not equal, and each figure is of one training."
    )


def _row(density: str, method: str, entries: list[dict]) -> tuple[str, ...]:
    failed = [entry["failed"] for entry in entries if "failed" in entry]
    label = method if len(entries) == 1 else f"{method} ({len(entries)} seeds)"
    published = PUBLISHED.get((density, method), "–")
    if failed:
        return _empty(density, label, "diverged", published)

    def mean(name: str) -> float:
        return statistics.fmean(entry[name] for entry in entries)

    def estimate(name: str, absolute: bool = False) -> str:
        values = [abs(entry[name]) if absolute else entry[name] for entry in entries]
        error = sum(entry[f"{name}_error"] ** 2 for entry in entries) ** 0.5 / len(entries)
        return with_error(statistics.fmean(values), error)

    return (
        density,
        label,
        estimate("delta_log_z", absolute=True),
        published,
        estimate("reverse_kl"),
        estimate("forward_kl"),
        f"{mean('ess'):.2g}",
        estimate("smc_delta_log_z", absolute=True),
        plain(mean("steps")),
        plain(mean("steps_per_second"), 2),
        plain(mean("seconds"), 3),
        plain(mean("cpu_seconds"), 3) if all("cpu_seconds" in entry for entry in entries) else "–",
    )


def _empty(density: str, label: str, reason: str, published: str) -> tuple[str, ...]:
    return (density, label, reason, published, *["–"] * (len(HEADER) - 4))


def _span(numbers) -> str:
    low, high = min(numbers := list(numbers)), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
