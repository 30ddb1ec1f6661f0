"""The demo, timed and recorded: what `make demo` runs, from nothing but an installed package.

    python -m benchmarks qm9_demo [--seeds 0 1 2]

Writes benchmarks/results/qm9_demo.json: the comparison (with its command, commit, machine and seeds), and the wall
seconds of learning the value and of comparing; then writes docs/demo.md, and quotes what came out in the README.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

from benchmarks.common.clock import clock, since
from benchmarks.common.command import add_seeds
from benchmarks.common.pages import markdown_table, quote
from benchmarks.common.paths import ROOT
from benchmarks.common.results import Results
from svlearn.evaluation.report.numbers import plain, with_error
from svlearn.evaluation.report.tables import to_markdown

RESULTS, README, PAGE = Results("qm9_demo"), ROOT / "README.md", ROOT / "docs/demo.md"


def run(*arguments: str) -> float:
    """Run a command of svlearn and return its wall seconds."""
    start = clock()
    subprocess.run([sys.executable, "-m", "svlearn", *arguments], cwd=ROOT, check=True)
    return since(start)["seconds"]


def quotation(results: dict) -> str:
    """What the README says of the results: reward and price alone."""
    rows = []
    for name, own in results["figures"].items():
        reward = with_error(own["mean_reward"], own["mean_reward_standard_error"])
        calls, seconds = own["reference_calls_per_sample"], own["seconds_per_sample"]
        rows.append([name, reward, plain(calls, 3), plain(seconds, 2)])
    table = markdown_table(("Sampler", "mean QED ± s.e.", "calls of the model / sample", "seconds / sample"), rows)
    return f"**{results['verdicts'][0]}** Validity, diversity and the rest: [the demo](docs/demo.md).\n\n{table}\n"


def page(results: dict) -> str:
    """The whole of it."""
    figures, origin, seconds = results["figures"], results["provenance"], results["seconds"]
    table = pd.DataFrame.from_dict(figures, orient="index").astype(float)
    learned, both, free = (figures[name] for name in ("SVDD-learned", "SVDD-learned then PM", "SVDD-PM"))
    steps, every, calls = (each["reference_calls_per_sample"] for each in (learned, free, both))
    start = steps * (every - calls) / (every - steps)  # one call a step before, M from there on
    return (
        "# The demo\n\nA masked graph diffusion pretrained on QM9, steered towards drug-likeness (QED); the value is "
        "what `make demo` learns.\n\n![The best samples of each sampler, with their QED](demo.svg)\n\n"
        f"**{results['verdicts'][0]}** The learned value foresees something from the first step on, at no reference "
        "call for a candidate that loses; the posterior mean sees the molecule only once it is nearly there, but then "
        f"sees it best. The step at which the one hands over to the other, t = {start:.0f} of {steps:.0f}, is chosen "
        f"by `inference.hand_over.best_switch`, on samples that judge nothing here. Guided by the learned value alone, "
        f"{learned['uniqueness']:.0%} of the valid molecules are distinct, against {free['uniqueness']:.0%} for "
        f"SVDD-PM and {both['uniqueness']:.0%} with the hand-over: greedy choices run to the molecules that a "
        "value likes best. The value was trained once; the next training differs by more than the errors "
        "below, which are of sampling alone: "
        f"[over seeds](leaderboards/qm9.md).\n\n{to_markdown(table)}\n"
        f"Rewards are QED; ± is one standard error; M = N = K = 10; SVDD at alpha = 0. Learning the value took "
        f"{seconds['train']:.0f} s and the comparison of {len(origin['seeds'])} × {origin['num_samples']} samples a "
        f"sampler {seconds['evaluate']:.0f} s on {origin['cores']} cores ({origin['cpu']}). All figures: "
        f"`benchmarks/results/qm9_demo.json`, written by `python -m benchmarks qm9_demo`.\n"
    )


def arguments(parser: argparse.ArgumentParser) -> None:
    add_seeds(parser, [0], "the comparison; each draws anew")


def measure(options: argparse.Namespace) -> None:
    """Run the demo from its start and write the results."""
    shutil.rmtree(ROOT / "runs/qm9_value", ignore_errors=True)
    train = run("train-value", "--config", "qm9", "--config", "qm9/values/monte_carlo")
    settings = ("--seed", json.dumps(options.seeds), "--results", str(RESULTS.path.relative_to(ROOT)))
    evaluate = run("evaluate", "--config", "qm9", "--config", "qm9/demo", *settings)
    RESULTS.write(RESULTS.read() | {"seconds": {"train": train, "evaluate": evaluate}})
    shutil.copy(ROOT / "reports/qm9/samples.svg", ROOT / "docs/demo.svg")


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {README: quote(README.read_text(), "demo table", quotation(held)), PAGE: page(held)}
