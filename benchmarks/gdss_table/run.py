"""The SVDD paper's table 2 for QED and SA on its own model, GDSS on ZINC-250k, with what every row costs.

    python benchmarks/gdss_table.py [--rewards QED] [--rows "SVDD-MC" "SVDD-PM"]
    python benchmarks/gdss_table.py --quote

128 molecules a row at 200 corrected steps, alpha = 0, in batches of 32 that are kept in
benchmarks/results/gdss_table.json as soon as they are there; what is there is not drawn again, so stop and start at
will: some hours of one core for all. Best-of-10 takes the best of ten of the 1,280 trajectories that the values
learned from, in their order. The gradient of DPS and of classifier guidance is scaled as was best in mean reward of 32
other molecules, which the results hold as well. docs/leaderboards/gdss.md and its figure are written from the results.
"""

import argparse
import json
from collections.abc import Callable
from functools import cache, partial
from statistics import fmean

import torch
from tqdm.auto import tqdm

import svlearn as sv
from benchmarks.gdss.training import REWARDS, ROOT, RUNS, made, trajectories
from benchmarks.gdss_table.page import figure, page
from benchmarks.gdss_table.samplers import ROWS, N, Row
from benchmarks.qm9.training import clock, since
from svlearn.domains.molecules import metrics
from svlearn.domains.molecules.rewards import MoleculeReward
from svlearn.evaluation.divergence import reference_kl
from svlearn.evaluation.report.provenance import provenance
from svlearn.files import write
from svlearn.metering import KINDS
from svlearn.randomness import seeded

RESULTS, STEPS = (ROOT / f"benchmarks/results/{name}.json" for name in ("gdss_table", "gdss_step"))
PAGE = ROOT / "docs/leaderboards/gdss.md"
BATCH, NUM_BATCHES, SEED, TUNING_SEED = 32, 4, 1, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rewards", nargs="+", choices=REWARDS, default=list(REWARDS))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--quote", action="store_true", help="only write the page and its figure")
    options = parser.parse_args()
    torch.set_num_threads(1)
    held = results()
    if not options.quote:
        wanted = [(reward, row) for reward in options.rewards for row in options.rows]
        for reward, row in tqdm(wanted, unit="row"):
            strength = chosen(held, reward, row) if ROWS[row].strengths else None
            for batch in range(NUM_BATCHES):
                keep(held, key(reward, row, SEED, batch), partial(draw, reward, ROWS[row], SEED, batch, strength))
    quote(held)


def key(reward: str, row: str, seed: int, batch: int) -> str:
    return f"{reward}/{row}/{seed}/{batch}"


def results() -> dict:
    """What has been drawn."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"batches": {}, "training": {}}


def written(held: dict) -> dict:
    """The page and its figure."""
    return {PAGE: page(held, walls()), PAGE.with_name("gdss_time.svg"): figure(held)}


def walls() -> dict[str, float]:
    """Milliseconds of samplers by the wall, a molecule and step, that gdss_step.py measured side by side."""
    sides = json.loads(STEPS.read_text())["sides"] if STEPS.exists() else {}
    return {name: side["wall_ms"] for name, side in sides.items()}


def quote(held: dict) -> None:
    for path, text in written(held).items():
        write(path, text)


def keep(held: dict, name: str, batch: Callable[[], dict]) -> None:
    """Read again before writing, for another run may draw other rows meanwhile."""
    if name not in held["batches"]:
        found = batch()
        held |= results()
        held["batches"][name] = found
        costs = sorted([*RUNS.glob("*/*/cost.json"), *RUNS.glob("*/reward_network.json")])
        held["training"] |= {str(each.relative_to(RUNS)): json.loads(each.read_text()) for each in costs}
        write(RESULTS, json.dumps(held, indent=1, allow_nan=False) + "\n")
        quote(held)


def chosen(held: dict, reward: str, row: str) -> float:
    """The strength of the largest mean reward."""
    means = {}
    for strength in ROWS[row].strengths:
        name = f"{row}, strength {strength:g}"
        keep(held, key(reward, name, TUNING_SEED, 0), partial(draw, reward, ROWS[row], TUNING_SEED, 0, strength))
        means[strength] = fmean(held["batches"][key(reward, name, TUNING_SEED, 0)]["rewards"])
    return max(means, key=lambda each: means[each])


@cache
def reference() -> sv.Reference:
    return sv.load("gdss-zinc250k")


def draw(reward: str, kind: Row, seed: int, batch: int, strength: float | None = None) -> dict:
    """A batch of a row: molecules, their rewards, whether they came valid without repair, and what they cost."""
    process = reference()
    target = sv.Target(made(reward), 0.0 if strength is None else 1.0)
    if kind.stored:
        states, rewards, spent = stored(reward, batch)
    else:
        sampler = kind.make(process, target, reward, *([] if strength is None else [strength]))
        samples, spent = priced(sampler, target.reward, BATCH * kind.runs, seeded("cpu", seed, batch))
        states, rewards = samples.states[:, 0], samples.rewards[:, 0]
    best = rewards.view(BATCH, kind.runs).argmax(dim=1) + torch.arange(BATCH) * kind.runs
    plain = process.decode(states[best])
    found = {
        "rewards": [round(each, 5) for each in rewards[best].tolist()],
        "smiles": target.reward.scorer.smiles(states[best]),
        "valid": [each is not None for each in plain],
        "one_piece": metrics.connected_validity(plain),
        "per_molecule": {name: amount / BATCH for name, amount in spent.items()},
        "provenance": provenance(),
    }
    target.reward.scorer.close()
    return found if strength is None else found | {"strength": strength, "kl": reference_kl(samples, target.alpha)[0]}


def priced(
    sampler: sv.Sampler, reward: MoleculeReward, number: int, generator: torch.Generator
) -> tuple[sv.Samples, dict]:
    """So many samples, and their calls and seconds."""
    start = clock()
    samples = sampler.sample(number, generator=generator)
    asked = [each.target.reward for each in sampler.value.modules() if isinstance(each, sv.values.PosteriorMean)]
    for each in (reward, *asked):  # whose seconds count once they have ended
        if isinstance(each, MoleculeReward):
            each.scorer.close()
    spent = {each: getattr(samples.cost, each) for each in KINDS} | since(start)
    return samples, spent


def stored(reward: str, batch: int) -> tuple:
    """Finished states and rewards of the stored trajectories, and what drawing them costs."""
    rollouts, rows = trajectories(reward), slice(batch * BATCH * N, (batch + 1) * BATCH * N)
    return rollouts.states[rows, rollouts.request.num_steps], rollouts.rewards[rows], plain_costs(reward, BATCH * N)


def plain_costs(reward: str, number: int) -> dict:
    """What so many samples of the reference cost, by the row `pretrained`."""
    found = [each["per_molecule"] for name, each in results()["batches"].items() if name.startswith(f"{reward}/pre")]
    return {name: fmean(each[name] for each in found) * number for name in found[0]}


if __name__ == "__main__":
    main()
