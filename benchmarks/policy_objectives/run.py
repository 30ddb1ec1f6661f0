"""Objectives of policies at equal work: reward and held-out judge by network calls and by seconds, on five tasks.

    python -m benchmarks policy_objectives                                        # what is not measured yet
    python -m benchmarks policy_objectives --domains mrl --objectives GRPO NFT --seeds 1
    python -m benchmarks policy_objectives --quote                                # write the page from the results

Each (domain, objective, seed) trains a copy of the reference from the start until its networks were called as often as
the domain allows, and is judged by fresh samples on the way, which count neither as calls nor as seconds. The learning
rate is held, so that each point of a curve is the end of a training that would have stopped there; of the rates of the
domain each objective has the one of the largest ELBO in short trials on another seed. What needs no training is
measured beside. A training is kept in benchmarks/results/policy_objectives.json as soon as it is finished; two runs of
different parts may go on at once. docs/leaderboards/policy_objectives.md and its figures are written from the results.
"""

import argparse
from functools import partial
from pathlib import Path

from benchmarks.common.command import add_choice, add_seeds
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.policy_objectives.baselines import BASELINES, measured
from benchmarks.policy_objectives.curves import trained
from benchmarks.policy_objectives.families import FAMILIES
from benchmarks.policy_objectives.figures import figures
from benchmarks.policy_objectives.page import TRIAL, page
from benchmarks.policy_objectives.tasks import TASKS

RESULTS = Results("policy_objectives", {"baselines": {}, "trials": {}, "trainings": {}})
PAGE = PAGES / "policy_objectives.md"
SEEDS, TRIAL_SEED = (1, 2, 3, 4, 5), 0


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--domains", TASKS)
    add_choice(parser, "--objectives", FAMILIES)
    add_seeds(parser, SEEDS, "the trainings")


def measure(options: argparse.Namespace) -> None:
    for domain in options.domains:
        for name in BASELINES:
            RESULTS.finish(partial(measured, domain, name), "baselines", f"{domain}/{name}")
        for seed in options.seeds:
            for family in options.objectives:
                if family not in TASKS[domain].absent:
                    train = partial(trained, domain, family, seed, chosen(domain, family))
                    if RESULTS.finish(train, "trainings", f"{domain}/{family}/{seed}"):
                        print(f"{domain}, {family}, seed {seed}: done", flush=True)


def chosen(domain: str, family: str) -> float:
    """The learning rate of the largest ELBO in the trials, which are run where they are not there."""
    rates, elbos = TASKS[domain].rates, {}
    if len(rates) == 1:
        return rates[0]
    for rate in rates:
        key = f"{domain}/{family}/{rate:g}"
        RESULTS.finish(partial(trained, domain, family, TRIAL_SEED, rate, [TRIAL]), "trials", key)
        last = RESULTS.read()["trials"][key]["points"][-1]
        elbos[rate] = last["reward"][0] / TASKS[domain].alpha - last["kl"]
    return max(elbos, key=lambda each: elbos[each])


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}
