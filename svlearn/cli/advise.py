"""Which sampler to use for a model, a reward and a budget, and from how many samples on training pays.

    svlearn advise --config qm9 --budget 10m --for_samples 1000
    svlearn advise --config my.yaml --budget '2e5 calls' --for_samples 300 --output runs/advice

A YAML says which reference and which reward, and what else may be tried:

    reference: qm9                     # a name or a file for svlearn.load, or a class_path with init_args
    reward: {class_path: svlearn.domains.molecules.rewards.QED}
    targets: {greedy: {alpha: 0.0}}    # the first is taken
    values:                            # at hand
      shipped: {class_path: svlearn.load_value, init_args: {name_or_path: qm9-qed-monte-carlo}}
    trainable:                         # to be trained, on a part of the budget: values, surrogates, policies
      learned: {class_path: svlearn.values.Learned, init_args: {network: {class_path: my_module.Network}}}
      copy: {class_path: svlearn.policies.Finetuned}

It is not said which sampler, with how many candidates, or when: plain samples tell what is to be beaten, each value how
much a choice by it gains at each step, and what looks promising races on fresh samples. What is recommended has beaten
the best of as many plain samples as its own price buys, on samples that no choice was made by; else that is
recommended, and why. `prices` are what a call costs on top of what the clock measures, or in a budget of calls, by
kind: `--prices '{reward_calls: 20}'` is a reward that takes 20 seconds on another machine.

The answer goes to the terminal. Written to <output>: advice.html and advice.json, and advised.yaml, where all parts
have a name, for `svlearn evaluate --config <output>/advised.yaml`; trained values under values/, policies under
policies/. What is measured is kept in parts.json there: the same command again goes on from it.

Several processes share the draws of the race and of the final, where the budget is in calls, and give one advice, that
of one process. A budget in seconds is that of one process: the first alone advises, and the others end at once.

    torchrun --nproc-per-node 2 -m svlearn advise --config qm9 --budget '2e5 calls' --for_samples 1000
"""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import svlearn as sv
from svlearn.advising.budget import Budget
from svlearn.cli.conditions import as_condition
from svlearn.cli.parser import call
from svlearn.cli.parts import Parts
from svlearn.cli.written import attempt, show, show_written
from svlearn.files import check_writable, user_path, write
from svlearn.process_group import joined, launched, number
from svlearn.processes import rank
from svlearn.randomness import global_draws_from, seeded

FILE = "advise.yaml"
MAPPINGS = ("targets", "policies", "values", "trainable", "samplers")


def advise(
    reference: sv.Reference | str,
    budget: str | float,
    for_samples: int,
    reward: Callable | None = None,
    targets: dict | None = None,
    policies: dict | None = None,
    values: dict | None = None,
    trainable: dict | None = None,
    samplers: dict | None = None,
    prices: dict | None = None,
    per_sample: float | None = None,
    condition: Any = None,
    output: Path = Path("advice"),
    seed: int = 0,
    max_batch: int | None = 512,
    request: dict[str, Any] | None = None,
) -> None:
    """Say which sampler to use.

    Args:
        reference: the pretrained process, or the name or the file of one for svlearn.load.
        budget: what the advice may spend, as 600s, 10m, 2h or '2e5 calls'.
        for_samples: how many samples are wanted afterwards; training is shared out over them.
        reward: a callable of finished states.
        targets: by name, an alpha each; the first is the one that is asked about.
        policies: by name, what makes each; they race.
        values: by name, what makes each of those at hand.
        trainable: by name, what makes each value, surrogate or policy to train; none, and svlearn takes a network.
        samplers: by name, what makes each of others that race.
        prices: by kind of call, what one costs in the budget's unit, on top of the seconds measured.
        per_sample: the most that a sample may cost, in the budget's unit.
        condition: what the samples are conditioned on, texts or rows of numbers.
        output: where the answer goes.
        seed: of all that is drawn.
        max_batch: states in one network call.
        request: the command line, of which the configuration that is written takes its parts.
    """
    in_calls = Budget.of(budget).unit == "calls"
    if not in_calls and launched() and rank() > 0:
        show(f"rank {rank()} ends: a budget in seconds is spent by the first process alone; give one in calls to share")
        return
    output = user_path(output)
    for file in ("advice.html", "advice.json", "advised.yaml", "parts.json"):
        check_writable(output / file, "output")
    process = sv.load(reference) if isinstance(reference, str) else reference
    own = {} if trainable is None else trainable
    for kind, others in (("values", values), ("policies", policies)):
        for name in set({} if others is None else others) & set(own):
            raise ValueError(f"trainable: expected names of their own, got {name!r}, which is one of {kind}")
    named = {"targets": targets, "policies": policies, "values": values, "trainable": own, "samplers": samplers}
    parts = Parts(process, reward, **named)
    if not parts.recipes["targets"]:
        raise ValueError("reward: expected a reward, or targets that have one, got neither")
    with global_draws_from(seeded("cpu", seed)):  # the first weights of networks
        made, trained = parts.all("values"), parts.all("trainable")
    with joined() if in_calls else nullcontext(False) as together:
        is_first = number() == 0
        advice = sv.advise(
            process,
            parts.get("targets", next(iter(parts.recipes["targets"]))),
            budget=budget,
            for_samples=for_samples,
            per_sample=per_sample,
            prices=prices,
            values=made,
            trainable=None if trainable is None else trained,
            policies=parts.all("policies"),
            samplers=parts.all("samplers"),
            condition=as_condition(condition, "condition"),
            seed=seed,
            max_batch=max_batch,
            folder=output,
            base=request,
            progress=True,
            together=together,
        )
    if not is_first:  # it writes the answer
        return
    show(str(advice))
    files = {
        output / "advice.html": ("the page", advice.to_html),
        output / "advice.json": ("the answer, figures and provenance", advice.to_json),
        output / "advised.yaml": ("for `svlearn evaluate --config`", lambda path: write(path, advice.yaml)),
    }
    whole = {path: attempt(path, make) for path, (_, make) in files.items()}
    show_written({path: what for path, (what, _) in files.items() if whole[path]} | trained_parts(output))
    if not all(whole.values()):
        sys.exit(1)


def trained_parts(output: Path) -> dict[Path, str]:
    """What an advice has trained and kept, by file."""
    kinds = {"values": "a value, for svlearn.load_value", "policies": "a policy"}
    return {path: what for kind, what in kinds.items() for path in sorted((output / kind).glob("*.safetensors"))}


def run() -> None:
    call(advise, __doc__, FILE, mappings=MAPPINGS)
