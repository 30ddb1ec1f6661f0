"""Whether the samplers of a comparison agree on log Z, of which there is one for each reference and target."""

import math
from collections.abc import Mapping

from svlearn.evaluation.report.numbers import with_error
from svlearn.inference.sampler import Sampler

APART = 4  # standard errors of the difference: far beyond noise, for the errors themselves are estimates
ROUNDING = 1e-6  # nats


def disagreements(samplers: Mapping[str, Sampler], figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A sentence for each reference and target of which two estimates of log Z contradict each other.

    The largest is set against the smallest; they do so where they differ by more than 4 standard errors of their
    difference. E[Z_hat] = Z for each, but the law of Z_hat leans far to the right where few groups carry its mean: most
    runs then miss them, and their own standard error does not tell (arXiv 1511.01437).
    """
    groups: dict[tuple, list[str]] = {}
    for name, sampler in samplers.items():
        target = sampler.target
        known = name in figures and math.isfinite(figures[name]["log_normalizer_standard_error_nats"])
        if known and target is not None:
            key = (id(sampler.reference), id(target.reward), target.alpha)
            groups.setdefault(key, []).append(name)
    return [text for names in groups.values() if (text := _between(names, figures)) is not None]


def _between(names: list[str], figures: Mapping[str, Mapping[str, float]]) -> str | None:
    estimates = {name: figures[name]["log_normalizer_nats"] for name in names}
    low, high = min(estimates, key=estimates.__getitem__), max(estimates, key=estimates.__getitem__)
    errors = {name: figures[name]["log_normalizer_standard_error_nats"] for name in (low, high)}
    if estimates[high] - estimates[low] <= max(APART * math.hypot(*errors.values()), ROUNDING):
        return None
    texts = [f"{with_error(estimates[name], errors[name])} of {name}" for name in (low, high)]
    return (
        f"The estimates of one log Z contradict each other: {texts[0]} against {texts[1]}, in nats. Few groups carry "
        "such an estimate, and it is mostly too low where they are missed: doubt the lower one, its samples and its "
        "error; use more particles or a better proposal there, and see normalizer_bounds."
    )
