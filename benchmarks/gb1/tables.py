"""The tables of docs/leaderboards/gb1.md."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from benchmarks.common.pages import markdown_table
from benchmarks.gb1.findings import Method, by_family
from benchmarks.gb1.problem import ALPHAS, CANDIDATES, CHOSEN
from svlearn.evaluation.report.numbers import plain

SHOWN = (CHOSEN, CANDIDATES[-1])  # settings of those that are summed
SCORES = ("soft, p_ref", "soft, p*", "mean, p_ref", "mean, p*")


def of_samplers(results: dict[str, Any], found: Sequence[Method]) -> str:
    """All but the policies, the summed ones at two settings."""
    drawn, rows = results["samplers"], []
    for each in found:
        if each.family.startswith("Policy"):
            continue
        if each.exact and each.setting and int(each.setting.rpartition(" ")[2]) not in SHOWN:
            continue
        own = drawn.get(each.name, {})
        error = own.get("log_z_error")
        rows.append(
            [
                each.name,
                each.kind,
                plain(each.calls),
                plain(each.network_calls),
                plain(each.total_variation, 3),
                "summed" if each.exact else plain(own["of_exact_draws"], 3),
                "–" if error is None else plain(error, 2),
                plain(each.fitness, 3),
            ]
        )
    costs, distances = ["calls", "all networks"], ["distance to p\\*", "of exact draws", "error of log Z"]
    header = ["Sampler", "needs", *costs, *distances, "mean fitness"]
    return markdown_table(header, rows, left=2)


def of_sweeps(results: dict[str, Any]) -> str:
    """By reference, alpha and sampler: the distance, and the mean fitness in brackets."""
    rows = []
    for name, alpha in [("gb1", each) for each in ALPHAS] + [("library", each) for each in ALPHAS]:
        held = results["sweeps"].get(f"{name}/{alpha}", {})
        label = "shipped" if name == "gb1" else "library"
        for kind, by_number in held.items():
            cells = [_both(by_number[str(number)]) for number in CANDIDATES]
            rows.append([label, plain(alpha), kind, *cells])
    header = ["p_ref", "alpha", "Sampler", *(f"M = {number}" for number in CANDIDATES)]
    return markdown_table(header, rows, left=3)


def of_values(results: dict[str, Any]) -> str:
    """A row each objective, and those that need no training."""
    runs = by_family(results["values"]) | {
        f"*{name}*": [row] for name, row in results["values"].get("untrained", {}).items()
    }
    rows = []
    for name, each in runs.items():
        scores = [plain(fmean(run["r2"][score] for run in each), 3) for score in SCORES]
        others = [_small(fmean(run[kind] for run in each)) for kind in ("svdd", "exact_proposal")]
        rows.append([name, *scores, *others])
    header = ["Objective", *(f"R² {score}".replace("*", "\\*") for score in SCORES), "SVDD", "exact steps"]
    return markdown_table(header, rows)


def of_policies(results: dict[str, Any]) -> str:
    """A row each objective, the reference itself and p* last."""
    runs = by_family(results["policies"])
    runs |= {f"*{name}*": [row] for name, row in results["policies"].get("untrained", {}).items()}
    rows = []
    for name, each in runs.items():
        mean = {kind: fmean(run[kind] for run in each) for kind in each[0] if isinstance(each[0][kind], float)}
        rows.append(
            [
                name.replace("p*", "p\\*"),
                f"{_small(mean['reverse'])} ({_small(mean['reverse_path'])})",
                f"{_small(mean['forward'])} ({_small(mean['forward_path'])})",
                _small(mean["total_variation"]),
                plain(mean["fitness"], 3),
                plain(mean["cpu_seconds"], 2) if "cpu_seconds" in mean else "–",
            ]
        )
    header = ["Objective", "KL(q‖p\\*)", "KL(p\\*‖q)", "distance to p\\*", "mean fitness", "CPU seconds"]
    return markdown_table(header, rows)


def _both(row: dict[str, float]) -> str:
    return f"{plain(row['total_variation'], 3)} ({plain(row['fitness'], 3)})"


def _small(number: float) -> str:
    """What is 0 but for rounding as 0."""
    return "0" if abs(number) < 1e-9 else plain(number, 3)
