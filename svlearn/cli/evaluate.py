"""Is what was learned worth it? Compare samplers on one reference and one reward, with what each costs.

    svlearn evaluate --config qm9
    svlearn evaluate --config qm9 --num_samples 64 --output reports/few

A YAML says which reference, which reward, and which samplers, each by the function that makes it and its arguments,
under names that are yours; what it leaves out, the reference and the target, is filled in:

    reference: qm9                     # a name or a file for svlearn.load, or a class_path with init_args
    reward: {class_path: svlearn.domains.molecules.rewards.QED}
    targets: {greedy: {alpha: 0.0}, soft: {alpha: 0.01}}     # the first is that of samplers which name none
    values:
      learned: {class_path: svlearn.load_value, init_args: {name_or_path: runs/value.safetensors}}
    samplers:
      pretrained: {class_path: svlearn.ancestral}
      learned value: {class_path: svlearn.svdd, init_args: {value: learned, num_candidates: 10}}
      SMC: {class_path: svlearn.smc, init_args: {target: soft, value: learned, num_particles: 10}}

`judges` are rewards that guide nothing, a predicate among them, and `metrics` functions of all decoded samples; each
is one more column of the table, under its name:

    judges: {Optimus: {class_path: svlearn.domains.sequences.rewards.Optimus5Prime}}

The table goes to the terminal. Written to <output>: the page report.html, the figures comparison.json and
comparison.csv, and the best samples samples.svg, where the reference draws them. Each sampler that is done is kept in
<output>/partial.json: `--resume true` goes on from there after a stop, and runs again what failed. What stands in a
YAML can be overridden, as in `--samplers.SMC.init_args.num_particles 20`.

Several processes share the work, each sampler, seed and block of samples to one of them, and write one page:

    torchrun --nproc-per-node 2 -m svlearn evaluate --config qm9 --block_size 32

What is drawn does not depend on how many they are. Of one seed without blocks each sampler is left to one process.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch

import svlearn as sv
from svlearn.cli.conditions import as_condition
from svlearn.cli.parser import call
from svlearn.cli.parts import KINDS, Parts
from svlearn.cli.request import identity_of_request
from svlearn.cli.written import attempt, show, show_written
from svlearn.evaluation.partial import Partial
from svlearn.files import check_writable, user_path, write
from svlearn.process_group import joined, number
from svlearn.rollouts import held_out
from svlearn.values.calibration import calibrate

FILE = "evaluate.yaml"


def evaluate(
    reference: sv.Reference | str,
    samplers: dict,
    reward: Callable | None = None,
    targets: dict | None = None,
    policies: dict | None = None,
    values: dict | None = None,
    judges: dict | None = None,
    metrics: dict | None = None,
    pairs: list[list[str]] | None = None,
    condition: Any = None,
    rollouts: Path | None = None,
    output: Path = Path("reports"),
    num_samples: int = 256,
    seed: int | list[int] = 0,
    max_batch: int | Literal["auto"] | None = 512,
    block_size: int | None = None,
    results: Path | None = None,
    resume: bool = False,
    request: dict[str, Any] | None = None,
) -> None:
    """Compare samplers on one reference and one reward.

    Args:
        reference: the pretrained process, or the name or the file of one for svlearn.load.
        samplers: by name, what makes each and with which arguments.
        reward: a callable of finished states.
        targets: by name, an alpha each, and a reward where it is another; the first is the default.
        policies: by name, what makes each.
        values: by name, what makes each.
        judges: by name, what makes each: a callable of finished states, whose mean is a figure of its name.
        metrics: by name, what makes each: a callable of all decoded samples that gives one number.
        pairs: which sampler is set against which in a sentence, as [[learned, baseline], ...]; none: the learned values
            against the posterior mean.
        condition: what the samples are conditioned on, texts or rows of numbers.
        rollouts: trajectories of the reference, for the correlation of the values with the reward by time step.
        output: where the report goes.
        num_samples: samples of each sampler and seed.
        seed: one or several.
        max_batch: states in one network call; auto finds how many fit the memory.
        block_size: draw a seed's samples in blocks of so many, each by a stream of its own, that processes can share.
        results: where the JSON goes, if not to the output.
        resume: take the samplers of this very request that are done from <output>/partial.json.
        request: the command line, by which a partial file is told from that of another request.
    """
    output, rollouts = user_path(output), None if rollouts is None else user_path(rollouts)
    for file in ("report.html", "comparison.csv", "samples.svg", "partial.json"):
        check_writable(output / file, "output")
    results = check_writable(output / "comparison.json" if results is None else results, "results")
    process = sv.load(reference) if isinstance(reference, str) else reference
    judging = {"judges": judges, "metrics": metrics}
    parts = Parts(process, reward, targets=targets, policies=policies, values=values, samplers=samplers, **judging)
    made = parts.all("samplers")
    for pair in [] if pairs is None else pairs:
        if len(pair) != 2 or not set(pair) <= set(made):
            raise ValueError(f"pairs: expected two of {', '.join(made)} each, got {pair}")
    conditioned = {} if condition is None else {"condition": as_condition(condition, "condition")}
    with joined() as together:
        is_first = number() == 0
        comparison = sv.compare(
            made,
            num_samples,
            seed=seed,
            max_batch=max_batch,
            progress=True,
            calibrations={} if rollouts is None else calibrations(parts.all("values"), made, process, rollouts),
            partial=Partial(output / "partial.json", identity_of_request(request, process), resume=resume),
            judges=parts.all("judges"),
            metrics=parts.all("metrics"),
            block_size=block_size,
            together=together,
            **conditioned,
        )
    if not is_first:  # the first writes the page, and tells by its status; a launcher would end it where another fails
        return
    if pairs is not None:
        comparison = dataclasses.replace(comparison, pairs=tuple((one, other) for one, other in pairs))
    show("\n".join([str(comparison), *(f"\n{sentence}" for sentence in comparison.verdicts())]))
    files = {
        output / "report.html": ("the page", comparison.to_html),
        output / "comparison.csv": ("the figures", comparison.to_csv),
        results: ("the figures, rewards and provenance", comparison.to_json),
        output / "samples.svg": ("the best samples", lambda path: draw_best(comparison, process, path)),
    }
    (output / "samples.svg").unlink(missing_ok=True)  # pictures of an earlier run are none of this one
    whole = {path: attempt(path, make) for path, (_, make) in files.items()}
    show_written({path: what for path, (what, _) in files.items() if whole[path] and path.exists()})
    if comparison.failures or not all(whole.values()):
        print(f"not all is done: `--resume true` takes what is from {output / 'partial.json'}", file=sys.stderr)
        sys.exit(1)


@torch.no_grad()
def calibrations(
    values: dict[str, sv.Value], samplers: dict[str, sv.Sampler], reference: sv.Reference, rollouts: Path
) -> dict[str, pd.DataFrame]:
    """How well each value agrees with the reward by time step, on trajectories that trained none of them; by the name
    of the first sampler that it guides, whose diagnosis then speaks of it, or by its own."""
    trajectories, tables = held_out(rollouts), {}
    for name, value in values.items():
        guided = [each for each, sampler in samplers.items() if sampler.value is value]
        tables[next(iter(guided), name)] = calibrate(value, reference, trajectories)
    return tables


def draw_best(comparison: sv.Comparison, reference: sv.Reference, path: Path, each: int = 6) -> None:
    """A row of pictures for every sampler: its best samples with their rewards, of several conditions the best of
    each, then the second best of each, until there are so many."""
    objects, captions = [], []
    for name, gallery in comparison.galleries.items():
        if gallery.draw is None:  # text
            continue
        parts = [(f"{name}, {label}", part.galleries.get(name)) for label, part in comparison.by_condition.items()]
        bests = [(title, [] if part is None else part.best) for title, part in parts] or [(name, gallery.best)]
        ranked = [(title, best[rank]) for rank in range(each) for title, best in bests if rank < len(best)]
        objects += [thing for _, (thing, _) in ranked[:each]]
        captions += [f"{title}: {reward:.3f}" for title, (_, reward) in ranked[:each]]
    markup = reference.draw(objects, captions) if objects else None
    if markup is not None:
        write(path, markup)


def run() -> None:
    call(evaluate, __doc__, FILE, mappings=tuple(KINDS))
