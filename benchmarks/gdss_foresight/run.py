"""What choosing by a value of GDSS gains, by t, and so when SVDD-PM should take over: the page gdss_foresight.md.

    python -m benchmarks gdss_foresight [--rewards QED]         # about 40 minutes of one core a reward

draws 512 trajectories of the reference that no value learned from, and takes at each step that has candidates what the
better of two of them is worth at the end (`values.selection_gain.selection_gain`), and the correlation of v_t(x_t) with
the reward: of the learned values of the table (benchmarks/gdss_table) and of r(x̂_T). `values.Switch.fit` hands over
where the sum of the gains is largest. Writes benchmarks/results/gdss_foresight.json, reward by reward; a second run
goes on.
"""

import argparse
from functools import cache, partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from tensordict import TensorDict
from tqdm.auto import tqdm

import svlearn as sv
from benchmarks.common.command import add_choice
from benchmarks.common.figures import style, svg
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.gdss.rows import gather
from benchmarks.gdss.trajectories import REWARDS, made
from benchmarks.gdss.values import learned
from benchmarks.gdss_foresight.page import CURVES, FREE, page
from benchmarks.gdss_table.batches import RESULTS as TABLE
from benchmarks.gdss_table.batches import reference
from svlearn.evaluation.report.figures import COLORS
from svlearn.evaluation.report.provenance import provenance
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values.selection_gain import selection_gain

PAGE = PAGES / "gdss_foresight.md"
NUM_TRAJECTORIES, NUM_OTHERS, SEED, MAX_BATCH = 512, 3, 7, 256
RESULTS = Results("gdss_foresight", {"trajectories": NUM_TRAJECTORIES, "rewards": {}})


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rewards", REWARDS)


def measure(options: argparse.Namespace) -> None:
    for reward in tqdm(options.rewards, unit="reward"):
        RESULTS.finish(partial(measured, reward), "rewards", reward, complete=add_provenance)


def add_provenance(held: dict) -> None:
    held["provenance"] = provenance()


def measured(reward: str) -> dict[str, list]:
    """The columns of `selection_gain`, by the names of the values."""
    target, process, drawn = sv.Target(made(reward), 0.0), reference(), trajectories()
    values = [
        sv.values.PosteriorMean(target) if each == FREE else learned(reward, CURVES[each], process) for each in CURVES
    ]
    steps = [t for t, number in enumerate(process.num_candidates(2)) if number > 1 and t < process.num_steps]
    rewards = target(drawn["states"][:, process.num_steps])
    own = {"generator": seeded("cpu", SEED, 1), "max_batch": MAX_BATCH, "progress": True}
    gains = selection_gain(values, process, drawn, rewards=rewards, steps=steps, num_others=NUM_OTHERS, **own)
    target.reward.scorer.close()
    gains["value"] = gains["value"].map(dict(enumerate(CURVES)))
    return {name: [round(x, 5) if isinstance(x, float) else x for x in gains[name].fillna(0.0)] for name in gains}


@cache
def trajectories() -> TensorDict:
    return roll_out(reference(), NUM_TRAJECTORIES, generator=seeded("cpu", SEED))


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held, gather(TABLE.read())), PAGE.with_suffix(".svg"): figure(held)}


def figure(held: dict) -> str:
    """The gains of all choices from t on, and below them the correlations, smoothed over ten choices."""
    with style("foresight"):
        drawing = Figure(figsize=(9, 6))
        panels = drawing.subplots(2, 2, sharex=True, sharey="row", squeeze=False)
        for (upper, lower), (reward, columns) in zip(panels.T, held["rewards"].items()):
            for color, (name, own) in zip(COLORS, pd.DataFrame(columns).groupby("value", sort=False)):
                upper.plot(own["t"], own["gain"][::-1].cumsum()[::-1], color=color, label=name)
                lower.plot(own["t"], own["pearson"].rolling(10, center=True).mean(), color=color)
            for axes in (upper, lower):
                axes.axhline(0, color="#999999", linewidth=0.8)
            upper.set_title(reward)
            lower.set_xlabel("t")
        panels[0, 0].set_ylabel("gain of choosing from t on")
        panels[1, 0].set_ylabel("correlation with the reward")
        return svg(drawing, panels[0, 0], 3)
