"""What a comparison says of samples besides their reward: judges of each sample, and metrics of all together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from svlearn.arguments import expect, is_number
from svlearn.evaluation.summary import OWN_FIGURES, Floats, mean, standard_error
from svlearn.metering import metered
from svlearn.placement import at_home
from svlearn.process import Reference
from svlearn.state import State
from svlearn.targets import Target

ERROR = "_standard_error"
RESERVED = {*OWN_FIGURES, "failure"}


@dataclass(frozen=True)
class Judging:
    """Judges, that is rewards that guide nothing, and metrics of decoded samples, by the names of their figures."""

    judges: Mapping[str, Target] = field(default_factory=dict)
    metrics: Mapping[str, Callable[[list], float]] = field(default_factory=dict)

    @classmethod
    def of(cls, judges: Mapping[str, Callable] | None, metrics: Mapping[str, Callable] | None) -> "Judging":
        """TypeError for what is not callable, ValueError for a name that a comparison gives to another figure."""
        judges = {} if judges is None else expect(judges, Mapping, "judges")
        metrics = {} if metrics is None else expect(metrics, Mapping, "metrics")
        for kind, callables in (("judges", judges), ("metrics", metrics)):
            for name, each in callables.items():
                expect(name, str, f"{kind}: each name")
                if not callable(each):
                    raise TypeError(f"{kind}[{name!r}]: expected a callable, got {type(each).__name__}")
                if name in RESERVED or name.endswith(ERROR) or (kind == "metrics" and name in judges):
                    raise ValueError(f"{kind}: expected names of their own, got {name!r}, which is that of another")
        return cls({name: Target(judge, alpha=0.0) for name, judge in judges.items()}, dict(metrics))

    @property
    def settings(self) -> dict[str, list[str]]:
        """The names, of those that there are."""
        return {kind: list(each) for kind, each in (("judges", self.judges), ("metrics", self.metrics)) if each}

    def scores(self, name: str, x: State, reference: Reference, max_batch: int | None) -> Floats:
        """What a judge says of finished states (B, ...), (B,), checked as a reward is; a bool counts as 0 or 1."""
        judge = self.judges[name]
        with metered(max_batch), at_home(reference, judge):
            return judge(x).double().cpu().numpy()

    def measured(self, name: str, objects: Sequence[Any]) -> float:
        """What a metric says of decoded samples; a bool counts as 0 or 1. Raises TypeError for what is no number."""
        figure = self.metrics[name](list(objects))
        if not (is_number(figure) or isinstance(figure, bool | np.bool_)):
            raise TypeError(f"metrics[{name!r}]: expected what returns a number, got {type(figure).__name__}")
        return float(figure)


def score_figures(name: str, scores: Floats) -> dict[str, float]:
    """The mean of what a judge says of samples (N,), -inf where one is, and its standard error."""
    return {name: mean(scores), f"{name}{ERROR}": standard_error(scores)}


def overall_errors(names: Sequence[str], parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The standard errors of means over C conditions, whose figures are the parts: √(Σ_c s_c²)/C, if each has one."""
    errors = {}
    for name in names:
        each = np.array([part.get(f"{name}{ERROR}", np.nan) for part in parts])
        if bool(np.isfinite(each).all()):
            errors[f"{name}{ERROR}"] = float(np.sqrt((each**2).sum()) / len(parts))
    return errors
