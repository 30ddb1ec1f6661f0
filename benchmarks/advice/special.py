"""Three rewards whose advice is known beforehand, and the advice on the model of the demo."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import svlearn as sv
from benchmarks.advice.advised import MAX_BATCH, content
from benchmarks.advice.problems import FOR_SAMPLES, Setting, qm9
from benchmarks.sequences.problems import close
from svlearn.domains.analytic import LinearGaussianChain, QuadraticReward
from svlearn.evaluation.report.provenance import provenance

STEPS, DIM = 4, 2
SHIPPED = "qm9-qed-monte-carlo"
SECONDS = 20.0  # of a call of the dear reward


def chain() -> LinearGaussianChain:
    """x_0 ~ N(0, 1), x_{t+1} = 0.9 x_t + N(0, 1/4), r(x_T) = x_1 + x_2/2."""
    linear = QuadraticReward(torch.zeros(DIM, DIM), torch.tensor([1.0, 0.5]))
    matrices = 0.9 * torch.eye(DIM).expand(STEPS, DIM, DIM)
    stds = torch.full((STEPS,), 0.5)
    return LinearGaussianChain(torch.zeros(DIM), 1.0, matrices, torch.zeros(STEPS, DIM), stds, linear)


def hashed(x: Tensor) -> Tensor:
    """A number in [0, 1) that no other state tells, (B,)."""
    return torch.frac(43758.5453 * (1e3 * x).sin().sum(dim=1)).abs()


def unforeseeable() -> dict[str, Any]:
    return _advised(Setting(chain(), sv.Target(hashed, 0.0), {"trainable": None}), "40000 calls")


def smooth() -> dict[str, Any]:
    """Without a training, which would pay in a budget of calls, where a value's own network costs none."""
    oracle = chain()
    return _advised(Setting(oracle, sv.Target(oracle.reward, 0.5), {"trainable": {}}), "40000 calls")


def dear() -> dict[str, Any]:
    """The smooth one as if it took SECONDS a call: by the prices of the budget, for nobody waits."""
    oracle = chain()
    setting = Setting(oracle, sv.Target(oracle.reward, 0.0), {"trainable": None, "for_samples": 5 * FOR_SAMPLES})
    return _advised(setting, "8h", prices={"reward_calls": SECONDS})


def demo() -> dict[str, Any]:
    """QED at no price but its call, with the shipped value at hand, which was trained before."""
    own = qm9(0)
    values = {"shipped": sv.load_value(SHIPPED, own.reference)}
    return _advised(Setting(own.reference, own.target, {"values": values, "trainable": {}}), "30000 calls")


def _advised(setting: Setting, budget: str, **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"for_samples": FOR_SAMPLES, "seed": 0, "max_batch": MAX_BATCH, **setting.options}
    try:
        advice = sv.advise(setting.reference, setting.target, budget=budget, **given, **options)
    finally:
        close(setting.target)
    return {"budget": budget, "for_samples": given["for_samples"], **content(advice), "provenance": provenance()}


SPECIAL: dict[str, Callable[[], dict[str, Any]]] = {
    "hash": unforeseeable,
    "smooth": smooth,
    "dear": dear,
    "demo": demo,
}
