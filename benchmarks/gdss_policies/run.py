"""Policies of GDSS, by adjoint matching and by path consistency, beside the same process unguided.

    python -m benchmarks gdss_policies [--rows unguided "adjoint matching"]
    python -m benchmarks gdss_policies --reward-network     # only fit the reward network that both policies read

The process is the predictor alone at 25 steps, `gdss.pretrained.predictor_alone`. A row is 96 molecules in batches of
32, kept in benchmarks/results/gdss_policies.json as soon as they are there; what is there is not drawn again, and a
policy that a row needs is trained first, once, by configs/molecules/gdss/policies: half an hour of one core for all.
docs/leaderboards/gdss_policies.md is written from the results.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

from torch import Tensor, nn
from tqdm.auto import tqdm

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.common.command import add_choice
from benchmarks.common.pages import write_pages
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.gdss_policies.page import figures, page
from benchmarks.gdss_policies.training import NUM_STEPS, RUNS, made, process, reward_network, train
from svlearn.checkpoints import check_reference, load_into, read_record
from svlearn.domains.molecules import metrics
from svlearn.domains.molecules.gdss import GraphControl, GraphControlled, RewardGain, ScoreGain, SumControl
from svlearn.domains.molecules.gdss.gin import PredictedReward, read_network
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import KINDS, metered
from svlearn.objectives.memoryless import measure_memory
from svlearn.randomness import seeded
from svlearn.rollouts.roll_out import roll_out

RESULTS, PAGE = Results("gdss_policies", {"batches": {}, "training": {}}), PAGES / "gdss_policies.md"
BATCH, NUM_BATCHES, SEED, MEMORY_PAIRS = 32, 3, 1, 64
STRENGTH = 300.0  # as in the files of the policies


def gain() -> RewardGain:
    return RewardGain(NUM_STEPS, read_network(RUNS / "reward_network.safetensors"), STRENGTH)


@dataclass(frozen=True)
class Row:
    """A policy, or p_ref, that draws; or svdd on the process. network: of the policy, as its file has it."""

    family: str | None = None
    network: Callable[[], nn.Module] | None = None
    candidates: int | None = None


ROWS = {
    "unguided": Row(),
    "adjoint matching": Row(
        "adjoint_matching", lambda: SumControl([ScoreGain(NUM_STEPS), gain(), GraphControl(NUM_STEPS)])
    ),
    "path consistency": Row("path_consistency_policy", gain),
    "SVDD-PM, M = 5": Row(candidates=5),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rows", ROWS)
    parser.add_argument("--reward-network", action="store_true", help="only fit the reward network")


def measure(options: argparse.Namespace) -> None:
    if options.reward_network:
        return print(reward_network())
    for name in tqdm(options.rows, unit="row"):
        for batch in range(NUM_BATCHES):
            keep(partial(draw, ROWS[name], batch), "batches", f"{name}/{batch}")
    keep(memory, "memory")


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}


def keep(make: Callable[[], dict], *keys: str) -> None:
    """Make a part of the results where it is not there yet, and write the page anew."""
    if RESULTS.finish(make, *keys, complete=add_training):
        write_pages(pages())


def add_training(held: dict) -> None:
    """What was trained for the rows so far."""
    trained = [row.family for row in ROWS.values() if row.family and (RUNS / row.family / "cost.json").exists()]
    held["training"] |= {family: train(family) for family in trained}
    if (RUNS / "reward_network.json").exists():
        held["training"]["reward_network"] = reward_network()


def memory() -> dict:
    """What x_0 tells of x_T."""
    return asdict(measure_memory(process(), MEMORY_PAIRS, generator=seeded("cpu", SEED)))


@cache
def policy(name: str) -> GraphControlled:
    """The policy of a row, trained where it is not yet."""
    row, reference = ROWS[name], process()
    train(row.family)
    file = RUNS / row.family / "policy.safetensors"
    check_reference(read_record(file), file, reference)
    return load_into(GraphControlled(reference, row.network()), file).eval().requires_grad_(False)


def draw(row: Row, batch: int) -> dict:
    """A batch of a row: molecules, QED, what the reward network says of them, log q/p_ref, and what they cost."""
    reference, reward = process(), made()
    target, generator = sv.Target(reward, 0.0), seeded("cpu", SEED, batch)
    steered = None if row.family is None else policy(next(name for name, each in ROWS.items() if each is row))
    reward_network()
    guess = read_network(RUNS / "reward_network.safetensors")
    start = clock()
    with metered() as meter:
        if row.candidates is None:
            trajectories = roll_out(reference, BATCH, target=target, generator=generator, proposal=steered)
            graphs, rewards = trajectories["states"][:, -1], trajectories["rewards"]
        else:
            value = sv.values.PosteriorMean(target)
            samples = sv.svdd(reference, target, value, row.candidates).sample(BATCH, generator=generator)
            graphs, rewards = samples.states[:, 0], samples.rewards[:, 0]
    reward.scorer.close()  # whose seconds count once it has ended
    spent = {kind: getattr(meter.cost, kind) for kind in KINDS} | since(start)
    plain = reference.decode(graphs)
    kept = {
        "rewards": rounded(rewards),
        "predicted": rounded(PredictedReward(guess)(graphs)),
        "smiles": reward.scorer.smiles(graphs),
        "valid": [each is not None for each in plain],
        "one_piece": metrics.connected_validity(plain),
        "per_molecule": {name: amount / BATCH for name, amount in spent.items()},
        "provenance": provenance(),
    }
    reward.scorer.close()
    return kept | ({} if steered is None else {"log_ratios": rounded(-trajectories["log_ratios"].sum(dim=1))})


def rounded(numbers: Tensor) -> list[float]:
    return [round(each, 5) for each in numbers.tolist()]
