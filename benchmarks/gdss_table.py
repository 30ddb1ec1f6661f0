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
from dataclasses import dataclass, replace
from functools import cache, partial
from statistics import fmean

import torch
from tensordict import TensorDict
from tqdm.auto import tqdm

import svlearn as sv
from gdss_table_page import figure, page
from gdss_table_rows import UNDENOISED
from gdss_table_training import REWARDS, ROOT, RUNS, learned, made, reward_network, trajectories
from qm9_training import clock, since
from svlearn.domains.molecules import metrics
from svlearn.domains.molecules.rewards import MoleculeReward
from svlearn.evaluation.report.files import write
from svlearn.evaluation.report.provenance import provenance
from svlearn.inference.samples import Samples
from svlearn.metering import KINDS
from svlearn.randomness import seeded

RESULTS, STEPS = (ROOT / f"benchmarks/results/{name}.json" for name in ("gdss_table", "gdss_step"))
PAGE = ROOT / "docs/leaderboards/gdss.md"
BATCH, NUM_BATCHES, SEED, TUNING_SEED = 32, 4, 1, 1000
N, LATE = 10, 280
STRENGTHS = (10.0, 30.0, 100.0, 300.0)  # nats per unit of reward


@dataclass(frozen=True)
class Row:
    """A sampler, or a `Relay` of two, made of (reference, target, the reward's name).

    runs: so many samples are drawn for each that is kept, the one of the largest reward. strengths: `make` takes one
    of them as well, that of the largest mean reward of a batch of its own. stored: made of `trajectories`.
    """

    make: Callable[..., "sv.Sampler | Relay"]
    runs: int = 1
    strengths: tuple[float, ...] = ()
    stored: bool = False


def by_value(number: int, family: str = "monte_carlo", runs: int = 1) -> Row:
    return Row(lambda p, r, n: sv.svdd(p, r, learned(n, family, p), p.num_candidates(number)), runs)


class RewardOfState(sv.values.Value):
    """r(x_t), the noisy graph rounded as it stands: all that a network could know of it that does not denoise."""

    def __init__(self, target: sv.Target):
        super().__init__()
        self.target = target

    def forward(self, x: TensorDict, t: torch.Tensor, prediction: sv.Prediction | None = None) -> torch.Tensor:
        return self.target.floored(x, t)


def undenoised(number: int) -> Row:
    return Row(lambda p, r, n: sv.svdd(p, r, RewardOfState(r), p.num_candidates(number)))


def training_free(number: int) -> Row:
    return Row(lambda p, r, n: sv.svdd(p, r, sv.values.PosteriorMean(r), p.num_candidates(number)))


