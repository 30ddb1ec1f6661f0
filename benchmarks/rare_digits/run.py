"""A rare event on digits: log Z of an 8 of little ink by every sampler, against 100,000 plain samples.

    python -m benchmarks rare_digits                    # what is not measured yet
    python -m benchmarks rare_digits --plain 0          # the samplers alone
    python -m benchmarks rare_digits --rows             # plain samples alone
    python -m benchmarks rare_digits --quote            # write the page from the results that are there

The reference draws any digit, in 10 steps; the event has a probability below 1 %. Plain samples come in batches of
1,000, and every sampler has as many groups as the calls of 1,024 plain samples allow. Each part is kept in
benchmarks/results/rare_digits.json as soon as it is there. docs/leaderboards/rare_digits.md is written from it.
"""

import argparse
from functools import partial
from pathlib import Path

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.rare_digits.page import figures, page
from benchmarks.rare_digits.problem import CALLS, PLAIN, any_digit, process, target
from benchmarks.rare_digits.rows import ROWS
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import KINDS
from svlearn.randomness import seeded

RESULTS, PAGE = Results("rare_digits", {"plain": {}, "rows": {}}), PAGES / "rare_digits.md"
BATCH, TOGETHER, SEED = 1_000, 64, 1
OF_PLAIN, OF_ROWS = 0, 1  # streams of randomness


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS), metavar="NAME", help="only these")
    parser.add_argument("--plain", type=int, default=PLAIN, metavar="N", help="plain samples (default %(default)s)")


def measure(options: argparse.Namespace) -> None:
    for name in options.rows:
        RESULTS.finish(partial(estimate, name), "rows", name)
        print(f"{name}: done", flush=True)
    for batch in range(options.plain // BATCH):
        if RESULTS.finish(partial(draw, batch), "plain", str(batch)):
            print(f"{(batch + 1) * BATCH:,} plain samples: done", flush=True)


def draw(batch: int) -> dict:
    """Moments of exp(r) over a batch of plain samples."""
    generator, start = seeded("cpu", SEED, OF_PLAIN, batch), clock()
    sampler = sv.ancestral(process(), target())
    samples = sampler.sample(BATCH, condition=any_digit(BATCH), generator=generator, max_batch=TOGETHER)
    weights = samples.rewards.double().exp()
    return {
        "number": BATCH,
        "calls": samples.cost.reference_calls / BATCH,
        "mean": weights.mean().item(),
        "mean_square": weights.square().mean().item(),
        "largest": weights.max().item(),
        "cpu_seconds": since(start)["cpu_seconds"],
        "git_commit": provenance()["git_commit"],
    }


def estimate(name: str) -> dict:
    """log Z by each group of a sampler, nats, what it costs, and how many ancestors the last particles have."""
    row, generator = ROWS[name], seeded("cpu", SEED, OF_ROWS)
    groups, sampler = max(2, CALLS // row.calls), row.make()
    start = clock()
    samples = sampler.sample(groups, condition=any_digit(groups), generator=generator, max_batch=TOGETHER)
    spent = since(start)
    weights = samples.log_weights.double().softmax(dim=1)
    return {
        "log_normalizers": [round(each, 5) for each in samples.log_normalizer.tolist()],
        "particles": sampler.num_particles,
        "ess": (1 / weights.square().sum(dim=1)).mean().item(),
        "ancestors": samples.history.unique_ancestors[:, 0].double().mean().item(),
        "calls": {kind: getattr(samples.cost, kind) for kind in KINDS},
        **spent,
        "provenance": provenance(),
    }


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}
