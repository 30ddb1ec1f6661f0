"""What a call of each kind takes here, by the size of the batch."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch

from svlearn.metering import metered
from svlearn.modes import in_evaluation
from svlearn.placement import at_home
from svlearn.process import Reference, predict
from svlearn.randomness import device_of
from svlearn.reward import forget
from svlearn.state import State, repeat, take
from svlearn.targets import Target
from svlearn.values import Value, evaluate

SIZES = (1, 16, 256)  # states in a batch
SHARE = 0.02  # of the budget, that one measurement may take
COLUMNS = ["kind", "batch_size", "seconds_per_call"]


@in_evaluation
def measure(
    reference: Reference,
    target: Target,
    states: State,
    value: Value | None,
    *,
    limit: float,
    prices: Mapping[str, float],
    max_batch: int | None,
) -> dict[str, Any]:
    """A row for each kind of call and size of batch: seconds a state, of the reference at T/2 and of the reward, or of
    a value at T/2 alone; and the cost of it all. states (N, T + 1, ...): trajectories. value: one that reads (x, t), or
    None.

    A size is left out where the size before took more than `limit` seconds, where its prices by kind of call come to
    more, and beyond max_batch. A network's first call, which takes longer than all others, is in no row.
    """
    rows: list[tuple[str, int, float]] = []
    middle, last = reference.num_steps // 2, reference.num_steps
    with torch.no_grad(), metered(max_batch) as meter, at_home(reference, target, value):
        device = device_of(reference)
        calls: dict[str, Callable[[State], Any]] = {}
        points = {"reference_calls": states[:, middle].to(device), "reward_calls": states[:, last].to(device)}
        points["value_calls"] = points["reference_calls"]
        if value is None:
            calls = {"reference_calls": lambda x: predict(reference, x, middle), "reward_calls": target}
        elif not value.reads(middle) and not value.needs_generator:
            calls = {"value_calls": lambda x: evaluate(value, x, middle)}
        for kind, call in calls.items():
            if kind != "reward_calls":  # the pilot has scored, and a reward may be dear
                call(_of_size(points[kind], SIZES[0]))
                _wait(device)
            for size in [each for each in SIZES if max_batch is None or each <= max_batch]:
                if size > 1 and size * prices[kind] > limit:
                    break
                x = _of_size(points[kind], size)
                forget(target.reward)
                start = time.perf_counter()
                call(x)
                _wait(device)
                seconds = time.perf_counter() - start
                rows.append((kind, size, seconds / size))
                if seconds > limit:
                    break
    return {"table": pd.DataFrame(rows, columns=COLUMNS).to_dict("list"), "cost": meter.cost}


def fastest(table: pd.DataFrame) -> Mapping[str, float]:
    """Seconds a call of each kind, at the size of batch where it takes least; a gradient takes twice a call of the
    reference (the way back), a policy's what the reference's does."""
    rates = {str(kind): float(seconds) for kind, seconds in table.groupby("kind")["seconds_per_call"].min().items()}
    own = rates.get("reference_calls", 0.0)
    return {"gradient_calls": 2 * own, "policy_calls": own, **rates}


def _of_size(x: State, size: int) -> State:
    """So many rows, some of them several times where there are fewer."""
    copies = -(-size // len(x))
    return take(repeat(x, copies), torch.arange(size))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
