"""Rounds of a dear reward: guide by the surrogate, score the few best, learn from them as well."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from svlearn.arguments import expect, integer
from svlearn.inference.sampler import Sampler
from svlearn.state import State, concatenate, device_of_state, to_device
from svlearn.surrogates.surrogate import Surrogate
from svlearn.targets import Target


@dataclass(frozen=True)
class Rounds:
    """What rounds have scored. states (N, ...) and rewards (N,), reward units: all of it, in its order; surrogate:
    fitted to it. table: a row for each round, the 0th what there was before: how many were scored, their mean and best
    reward, the best of all so far, and pearson and r2 of the surrogate in cross-validation after it."""

    states: State
    rewards: Tensor
    surrogate: Surrogate
    table: pd.DataFrame


def refit_in_rounds(
    surrogate: Surrogate,
    target: Target,
    sampler: Callable[[Target], Sampler],
    states: State,
    rewards: Tensor,
    *,
    num_rounds: int = 5,
    num_drawn: int = 64,
    num_scored: int = 8,
    generator: torch.Generator | None = None,
) -> Rounds:
    """Bayesian optimisation with a generator in the place of a search: each round draws `num_drawn` samples that are
    guided by the surrogate, scores the `num_scored` with the largest r̂ that were not scored before by the dear reward,
    and fits the surrogate to all that is known.

    target: of the dear reward; it is called for what is scored alone. sampler: makes a sampler of the target of the
    surrogate, at the same alpha: lambda guide: svdd(reference, guide, values.PosteriorMean(guide), 10). states (N,
    ...), rewards (N,): what was scored before, such as plain samples, at least as many as the surrogate needs. With
    `surrogate.beta` > 0 both the guidance and the choice prefer what the surrogate is unsure of (an upper confidence
    bound), which keeps rounds from learning nothing new. A round whose samples were all scored before scores none.
    Raises TypeError and ValueError for bad arguments, and as `Surrogate.fit`.
    """
    expect(surrogate, Surrogate, "surrogate")
    expect(target, Target, "target")
    num_rounds, num_drawn = integer(num_rounds, "num_rounds"), integer(num_drawn, "num_drawn")
    num_scored = integer(num_scored, "num_scored", 1, num_drawn)
    surrogate.fit(states, rewards)
    rewards, rows = rewards.double(), [_row(0, rewards.double(), rewards.double(), surrogate)]
    known = set(_keys(states))
    for number in range(1, num_rounds + 1):
        guided = sampler(Target(surrogate, target.alpha)).sample(num_drawn, generator=generator)
        drawn = guided.draw(generator=generator)
        order = surrogate(drawn).argsort(descending=True).tolist()
        keys, chosen = _keys(drawn), list[int]()
        for place in order:
            if keys[place] not in known and len(chosen) < num_scored:
                known.add(keys[place])
                chosen.append(place)
        fresh = rewards[:0]
        if chosen:
            fresh = target(drawn[chosen]).double().to(rewards.device)
            own = to_device(drawn[chosen], device_of_state(states))
            states, rewards = concatenate([states, own]), torch.cat([rewards, fresh])
            surrogate.fit(states, rewards)
        rows.append(_row(number, fresh, rewards, surrogate))
    return Rounds(states, rewards, surrogate, pd.DataFrame(rows))


def _row(number: int, fresh: Tensor, every: Tensor, surrogate: Surrogate) -> dict[str, float]:
    judged = surrogate.cross_validation
    return {
        "round": number,
        "scored": len(fresh),
        "mean": float(fresh.mean()) if len(fresh) else float("nan"),
        "best": float(fresh.max()) if len(fresh) else float("nan"),
        "best so far": float(every.max()),
        "pearson": judged.pearson,
        "r2": judged.r2,
    }


def _keys(x: State) -> list[bytes]:
    """The bytes of each state (N, ...), by which those that are alike are one."""
    leaves = [x] if isinstance(x, Tensor) else [x[name] for name in sorted(x.keys(True, True), key=str)]
    flat = [leaf.detach().cpu().reshape(leaf.shape[0], -1) for leaf in leaves]
    rows = [(leaf.double() if leaf.is_floating_point() else leaf).contiguous().numpy() for leaf in flat]
    return [b"".join(part[row].tobytes() for part in rows) for row in range(x.shape[0])]
