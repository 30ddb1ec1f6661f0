"""The three trainings of the authors' code (decode.py, `train`), each on the same plain samples of the reference.

    rewd  the reward of the graph that the network is shown, the predictor's mean of a level; what the code does unasked
    ori   the reward of the finished sample that the graph becomes: Monte Carlo regression, as the paper says
    PM    the reward of x̂_0, and it is x̂_0 that the network is shown; when it chooses, it is shown x_t

Theirs runs on new samples without end, 128 with all of their 1000 levels a step; here 40 are drawn once, with every
tenth of 200 levels, and 8 of them are kept to judge by.
"""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from benchmarks.common.artifacts import missing
from benchmarks.common.clock import clock, since
from benchmarks.gdss.trajectories import RUNS, made
from benchmarks.gdss_published.network import DEPTH, WIDTH, PublishedNetwork
from benchmarks.gdss_published.sampler import clean, plain
from svlearn.checkpoints import load_into, save
from svlearn.domains.molecules.gdss import GDSS
from svlearn.domains.molecules.gdss.state import continuous_state
from svlearn.domains.molecules.graph import draw_mask
from svlearn.randomness import seeded

TRAININGS = ("rewd", "ori", "PM")
NUM_SAMPLES, EVERY, HELD_OUT = 40, 10, 8
NUM_STEPS, BATCH, RATE, CLIP, SEED = 250, 64, 1e-3, 10.0, 7
HOME = RUNS.with_name("gdss_published")


class Examples(dict[str, Tensor]):
    """Graphs of plain samples and their rewards, (L, S, ...): level by level, sample by sample.

    x, adj: the predictor's means; clean_x, clean_adj: x̂_0; rewd, PM, ori: what each training regresses on.
    """


def reward_of(x: Tensor, adj: Tensor) -> Tensor:
    """QED of graphs as the authors' code reads them: all places count, valences are repaired, one piece is kept."""
    return _qed()(continuous_state(x, adj, torch.ones(x.shape[:2], dtype=torch.bool)))


@cache
def _qed() -> Callable:
    return made("QED")


@torch.no_grad()
def examples(process: GDSS) -> Examples:
    """So many plain samples at every few levels, and at the last."""
    generator = seeded("cpu", SEED)
    mask = draw_mask(process.size_weights, NUM_SAMPLES, generator=generator)
    last = process.num_steps // 2 - 1
    kept: dict[str, list[Tensor]] = {name: [] for name in ("x", "adj", "clean_x", "clean_adj", "rewd", "PM")}
    levels = plain(process, mask, lambda shape: torch.randn(shape, generator=generator))
    for level, moved in enumerate(tqdm(levels, total=last + 1, desc="plain samples")):
        if level % EVERY and level != last:
            continue
        shown = moved.mean_x, moved.mean_adj
        denoised = shown if level == last else tuple(clean(process, moved.x, moved.adj, mask, level))
        parts = (*shown, *denoised, reward_of(*shown), reward_of(*denoised))
        for name, part in zip(kept, parts):
            kept[name].append(part)
    held = Examples({name: torch.stack(parts) for name, parts in kept.items()})
    held["ori"] = held["rewd"][-1].expand_as(held["rewd"])
    return held


def batches(data: Examples, training: str, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Without end: what the network is shown, and the rewards."""
    prefix = "clean_" if training == "PM" else ""
    levels, samples = data["rewd"].shape
    while True:
        level = torch.randint(levels, (BATCH,), generator=generator)
        sample = torch.randint(HELD_OUT, samples, (BATCH,), generator=generator)
        yield data[f"{prefix}x"][level, sample], data[f"{prefix}adj"][level, sample], data[training][level, sample]


def fitted(data: Examples, training: str) -> PublishedNetwork:
    """The network after its training, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)  # of the first weights and of dropout, which torch draws from its global generator
        network = PublishedNetwork()
        optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.0)
        shown = batches(data, training, seeded("cpu", SEED, 1))
        for _ in tqdm(range(NUM_STEPS), desc=training):
            x, adj, rewards = next(shown)
            loss = F.mse_loss(network(x, adj), rewards)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
    return network.eval()


@torch.no_grad()
def judged(network: PublishedNetwork, data: Examples, training: str) -> dict[str, float]:
    """Pearson correlations on samples that it did not learn from, shown the graphs that it will choose among.

    own: with what it regresses on; final: with the reward of the finished sample.
    """
    x, adj = (data[name][:, :HELD_OUT].flatten(0, 1) for name in ("x", "adj"))
    guesses = network(x, adj).numpy()
    targets = {"own": data[training], "final": data["ori"]}
    return {
        name: float(np.corrcoef(guesses, target[:, :HELD_OUT].flatten().numpy())[0, 1])
        for name, target in targets.items()
    }


def trained(training: str, data: Callable[[], Examples]) -> tuple[PublishedNetwork, dict[str, float] | None]:
    """The network of a training, from disk where it is there; else made, with its figures."""
    file = HOME / f"{training}.safetensors"
    settings = {"samples": NUM_SAMPLES, "every": EVERY, "steps": NUM_STEPS, "batch": BATCH, "rate": RATE}
    if not missing(file, **settings, width=WIDTH, depth=DEPTH, seed=SEED):
        return load_into(PublishedNetwork(), file).eval(), None
    known, begin = data(), clock()
    network = fitted(known, training)
    spent = since(begin)["cpu_seconds"]
    save(network, file, training=training)
    return network, judged(network, known, training) | {"cpu_seconds": spent}
