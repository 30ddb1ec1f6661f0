"""What the results say: every method with its calls and its distance to p*, and which comes nearest for its calls."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from benchmarks.gb1.problem import ALPHA, CANDIDATES
from benchmarks.gb1.samplers import DRAWN, EXACT, LEARNED, PM, SOFTEST

STEPS = 4
TRAINED, FREE, ORACLE = "trained", "training-free", "oracle"


@dataclass(frozen=True)
class Method:
    """A method with its settings: calls of the reference or the policy a sample, of all networks, and the total
    variation of its law to p*; exact: summed, not drawn. kind: what it needs."""

    family: str
    setting: str
    kind: str
    calls: float
    network_calls: float
    total_variation: float
    fitness: float
    exact: bool = True
    log_z_error: float | None = None

    @property
    def name(self) -> str:
        return f"{self.family}, {self.setting}" if self.setting else self.family


def methods(results: dict[str, Any]) -> list[Method]:
    """All of them at the one alpha, the summed ones first."""
    return [*_summed(results), *_policies(results), *_drawn(results)]


def frontier(found: Iterable[Method]) -> list[Method]:
    """Those that none of as few calls beats, fewest calls first; what needs the exact value is left out."""
    best: list[Method] = []
    for method in sorted(found, key=lambda each: (each.calls, each.total_variation)):
        if method.kind != ORACLE and (not best or method.total_variation < best[-1].total_variation):
            best.append(method)
    return best


def nearest(found: Iterable[Method], kind: str) -> Method:
    """That of the kind nearest p*."""
    return min((each for each in found if each.kind == kind), key=lambda each: each.total_variation)


def _summed(results: dict[str, Any]) -> list[Method]:
    rows = results["sweeps"][f"gb1/{ALPHA}"]
    found = [_of("p_ref", "", FREE, STEPS, STEPS, rows["best-of-N"]["1"])]
    for number in CANDIDATES[1:]:
        key, calls = str(number), 1 + (STEPS - 1) * number
        found += [
            _of("best-of-N", f"N = {key}", FREE, STEPS * number, STEPS * number, rows["best-of-N"][key]),
            _of(f"SVDD, {PM}", f"M = {key}", FREE, calls, calls, rows[f"SVDD, {PM}"][key]),
            _of(f"SVDD, {SOFTEST}", f"M = {key}", ORACLE, STEPS, STEPS + calls, rows[f"SVDD, {SOFTEST}"][key]),
            _of(f"SVDD, {EXACT}", f"M = {key}", ORACLE, STEPS, STEPS + calls, rows[f"SVDD, {EXACT}"][key]),
        ]
        learned = results["learned"]["svdd"][f"SVDD, {LEARNED}"][key]
        found.append(_of(f"SVDD, {LEARNED}", f"M = {key}", TRAINED, STEPS, STEPS + calls, learned))
    outcomes = 4 * 20 + 3 * 20 + 2 * 20
    steps = results["learned"]["svdd"]["exact steps"]
    return [*found, _of(f"Exact steps, {LEARNED}", "", TRAINED, STEPS, STEPS + outcomes, steps)]


def _policies(results: dict[str, Any]) -> list[Method]:
    found = []
    for family, runs in by_family(results["policies"]).items():
        variation, fitness = (fmean(each[name] for each in runs) for name in ("total_variation", "fitness"))
        found.append(Method(f"Policy: {family}", "", TRAINED, STEPS, STEPS, variation, fitness))
    return found


def _drawn(results: dict[str, Any]) -> list[Method]:
    found = []
    for name in (name for name in DRAWN if name in results["samplers"]):
        row = results["samplers"][name]
        family, mark, size = name.rpartition(", K =")
        setting = f"K ={size}" if mark else ""
        if name.startswith(("SVDD, r(", f"SVDD, {LEARNED}", "Exact")):
            continue  # summed
        kind = TRAINED if LEARNED in name else ORACLE if EXACT in name else FREE
        networks = row["reference_calls"] + row["gradient_calls"] + (row["value_calls"] if kind != FREE else 0)
        found.append(
            Method(
                family if mark else name,
                setting,
                kind,
                row["reference_calls"],
                networks,
                row["total_variation"],
                row["fitness"],
                exact=False,
                log_z_error=row["log_z_error"],
            )
        )
    return found


def _of(family: str, setting: str, kind: str, calls: float, networks: float, row: dict[str, float]) -> Method:
    return Method(family, setting, kind, calls, networks, row["total_variation"], row["fitness"])


def by_family(runs: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The runs of each family, one a seed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for key, run in runs.items():
        family, mark, _ = key.rpartition("/")
        if mark:
            found.setdefault(family, []).append(run)
    return found
