"""Sequences: the SVDD paper's rows for 5'UTRs and enhancers, with judges, likelihood, variety and what each costs.

    python -m benchmarks sequences --problems mrl                  # what is not measured yet
    python -m benchmarks sequences --problems mrl --rows SVDD-PM   # these rows alone
    python -m benchmarks sequences --quote                         # write the page from the results that are there

256 sequences a row, 64 where M is swept, in T = 128 steps. Batches of 64 are kept in benchmarks/results/sequences.json
as soon as they are there; what is there is not drawn again. Best-of-10 takes the best of each ten of the 2,560
trajectories that the values learned from. The strength of DPS is that of the largest mean reward of 16 other sequences.
docs/leaderboards/sequences.md and its figures are written from the results.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from statistics import fmean

from tqdm.auto import tqdm

from benchmarks.common.command import add_choice
from benchmarks.common.paths import PAGES
from benchmarks.sequences import authors
from benchmarks.sequences.batches import BATCH, NUM_BATCHES, RESULTS, SEED, TUNED_ON, TUNING_SEED, draw, key
from benchmarks.sequences.figures import figures
from benchmarks.sequences.findings import gather
from benchmarks.sequences.judged import judged
from benchmarks.sequences.page import page
from benchmarks.sequences.problems import PROBLEMS
from benchmarks.sequences.rows import ROWS
from benchmarks.sequences.speed import speed
from benchmarks.sequences.trained import RUNS
from svlearn.domains.sequences.alphabet import DNA

PAGE = PAGES / "sequences.md"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--problems", PROBLEMS)
    add_choice(parser, "--rows", ROWS)
    parser.add_argument("--speed", action="store_true", help="only measure how fast the references are drawn from")


def measure(options: argparse.Namespace) -> None:
    if options.speed:
        for name in dict.fromkeys(PROBLEMS[each].reference for each in options.problems):
            RESULTS.finish(partial(speed, name), "speed", name)
        return
    RESULTS.finish(authors.quantiles, "authors", "logs")
    for problem in options.problems:
        RESULTS.finish(partial(of_data, problem), "data", problem)
        for row in tqdm(options.rows, desc=problem, unit="row"):
            strength = chosen(problem, row) if ROWS[row].strengths else None
            for batch in range(NUM_BATCHES if ROWS[row].number is None else ROWS[row].number // BATCH):
                drawn = partial(draw, problem, row, SEED, batch, strength)
                RESULTS.finish(drawn, "batches", key(problem, row, SEED, batch), complete=add_training)
            judge(problem, row)


def judge(problem: str, row: str) -> None:
    """The figures of all sequences of a row, anew where there are more than they were made of."""
    held = RESULTS.read()
    drawn, name = gather(held, problem)[row], f"{problem}/{row}"
    old = held["judged"].get(name, {})
    stale = old.get("number") != len(drawn.sequences) or old["judges"].keys() != PROBLEMS[problem].judges.keys()
    RESULTS.finish(partial(judged, problem, drawn.sequences), "judged", name, again=stale)


def of_data(problem: str) -> dict:
    """Of the held-out sequences that the reference was not trained on, 500 at most."""
    return judged(problem, DNA.decode(PROBLEMS[problem].data()[1][:500]))


def chosen(problem: str, row: str) -> float:
    """The strength of the largest mean reward."""
    means = {}
    for strength in ROWS[row].strengths:
        name = key(problem, f"{row}, strength {strength:g}", TUNING_SEED, 0)
        drawn = partial(draw, problem, row, TUNING_SEED, 0, strength, TUNED_ON)
        RESULTS.finish(drawn, "batches", name)
        means[strength] = fmean(RESULTS.read()["batches"][name]["rewards"])
    return max(means, key=lambda each: means[each])


def add_training(held: dict) -> None:
    """What the values and policies that are in runs/ took."""
    notes = [each for each in sorted(RUNS.glob("*/*.json")) if not each.name.endswith("made_of.json")]
    held["training"] |= {str(each.relative_to(RUNS).with_suffix("")): json.loads(each.read_text()) for each in notes}


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}
