"""Docking against parp1 on the SVDD paper's own model, GDSS on ZINC-250k: rewards, dockings and seconds of every row.

    python -m benchmarks gdss_docking [--rows SVDD-MC]
    python -m benchmarks gdss_docking --train     # only dock what values learn from, and train them: hours of one core
    python -m benchmarks gdss_docking --ship      # only copy what was docked to checkpoints/

200 corrected steps, alpha = 0. The plain samples are those that the value learned from, in their order, and every
"best of 5" takes the best of five of a row's own. What is drawn is kept batch by batch in
benchmarks/results/gdss_docking.json and not drawn again, so stop and start at will: some 2,000 dockings in all, at 2
to 4 seconds of a core. docs/leaderboards/docking.md and its figure are written from the results.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tqdm.auto import tqdm

import svlearn as sv
from benchmarks.common.command import add_choice
from benchmarks.common.pages import write_pages
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.gdss.rows import LATE
from benchmarks.gdss.trajectories import COLLECT_BATCH, trajectories
from benchmarks.gdss_docking.page import BOTH, FORESEEN, FREE, LEARNED, PLAIN, RELAY, TWISTED, figure, page
from benchmarks.gdss_docking.training import (
    FAMILY,
    NUM_DOCKED,
    OPTIONS,
    RECEPTOR,
    START,
    TWIST,
    docked,
    fit,
    judged,
    learned,
    made,
    scored,
    seconds_a_docking,
    ship,
    trained,
    training_record,
)
from benchmarks.gdss_table.batches import key, plain_costs, priced, reference
from svlearn.domains.molecules.gdss import pretrained
from svlearn.evaluation.report.provenance import provenance
from svlearn.randomness import seeded

RESULTS = Results("gdss_docking", {"batches": {}, "training": None, "trained": {}})
PAGE = PAGES / "docking.md"
SEED = 1
SIZES = {
    PLAIN: (NUM_DOCKED // COLLECT_BATCH, COLLECT_BATCH),
    LEARNED: (5, 16),
    TWISTED: (5, 16),
    FREE: (4, 4),
    RELAY: (4, 4),
    FORESEEN: (5, 16),
    BOTH: (5, 16),
}  # batches, molecules each
M, M_DOCKED, EVERY, CHOICES = 10, 5, 20, 10


def by_value(family: str, process: sv.Reference, target: sv.Target) -> sv.Sampler:
    return sv.svdd(process, target, learned(process, family), process.num_candidates(M))


def now_and_then(process: sv.Reference, target: sv.Target) -> sv.Sampler:
    """SVDD-PM that docks, and chooses, at every 20th of its choices."""
    candidates = sparse(process.num_candidates(M_DOCKED), EVERY)
    return sv.svdd(process, target, at_choices(target, candidates), candidates)


def value_then_docking(process: sv.Reference, target: sv.Target) -> sv.Sampler:
    """The contrastive twist until t = LATE, and from there SVDD-PM with as many dockings as in its own row."""
    late = [number if t >= LATE else 1 for t, number in enumerate(process.num_candidates(M_DOCKED))]
    late = sparse(late, sum(number > 1 for number in late) // CHOICES)
    value = sv.values.Switch(learned(process, TWIST), at_choices(target, late), LATE)
    return sv.svdd(process, target, value, process.num_candidates(M)[:LATE] + late[LATE:])


def by_surrogate(process: sv.Reference, target: sv.Target) -> sv.Sampler:
    """SVDD-PM by what is foreseen of the docking score of x̂_T: a molecule is docked at its end alone."""
    return sv.svdd(process, target, surrogate(), process.num_candidates(M))


def value_then_surrogate(process: sv.Reference, target: sv.Target) -> sv.Sampler:
    """The contrastive twist until t = START, and that from there."""
    value = sv.values.Switch(learned(process, TWIST), surrogate(), START)
    return sv.svdd(process, target, value, process.num_candidates(M))


def surrogate() -> sv.values.PosteriorMean:
    """A new one for each batch, which pays for all that it is asked."""
    return sv.values.PosteriorMean(sv.Target(pretrained.surrogate(RECEPTOR, num_workers=1), 0.0))


def at_choices(target: sv.Target, candidates: list[int]) -> sv.values.Value:
    """The docking score of x̂_T where there are several candidates."""
    chosen = [t for t, number in enumerate(candidates) if number > 1]
    return sv.values.AtSteps(sv.values.PosteriorMean(target), chosen)


def sparse(candidates: list[int], every: int) -> list[int]:
    """Every so many steps of those with more than one candidate keep theirs; the others have one."""
    chosen = [t for t, number in enumerate(candidates) if number > 1][every - 1 :: every]
    return [number if t in chosen else 1 for t, number in enumerate(candidates)]


SAMPLERS: dict[str, Callable[[sv.Reference, sv.Target], sv.Sampler]] = {
    LEARNED: partial(by_value, FAMILY),
    TWISTED: partial(by_value, TWIST),
    FREE: now_and_then,
    RELAY: value_then_docking,
    FORESEEN: by_surrogate,
    BOTH: value_then_surrogate,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rows", SIZES)
    parser.add_argument("--train", action="store_true", help="only dock what values learn from, and train them")
    parser.add_argument("--ship", action="store_true", help="only copy what was docked to checkpoints/")


def measure(options: argparse.Namespace) -> None:
    if options.train:
        scored()
        for family in OPTIONS:
            fit(family)
    if options.ship:
        ship()
    if options.train or options.ship:
        return
    for row in tqdm(options.rows, unit="row"):
        for batch in range(SIZES[row][0]):
            keep(key(RECEPTOR, row, SEED, batch), partial(stored if row == PLAIN else draw, row, batch))
    RESULTS.finish(judged, "surrogate")


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held), PAGE.with_name("docking_time.svg"): figure(held)}


def keep(name: str, batch: Callable[[], dict]) -> None:
    """Draw a batch where it is not there yet, and write the page anew."""
    if RESULTS.finish(batch, "batches", name, complete=add_training):
        write_pages(pages())


def add_training(held: dict) -> None:
    """What was trained, and what its values learned from: a shipped one does not say."""
    held["trained"] |= trained()
    if held["training"] is None and FAMILY in held["trained"]:
        held["training"] = training_record()


def draw(row: str, batch: int) -> dict:
    """A batch of a row. Its dockings are its own: no score comes from disk, so that each is paid for."""
    reward = made()
    sampler = SAMPLERS[row](reference(), sv.Target(reward, 0.0))
    samples, spent = priced(sampler, reward, SIZES[row][1], seeded("cpu", SEED, batch))
    states, rewards = samples.states[:, 0], samples.rewards[:, 0].tolist()
    return record(states, rewards, reward.scorer.smiles(states), reward.report(), spent)


def stored(row: str, batch: int) -> dict:
    """A chunk of the stored trajectories: drawing one costs what it does in the table of QED, docking it the mean."""
    rollouts, (_, size) = trajectories("QED"), SIZES[row]
    note, request = docked(batch, rollouts), rollouts.request
    seconds = seconds_a_docking(docked(each, rollouts) for each in range(SIZES[row][0]))
    spent = plain_costs("QED", size)
    dockings = note["report"]["docked"] + note["report"]["cached"]
    spent |= {name: spent[name] + dockings * each for name, each in seconds.items()}
    states = rollouts.states[request.rows(batch), request.num_steps]
    return record(states, note["rewards"], note["smiles"], note["report"], spent)


def record(states: sv.State, rewards: list[float], smiles: list, report: dict, spent: dict) -> dict:
    """Molecules, their rewards, whether they came valid without repair, and what one of them cost."""
    dockings = {"dockings": report["docked"] + report["cached"], "failed": report["failed"]}
    return {
        "rewards": [round(each, 3) for each in rewards],
        "smiles": smiles,
        "valid": [each is not None for each in reference().decode(states)],
        "report": report,
        "per_molecule": {name: amount / len(rewards) for name, amount in (spent | dockings).items()},
        "provenance": provenance(),
    }
