"""GDSS's score networks: milliseconds a molecule of one evaluation of both, against the published equations plainly.

    python -m benchmarks gdss_networks                # two threads, on a machine that does nothing else
    OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 python -m benchmarks gdss_networks --repeats 5      # on a busy one

A batch of 64 molecules of ZINC-250k's sizes, padded to 38 nodes, for both checkpoints. The sides take turns, so that
what else runs on the machine meets all of them; what is reported is the median and the least over the turns, of wall
time and of CPU time (of all threads). The plain side is tests/domains/molecules/gdss/plain_gdss.py, which goes channel
by channel over all 38 x 38 entries, as the authors' code does. Each further side adds one change, but for the last
two. Writes benchmarks/results/gdss.json and, with what a step costs (the study gdss_step),
docs/leaderboards/gdss_speed.md.
"""

import argparse
import os
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from tqdm.auto import tqdm

from benchmarks.common.clock import timed
from benchmarks.common.paths import ROOT
from benchmarks.gdss_step.run import NETWORKS, pages
from svlearn.assets import fetch
from svlearn.domains.molecules.gdss import packing
from svlearn.domains.molecules.gdss.checkpoint import read
from svlearn.domains.molecules.gdss.networks import ScoreNetworks
from svlearn.domains.molecules.gdss.sizes import SIZES
from svlearn.evaluation.report.provenance import provenance
from svlearn.randomness import seeded

__all__ = ["pages"]  # that of what a step costs has the networks as well

PLAIN = ROOT / "tests/domains/molecules/gdss/plain_gdss.py"  # what the networks' own tests hold them to
CHECKPOINTS = {"v1": "gdss/gdss_zinc250k.pth", "v2": "gdss/gdss_zinc250k_v2.pth"}
BATCH, NODES, FEATURES = 64, 38, 9
AUTHORS_MS, WANTED_MS = 6.7, 2.0  # the authors' code on two cores, and what issue 5 asks for
ONE_CUT = {"cpu": BATCH * NODES**2}

Batch = tuple[Tensor, Tensor, Tensor]


def plain_module() -> ModuleType:
    spec = spec_from_file_location("plain_gdss", PLAIN)
    if spec is None or spec.loader is None:
        raise ImportError(f"{PLAIN}: expected a module of the tests there")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def molecules() -> Batch:
    """x, adj and mask of noise on graphs of ZINC-250k's sizes."""
    generator = seeded("cpu", 0)
    counts = 1 + torch.multinomial(
        torch.tensor(SIZES["ZINC250k"], dtype=torch.float64), BATCH, True, generator=generator
    )
    mask = torch.arange(NODES) < counts.unsqueeze(1)
    upper = torch.randn(BATCH, NODES, NODES, generator=generator).triu(1)
    x = torch.randn(BATCH, NODES, FEATURES, generator=generator) * mask.unsqueeze(2)
    return x, (upper + upper.mT) * mask.unsqueeze(2) * mask.unsqueeze(1), mask


def sides_of(path: Path, batch: Batch) -> dict[str, Callable[[], Any]]:
    """What is compared, each an evaluation of both networks on the whole batch."""
    with torch.serialization.safe_globals([(OrderedDict, "easydict.EasyDict")]):
        content = torch.load(path, map_location="cpu", weights_only=True)
    checkpoint = read(path)
    networks = ScoreNetworks(checkpoint.network_x, checkpoint.network_adj)
    full, published = (*batch[:2], torch.ones_like(batch[2])), plain_module()

    def plain() -> tuple[Tensor, Tensor]:
        return (
            published.score_x(*batch, content["x_state_dict"], content["params_x"]),
            published.score_adj(*batch, content["adj_state_dict"], content["params_adj"]),
        )

    def in_one_cut(of: Batch) -> None:
        with patch.object(packing, "CELLS", ONE_CUT):
            checkpoint.network_x(*of)
            checkpoint.network_adj(*of)

    def apart() -> None:
        checkpoint.network_x(*batch)
        checkpoint.network_adj(*batch)

    def with_gradient() -> None:
        with torch.enable_grad():
            inputs = [part.detach().requires_grad_() for part in batch[:2]]
            torch.autograd.grad(sum(score.square().sum() for score in networks(*inputs, batch[2])), inputs)

    return {
        "plain": plain,
        "all channels at once, each pair once": lambda: in_one_cut(full),
        "padding cut to the largest": lambda: in_one_cut(batch),
        "cut by size": apart,
        "one cut for both networks": lambda: networks(*batch),
        "with the gradient": with_gradient,
    }


@torch.no_grad()
def compare(name: str, repeats: int) -> dict[str, Any]:
    batch = molecules()
    sides = sides_of(fetch(CHECKPOINTS[name]), batch)
    difference = max(
        float((ours - theirs).abs().max())
        for ours, theirs in zip(sides["one cut for both networks"](), sides["plain"]())
    )
    turns: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for _ in tqdm(range(repeats + 1), desc=name):
        for side, run in sides.items():
            turns[side].append(timed(run))
    rows = {side: summary(times[1:]) for side, times in turns.items()}
    for row in rows.values():
        for clock in ("wall", "cpu"):
            row[f"{clock}_speedup"] = rows["plain"][f"{clock}_ms"] / row[f"{clock}_ms"]
    return {"sides": rows, "largest_difference": difference, "repeats": repeats}


def summary(turns: list[tuple[float, float]]) -> dict[str, float]:
    """Milliseconds a molecule."""
    wall, cpu = ([1e3 * each / BATCH for each in part] for part in zip(*turns))
    return {
        "wall_ms": statistics.median(wall),
        "least_wall_ms": min(wall),
        "cpu_ms": statistics.median(cpu),
        "least_cpu_ms": min(cpu),
    }


def nanoseconds(function: Callable[[Tensor], Tensor], repeats: int = 50) -> float:
    """The least per number, on as many as stay in the cache."""
    x, best = torch.randn(1 << 18, generator=seeded("cpu", 0)), float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function(x)
        best = min(best, time.perf_counter() - start)
    return 1e9 * best / x.numel()


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=21, help="turns of each side (default 21)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default 2)")


def measure(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {
        "batch": BATCH,
        "nodes": NODES,
        "authors_ms": AUTHORS_MS,
        "wanted_ms": WANTED_MS,
        "load": os.getloadavg()[0],  # of the machine, before: above 0.5 the wall times are not the networks' own
        "activation_ns": {each.__name__: nanoseconds(each) for each in (torch.tanh, torch.sigmoid)},
        "checkpoints": {},
        "provenance": provenance(),
    }
    for name in CHECKPOINTS:
        entry = results["checkpoints"][name] = compare(name, options.repeats)
        for side, row in entry["sides"].items():
            print(
                f"{row['wall_ms']:8.3f} ms wall {row['cpu_ms']:8.3f} ms CPU {row['cpu_speedup']:6.1f} x  {name}: {side}"
            )
        print(f"largest difference from plain: {entry['largest_difference']:.1e}")
    NETWORKS.write(results)
