"""The figure of docs/leaderboards/objectives.md: how far each family is from the exact answer, oracle by oracle."""

from typing import Any

from benchmarks.common.dots import Panel, chart, spread

NAME = "objectives.svg"
ORACLES = {
    "gaussian3": "linear-Gaussian chain, 3-d",
    "gaussian10": "linear-Gaussian chain, 10-d, plain MLP",
    "markov": "Markov chain",
    "tree": "token tree",
}  # of those with an exact value and an exact best ELBO, at the usual number of steps
LEAST = 1e-7  # what is below it is drawn there


def figures(results: dict[str, Any]) -> dict[str, str]:
    """SVG by file name."""
    panels = []
    for figure, title, label in (
        ("worst_r2", "Values", "1 - worst R² over t; from seed to seed"),
        ("gap", "Policies", "gap to the best ELBO, nats; from seed to seed"),
    ):
        dots = [
            spread(family, [max(LEAST, 1 - each if figure == "worst_r2" else each) for each in found], ORACLES[oracle])
            for (oracle, family), found in by_family(results, figure).items()
        ]
        panels.append(Panel(title, label, dots, best="low", logarithmic=True))
    return {NAME: chart("objectives", [panel for panel in panels if panel.dots])}


def by_family(results: dict[str, Any], figure: str) -> dict[tuple[str, str], list[float]]:
    """A figure of each seed by oracle and family, where it is known."""
    found: dict[tuple[str, str], list[float]] = {}
    for key, entry in results["entries"].items():
        oracle, family, _ = key.split("/")
        if oracle in ORACLES and entry.get(figure) is not None:
            found.setdefault((oracle, family), []).append(entry[figure])
    return found
