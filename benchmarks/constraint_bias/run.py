"""Grammars as constraints of a language model: the bias of locally masked decoding, and its correction, against truth.

    python -m benchmarks constraint_bias                     # what is not measured yet: minutes on one core
    python -m benchmarks constraint_bias --genlm PYTHON      # also genlm-control, by an interpreter that has it
    python -m benchmarks constraint_bias --quote             # write the page from the results that are there

Continuations of two tokens of stories260k, 512² of them, whose posterior given a regular expression with dead ends is
enumerated. 10,000 groups a row, one draw of each; beside them as many exact draws, ten times: the floor. Then texts of
up to twenty tokens, by svlearn and by genlm-control with the same model, expression and particles (beside.py).
docs/leaderboards/constraint_bias.md is written from benchmarks/results/constraint_bias.json.
"""

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import Tensor

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.common.command import add_choice
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.constraint_bias import beside
from benchmarks.constraint_bias.page import figures, page
from benchmarks.constraint_bias.problem import PROMPT, grammar, places, reference, truth
from svlearn.domains.language.constraints import Completable, CompletableInTime
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import KINDS
from svlearn.randomness import seeded
from svlearn.values import Value, Zero

RESULTS = Results("constraint_bias", {"rows": {}, "truth": {}, "beside": {}})
PAGE = PAGES / "constraint_bias.md"
GROUPS, AT_ONCE, REPEATS, SEED = 10_000, 1_000, 10, 1


def masked(value: Value, number: int) -> sv.Sampler:
    return sv.smc(reference(), target(), value, number, proposal=sv.proposals.Exact(value, last="value"))


def target() -> sv.Target:
    return sv.targets.constraint(grammar())


def blind() -> Value:
    return Completable(grammar())


def in_time() -> Value:
    return CompletableInTime(grammar())


ROWS: dict[str, Callable[[], sv.Sampler]] = {
    "reference": lambda: sv.ancestral(reference(), target()),
    "best-of-16": lambda: sv.best_of_n(reference(), target(), 16),
    "best-of-64": lambda: sv.best_of_n(reference(), target(), 64),
    "importance sampling, K = 64": lambda: sv.smc(reference(), target(), Zero(), 64, ess_threshold=0.0),
    "locally masked": lambda: masked(blind(), 1),
    "locally masked, in time": lambda: masked(in_time(), 1),
    "SVDD, M = 4": lambda: sv.svdd(reference(), target(), blind(), 4),
    "SVDD, M = 16": lambda: sv.svdd(reference(), target(), blind(), 16),
    "SVDD, M = 64": lambda: sv.svdd(reference(), target(), blind(), 64),
    "SMC, K = 4": lambda: masked(blind(), 4),
    "SMC, K = 16": lambda: masked(blind(), 16),
    "SMC, K = 64": lambda: masked(blind(), 64),
    "SMC in time, K = 4": lambda: masked(in_time(), 4),
    "SMC in time, K = 16": lambda: masked(in_time(), 16),
    "SMC in time, K = 64": lambda: masked(in_time(), 64),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rows", ROWS)
    parser.add_argument("--genlm", metavar="PYTHON", help="an interpreter that has genlm-control, to run it beside")


def measure(options: argparse.Namespace) -> None:
    RESULTS.finish(exact, "truth", "exact")
    for name in options.rows:
        RESULTS.finish(partial(draw, name), "rows", name)
        print(f"{name}: done", flush=True)
    RESULTS.finish(beside.exact, "beside", "exact")
    for number in beside.PARTICLES:
        RESULTS.finish(partial(beside.svlearn, number), "beside", f"svlearn, K = {number}")
        if options.genlm is not None:
            for kind in ("exact", "AWRS"):
                make = partial(beside.genlm, options.genlm, number, kind == "exact")
                RESULTS.finish(make, "beside", f"genlm-control, {kind}, K = {number}")


def draw(name: str) -> dict:
    """One draw of each group: how far their law is from p*, how many match, log Z, calls and seconds a group."""
    sampler, drawn, matching, estimates, cost = ROWS[name](), [], 0.0, [], dict.fromkeys(KINDS, 0.0)
    start = clock()
    for part in range(GROUPS // AT_ONCE):
        generator = seeded("cpu", SEED, part)
        samples = sampler.sample(AT_ONCE, condition=[PROMPT] * AT_ONCE, generator=generator)
        x, rewards = samples.draw_with_rewards(generator=generator)
        drawn.append(places(x))
        matching += float((rewards == 0).sum())
        estimates += [] if samples.log_normalizer is None else [samples.log_normalizer]
        cost = {kind: cost[kind] + getattr(samples.cost, kind) for kind in KINDS}
    spent = since(start)
    return {
        "total_variation": total_variation(torch.cat(drawn)),
        "matching": matching / GROUPS,
        **normalizer(estimates),
        "per_group": {kind: number / GROUPS for kind, number in cost.items()}
        | {each: amount / GROUPS for each, amount in spent.items()},
        "provenance": provenance(),
    }


def normalizer(estimates: list[Tensor]) -> dict[str, float | None]:
    """Of log Z of groups: that of the mean of their Z with its standard error, and the standard deviation of one Z,
    relative to the exact one."""
    if not estimates:
        return {"log_normalizer": None, "standard_error": None, "spread": None}
    ratios = (torch.cat(estimates).double() - truth().log_normalizer).exp()
    mean = float(ratios.mean())
    return {
        "log_normalizer": truth().log_normalizer + math.log(mean),
        "standard_error": float(ratios.std()) / math.sqrt(GROUPS) / mean,
        "spread": float(ratios.std()),
    }


def total_variation(drawn: Tensor) -> float:
    """Of the shares of texts among draws (N,) to p*."""
    posterior = truth().posterior.flatten()
    return 0.5 * float((torch.bincount(drawn, minlength=len(posterior)) / len(drawn) - posterior).abs().sum())


def exact() -> dict:
    """What is known without a draw, and what as many exact draws show, ten times."""
    law = truth()
    posterior = law.posterior.flatten()
    generators = [seeded("cpu", SEED, repeat) for repeat in range(REPEATS)]
    drawn = [total_variation(torch.multinomial(posterior, GROUPS, True, generator=each)) for each in generators]
    return {
        "log_normalizer": law.log_normalizer,
        "floor": [fmean(drawn), stdev(drawn)],
        "texts": int((posterior > 0).sum()),
        "effective_texts": float(1 / posterior.square().sum()),
        "locally masked": bias(law.masked),
        "locally masked, in time": bias(law.masked_in_time),
        "SVDD, ever more candidates": bias(law.masked_at_last),
        "groups": GROUPS,
    }


def bias(law: Tensor) -> dict[str, float]:
    """How far a law (V, V) is from p*, and how much of it lies outside the language, by sums."""
    posterior = truth().posterior
    return {
        "total_variation": 0.5 * float((law - posterior).abs().sum()),
        "matching": float(law[posterior > 0].sum()),
    }


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}