def at_the_predictor(process: sv.Reference) -> list[int]:
    """N candidates for x_0 and where the predictor draws, the last step apart, which is a Dirac; else one."""
    return [N, *[1, N] * (process.num_steps // 2 - 1), 1, 1]


def late(process: sv.Reference) -> list[int]:
    """N candidates where the corrector draws x_t for t >= LATE, else one."""
    return [number if t >= LATE else 1 for t, number in enumerate(process.num_candidates(N))]


@dataclass(frozen=True)
class Relay:
    """One sampler's states at t = LATE, from which another goes on; what the first does after that is paid as well."""

    early: sv.Sampler
    later: sv.Sampler

    def sample(self, number: int, *, generator: torch.Generator) -> Samples:
        first = self.early.sample(number, generator=generator, keep_states=True)
        second = self.later.resume(first.history.states[LATE][:, 0], LATE, generator=generator)
        return replace(second, cost=first.cost + second.cost)


def value_then_reward(process: sv.Reference, target: sv.Target, name: str) -> Relay:
    """The contrastive twist chooses until t = LATE, r(x̂_T) from there."""
    early = sv.svdd(process, target, learned(name, "contrastive_twist", process), process.num_candidates(N))
    return Relay(early, sv.svdd(process, target, sv.values.PosteriorMean(target), late(process)))


def posterior_sampling(reference: sv.Reference, target: sv.Target, name: str, strength: float) -> sv.Sampler:
    """DPS: the gradient of r_θ(x̂_T(x_t)) in x_t."""
    guess = sv.values.PosteriorMean(sv.Target(reward_network(name, reference), target.alpha))
    return sv.guidance(reference, target, guess, strength, at="state")


def classifier(reference: sv.Reference, target: sv.Target, name: str, strength: float) -> sv.Sampler:
    """The gradient of the learned value at the mean of the step."""
    return sv.guidance(reference, target, learned(name, "monte_carlo", reference), strength, at="mean")


ROWS = {
    "pretrained": Row(lambda p, r, n: sv.ancestral(p, r)),
    "best-of-10": Row(lambda p, r, n: sv.ancestral(p, r), N, stored=True),
    "SVDD-MC": by_value(10),
    "SVDD-PM": training_free(10),
    "DPS": Row(posterior_sampling, strengths=STRENGTHS),
    "classifier guidance": Row(classifier, strengths=STRENGTHS),
    "SVDD-MC, M = 100": by_value(100),
    "SVDD-PM, M = 2": training_free(2),
    "SVDD-MC, M = 2": by_value(2),
    "SVDD-MC, best of 5": by_value(10, runs=5),
    "SVDD-PM, M = 5": training_free(5),
    "SVDD-MC, M = 30": by_value(30),
    "SVDD, contrastive energy": by_value(10, "contrastive_energy"),
    "SVDD-MC, chosen at the predictor": Row(
        lambda p, r, n: sv.svdd(p, r, learned(n, "monte_carlo", p), at_the_predictor(p))
    ),
    "SVDD-PM, chosen at the predictor": Row(
        lambda p, r, n: sv.svdd(p, r, sv.values.PosteriorMean(r), at_the_predictor(p))
    ),
    "SVDD, contrastive twist": by_value(10, "contrastive_twist"),
    "SVDD, soft-Q": by_value(10, "soft_q"),
    "SVDD, path consistency": by_value(10, "path_consistency"),
    "SVDD, contrastive twist, M = 100": by_value(100, "contrastive_twist"),
    "SVDD, contrastive twist, best of 5": by_value(10, "contrastive_twist", runs=5),
    UNDENOISED: undenoised(10),
    "SVDD-PM, late": Row(lambda p, r, n: sv.svdd(p, r, sv.values.PosteriorMean(r), late(p))),
    "SVDD-MC, late": Row(lambda p, r, n: sv.svdd(p, r, learned(n, "monte_carlo", p), late(p))),
    "SVDD, contrastive twist, then SVDD-PM": Row(value_then_reward),
    "SVDD, contrastive twist, late": Row(lambda p, r, n: sv.svdd(p, r, learned(n, "contrastive_twist", p), late(p))),
}


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
                keep(held, key(reward, row, SEED, batch), partial(draw, reward, row, SEED, batch, strength))
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
        keep(held, key(reward, name, TUNING_SEED, 0), partial(draw, reward, row, TUNING_SEED, 0, strength))
        means[strength] = fmean(held["batches"][key(reward, name, TUNING_SEED, 0)]["rewards"])
    return max(means, key=lambda each: means[each])


@cache
def reference() -> sv.Reference:
    return sv.load("gdss-zinc250k")


def draw(reward: str, row: str, seed: int, batch: int, strength: float | None) -> dict:
    """A batch of a row: molecules, their rewards, whether they came valid without repair, and what they cost."""
    kind, process = ROWS[row], reference()
    target = sv.Target(made(reward), 0.0 if strength is None else 1.0)
    if kind.stored:
        states, rewards, spent = stored(reward, batch)
    else:
        sampler = kind.make(process, target, reward, *([] if strength is None else [strength]))
        states, rewards, spent = priced(sampler, target.reward, BATCH * kind.runs, seeded("cpu", seed, batch))
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
    return found if strength is None else found | {"strength": strength}


def priced(sampler: sv.Sampler | Relay, reward: MoleculeReward, number: int, generator: torch.Generator) -> tuple:
    """Finished states and rewards of so many samples, and their calls and seconds."""
    start = clock()
    samples = sampler.sample(number, generator=generator)
    reward.scorer.close()  # whose seconds count once it has ended
    spent = {each: getattr(samples.cost, each) for each in KINDS} | since(start)
    return samples.states[:, 0], samples.rewards[:, 0], spent


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
