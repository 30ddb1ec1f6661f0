"""Learned against training-free at equal token positions: forty new tokens, a sentiment and a word that must come.

    python -m benchmarks stories_budget                          # what is not measured yet
    python -m benchmarks stories_budget --tasks sentiment        # of this task alone
    python -m benchmarks stories_budget --quote                  # write the page from the results that are there

stories260k writes forty tokens; best-of-N, SMC and SVDD with roll-outs, twisted SMC and a policy each draw one text of
each of 64 groups, for as many token positions as 4, 16 and 64 plain texts cost; trainings are counted apart.
docs/leaderboards/stories_budget.md is written from the results.
"""

import argparse
from functools import partial
from pathlib import Path

from benchmarks.common.command import add_choice
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.stories_budget import learned, rows
from benchmarks.stories_budget.figures import figures
from benchmarks.stories_budget.page import page
from benchmarks.stories_budget.tasks import TASKS, truth
from svlearn.evaluation.report.provenance import provenance
from svlearn.process import Reference

RESULTS, PAGE = Results("stories_budget", {task: {} for task in TASKS}), PAGES / "stories_budget.md"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--tasks", TASKS)


def measure(options: argparse.Namespace) -> None:
    for task in options.tasks:
        RESULTS.finish(lambda task=task: truth(task) | {"provenance": provenance()}, task, "truth")
        for name, sampler in rows.FREE.items():
            RESULTS.finish(partial(at_budgets, task, sampler), task, name)
        RESULTS.finish(partial(twisted, task), task, "twisted SMC")
        RESULTS.finish(partial(policy, task), task, "policy")


def at_budgets(task: str, sampler: rows.Sampler, *others: Reference) -> dict:
    held = {str(budget): rows.drawn(task, sampler(task, budget), *others) for budget in rows.BUDGETS}
    return {"budgets": held, "provenance": provenance()}


def twisted(task: str) -> dict:
    value, spent = learned.twist(task)
    return at_budgets(task, rows.with_twist(value)) | {"trained": spent}


def policy(task: str) -> dict:
    tuned, spent = learned.policy(task)
    return at_budgets(task, rows.with_policy(tuned), tuned.copy) | {"trained": spent}


def pages() -> dict[Path, str]:
    results = RESULTS.read()
    return {PAGE: page(results)} | {PAGE.with_name(name): drawing for name, drawing in figures(results).items()}
