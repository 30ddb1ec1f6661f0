"""The answer in one sentence: is the one sampler better than the other, and what does it cost?"""

import math

from svlearn.evaluation.report.numbers import ratio, with_error

NOISE = 1.96  # standard errors: the two-sided 95 % bound


def verdict(figures: dict[str, dict[str, float]], learned: str, baseline: str) -> str:
    """Compare two samplers by their figures (the rows of `Comparison.table`).

    The standard error of a difference is √(s² + s'²), as for independent samples (too large where equal seeds couple
    the two); a difference within 1.96 of them is called noise. Where rewards are -inf, the shares of finite ones are
    compared, and the means of those.
    Raises ValueError for an unknown name.
    """
    for role, name in (("learned", learned), ("baseline", baseline)):
        if name not in figures:
            raise ValueError(f"{role}: expected one of {', '.join(figures)}, got {name!r}")
    own, other = figures[learned], figures[baseline]
    if own["minus_infinity_fraction"] > 0 or other["minus_infinity_fraction"] > 0:
        quality = _with_constraint(own, other, learned, baseline)
    else:
        means = _means(own, other, "mean_reward", baseline)
        quality = f"{learned} reaches {means[0]} mean reward against {means[1]} ({means[2]})"
    return f"{quality}{_cost(own, other)}."


def difference(value: float, error: float) -> str:
    """As "difference +0.007 ± 0.005: within noise", or what it is instead."""
    text = f"difference {with_error(value, error, sign=True)}"
    if math.isnan(value):
        return "difference not defined"
    if math.isnan(error):
        return f"{text}: noise unknown"
    if abs(value) <= NOISE * error:
        return f"{text}: within noise"
    return f"{text}: {'higher' if value > 0 else 'lower'}" if value != 0 else f"{text}: equal"


def _means(own: dict[str, float], other: dict[str, float], name: str, baseline: str) -> tuple[str, str, str]:
    errors = own[f"{name}_standard_error"], other[f"{name}_standard_error"]
    apart = difference(own[name] - other[name], math.hypot(*errors))
    return with_error(own[name], errors[0]), f"{with_error(other[name], errors[1])} for {baseline}", apart


def _with_constraint(own: dict[str, float], other: dict[str, float], learned: str, baseline: str) -> str:
    shares = [100 * (1 - each["minus_infinity_fraction"]) for each in (own, other)]
    errors = [math.sqrt(share * (100 - share) / each["num_samples"]) for share, each in zip(shares, (own, other))]
    apart = difference(shares[0] - shares[1], math.hypot(*errors))
    means = _means(own, other, "mean_finite_reward", baseline)
    sentence = (
        f"{learned} has a finite reward in {shares[0]:.1f} % of its samples against {shares[1]:.1f} % for {baseline} "
        f"({apart}, in points)"
    )
    if own["mean_finite_reward"] == other["mean_finite_reward"]:  # a constraint: nothing else to tell
        return sentence
    return f"{sentence}, and among those a mean reward of {means[0]} against {means[1]} ({means[2]})"


def _cost(own: dict[str, float], other: dict[str, float]) -> str:
    kinds = ["reference"]
    if own["policy_calls_per_sample"] > 0 or other["policy_calls_per_sample"] > 0:
        kinds.append("policy")
    calls = [sum(each[f"{kind}_calls_per_sample"] for kind in kinds) for each in (own, other)]
    parts = [
        (ratio(*calls), f"{' and '.join(kinds)} calls"),
        (ratio(own["seconds_per_sample"], other["seconds_per_sample"]), "seconds"),
    ]
    known = [_share(share, what) for share, what in parts if share is not None]
    return f" with {' and '.join(known)}" if known else ""


def _share(share: str, what: str) -> str:
    """ "0.10 of its seconds", "180 times its seconds"; a share of 10 or more has no second decimal."""
    small = share.startswith(("0.", "under")) or share[1:2] == "."
    return f"{share} of its {what}" if small else f"{share} times its {what}"
