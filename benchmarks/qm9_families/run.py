"""Which way to learn is worth it on QM9? Every family of values and policies, trained and held side by side.

    python -m benchmarks qm9_families [--families soft_q policy_gradient] [--seeds 1 2 3]
    python -m benchmarks qm9_families --trial "--trainer.max_steps 500" --families soft_q

A family is a YAML of configs/molecules/qm9/values or policies, trained as `make demo FAMILY=...` does, and then 256
samples a seed are drawn: SVDD at alpha = 0 with a learned value (and SMC at the value's own alpha); a policy's own
samples, and SVDD-PM that proposes by it. Each (family, seed) that is in
benchmarks/results/qm9_families.json stays, the others are run: stop and start at will, or give --again. A trial
trains with further options on a seed of its own, and is kept beside the table, which tells of all that was tried.
docs/leaderboards/qm9.md is written from the results.
"""

import argparse
import math
import shlex
from pathlib import Path

import torch
import yaml
from tqdm.auto import tqdm

import svlearn as sv
from benchmarks.common.command import add_again, add_choice, add_seeds
from benchmarks.common.pages import write_pages
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.qm9.training import POLICIES, RUNS, VALUES, learned_value, rollouts, train
from benchmarks.qm9_families.page import BASELINES, figures, page
from svlearn.checkpoints import check_reference, load_into, read_record
from svlearn.domains.molecules.rewards import QED
from svlearn.evaluation.report.provenance import provenance
from svlearn.inference.proposals import Policy

RESULTS, PAGE = Results("qm9_families", {"entries": [], "trials": []}), PAGES / "qm9.md"
KNOWN = [BASELINES, *VALUES, *POLICIES]
NUM_SAMPLES, NUM_CANDIDATES, MAX_BATCH, SMC_ALPHA = 256, 10, 512, 0.01
TRIAL_SEED = 0  # no seed of the table


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--families", KNOWN)
    add_seeds(parser, [1, 2, 3], "training and of sampling")
    parser.add_argument("--trial", metavar="OPTIONS", help="train once with these options of the script on top")
    add_again(parser)


def measure(options: argparse.Namespace) -> None:
    if options.trial is not None:
        for family in options.families:
            keep("trials", entry(family, TRIAL_SEED, shlex.split(options.trial)))
        return
    runs = [(family, seed) for seed in options.seeds for family in options.families]
    done = [] if options.again else [(each["family"], each["seed"]) for each in RESULTS.read()["entries"]]
    for family, seed in tqdm([pair for pair in runs if pair not in done], desc="families", unit="run"):
        keep("entries", entry(family, seed))


def pages() -> dict[Path, str]:
    results = RESULTS.read()
    return {PAGE: page(results, KNOWN)} | {PAGE.with_name(name): drawing for name, drawing in figures(results).items()}


def keep(kind: str, new: dict) -> None:
    """Add an entry to the results, in the place of the one that it repeats, and write the page."""
    held = RESULTS.read()
    same = ("family", "seed", "options")
    others = [each for each in held[kind] if any(each[name] != new[name] for name in same)]
    held[kind] = sorted([*others, new], key=lambda each: (each["family"], each["seed"], each["options"]))
    RESULTS.write(held)
    write_pages(pages())


def entry(family: str, seed: int, options: list[str] | None = None) -> dict:
    """Train a family and sample with what it learned."""
    options = [] if options is None else options
    folder = RUNS / ("trial" if options else "") / family / str(seed)
    record = {"family": family, "seed": seed, "options": shlex.join(options)}
    if family == BASELINES:
        return {**record, "rows": rows(baselines(), seed), "provenance": provenance()}
    if family in VALUES:
        record["collecting"] = rollouts(seed)
    record["training"] = train(family, seed, folder, options)
    (config,) = folder.glob("logs/version_0/config.yaml")
    settings = yaml.safe_load(config.read_text())
    record["alpha"] = settings["model"]["init_args"]["target"]["alpha"]
    record["settings"] = settings["model"]["init_args"]
    record["max_steps"] = settings["trainer"]["max_steps"]
    samplers = with_value(folder, record["alpha"]) if family in VALUES else with_policy(folder)
    if options:  # a trial is judged by the first
        samplers = dict(list(samplers.items())[:1])
    return {**record, "rows": rows(samplers, seed), "provenance": provenance()}


def baselines() -> dict[str, sv.Sampler]:
    """What needs no training."""
    reference, reward = sv.load("qm9").eval(), QED()
    greedy, soft = sv.Target(reward, 0.0), sv.Target(reward, SMC_ALPHA)
    return {
        "pretrained": sv.ancestral(reference, greedy),
        "best-of-10": sv.best_of_n(reference, greedy, NUM_CANDIDATES),
        "SVDD-PM": sv.svdd(reference, greedy, sv.values.PosteriorMean(greedy), NUM_CANDIDATES),
        "SMC-PM": sv.smc(reference, soft, sv.values.PosteriorMean(soft), NUM_CANDIDATES),
    }


def with_value(folder: Path, alpha: float) -> dict[str, sv.Sampler]:
    """SVDD with what was learned, and SMC at the value's own alpha."""
    reference, reward = sv.load("qm9").eval(), QED()
    learned = learned_value(folder, reference)
    samplers = {"SVDD": sv.svdd(reference, sv.Target(reward, 0.0), learned, NUM_CANDIDATES)}
    if alpha > 0:
        samplers["SMC"] = sv.smc(reference, sv.Target(reward, alpha), learned, NUM_CANDIDATES)
    return samplers


def with_policy(folder: Path) -> dict[str, sv.Sampler]:
    """The policy's own samples, and SVDD-PM that proposes by it."""
    reference, greedy = sv.load("qm9").eval(), sv.Target(QED(), 0.0)
    path = folder / "policy.safetensors"
    check_reference(read_record(path), path, reference)
    policy = load_into(sv.policies.Finetuned(reference), path).eval()
    return {
        "policy": sv.ancestral(policy, greedy),
        "SVDD-PM": sv.svdd(reference, greedy, sv.values.PosteriorMean(greedy), NUM_CANDIDATES, Policy(policy)),
    }


def rows(samplers: dict[str, sv.Sampler], seed: int) -> dict[str, dict[str, float | None]]:
    """The figures of each sampler, null for NaN."""
    with torch.no_grad():
        figures = sv.compare(samplers, NUM_SAMPLES, seed=seed, max_batch=MAX_BATCH).figures
    return {
        name: {key: None if math.isnan(figure) else figure for key, figure in row.items()}
        for name, row in figures.items()
    }
