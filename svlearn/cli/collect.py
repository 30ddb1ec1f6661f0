"""Roll out trajectories of a reference or a policy, and keep them on disk for training and for judging values.

    svlearn collect --reference qm9 --num_trajectories 1000 --path runs/rollouts \\
        --reward svlearn.domains.molecules.rewards.QED

Writes a store of states (N, T + 1, ...), and of rewards (N,) where a reward is given, to <path>. A run that was killed
goes on where it was, and the same command again draws nothing; `svlearn.rollouts.Rollouts.open(path)` reads them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import svlearn as sv
from svlearn.cli.conditions import as_condition
from svlearn.cli.parser import call
from svlearn.cli.written import show_written
from svlearn.files import user_path


def collect(
    reference: sv.Reference | str,
    num_trajectories: int,
    path: Path,
    reward: Callable | None = None,
    conditions: Any = None,
    batch_size: int = 256,
    seed: int = 0,
    max_batch: int | None = None,
    times: int | list[int] | None = None,
) -> None:
    """Collect trajectories.

    Args:
        reference: the process, or the name or file of one for svlearn.load.
        num_trajectories: how many.
        path: the folder of the store.
        reward: a callable of finished states, whose rewards are kept too.
        conditions: what they are conditioned on, texts or rows of numbers.
        batch_size: trajectories rolled out at a time.
        seed: of the draws.
        max_batch: states in one network call.
        times: how many states of each trajectory to keep, at times drawn anew for each, or at which times; all if none.
    """
    process = sv.load(reference) if isinstance(reference, str) else reference
    options = {} if conditions is None else {"conditions": as_condition(conditions, "conditions")}
    rollouts = sv.collect(
        process,
        num_trajectories,
        user_path(path),
        target=None if reward is None else sv.Target(reward, alpha=0.0),
        batch_size=batch_size,
        seed=seed,
        max_batch=max_batch,
        times=times,
        **options,
    )
    show_written({path: f"{len(rollouts)} trajectories"})


def run() -> None:
    call(collect, __doc__)
