"""States with what a sampler learned of them while it chose: its losers, and the survivors by what came of them."""

from typing import cast

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer
from svlearn.inference.log_weights import log_mean
from svlearn.inference.sampler import Sampler
from svlearn.inference.samples import Samples, ScoredCandidates
from svlearn.state import State, concatenate, device_of_state, take
from svlearn.values.estimate import estimand_of
from svlearn.values.value import Zero, at_time


def label_candidates(sampler: Sampler, samples: Samples) -> TensorDict:
    """Every candidate x_t, t < T, of `Sampler.sample_candidates` with v_t(x_t), what the sampler's value said of it.

    "states" (N, ...), "times" (N,) and "rewards" (N,), the labels, reward units: data of `MonteCarloRegression`, for no
    further call. What is learned from them is the sampler's own value: of `PosteriorMean` r(x̂_T(x_t)). That is
    E[r | x_t] only where r is linear in x_T, or where x̂_T is drawn from the exact law and the estimand is the mean; of
    r = -x'Px/2 it is too large by tr(P Cov[x_T | x_t])/2. A label depends on its state alone, so it does not matter by
    which law that was drawn, or that it lost; but of a value that asks the predictions of parents on these too. Copies
    of what is finished are left out, and so are the t at which the value asks nobody. Raises ValueError for samples
    without candidates, and where the value is asked at no t.
    """
    parts = []
    for t, scored in _scored(samples):
        if t == sampler.reference.num_steps or not _asked(sampler, t):
            continue
        rows = None if scored.finished is None else (~scored.finished.flatten()).nonzero().squeeze(1)
        parts.append(_labelled(take(scored.states.flatten(0, 2), rows), t, take(scored.values.flatten(), rows)))
    return _joined(parts, sampler)


def label_survivors(
    sampler: Sampler, samples: Samples, estimand: str | None = None, levels: int | None = 1
) -> TensorDict:
    """Every particle x_t, t < T, that `Sampler.sample_candidates` kept, labelled by the candidates that came of it.

    The same entries as those of `label_candidates`, from the losers of `levels` n further steps (None: up to T). v is
    the sampler's value there, v_T = r, so where t + n >= T the label is free of it: it estimates the value itself.
    estimand "soft": λ_t v_t + α Σ_{s = t+1}^{t+n} log (1/M) Σ_m exp(increment of candidate m at s), which for n = 1 is
    α log (1/M) Σ_m exp(v_{t+1}/α) p_ref/q. Its exponential is unbiased for E_ref[exp(v_{t+n}/α) | x_t], whatever the
    value and however it chose, and `linear_exponential_loss` needs no more. It is the default for α > 0.
    "mean": (1/M) Σ_m v_{t+1} p_ref/q of one level, unbiased for E_ref[v_{t+1} | x_t].
    Labels are left out at t for which nobody is asked at t + n.
    Raises ValueError for samples without candidates, where no label is left, for an unknown estimand, the soft one at
    α = 0, the mean one of more than one level, and several levels where particles compete, where the value is tempered
    and T is not reached, and where nothing is weighed (`beam_search`, `guidance`); TypeError without a target.
    """
    target, last = sampler.target, sampler.reference.num_steps
    if target is None:
        raise TypeError("sampler: expected one with a target, got None")
    default = "soft" if target.alpha > 0 else "mean"
    estimand = estimand_of(default if estimand is None else estimand, target)
    levels = last if levels is None else integer(levels, "levels", 1)
    _check_levels(sampler, estimand, levels)
    scored = dict(_scored(samples))
    states = cast(tuple[State, ...], samples.history.states)
    factors = {t: log_mean(each.log_increments) for t, each in scored.items()}
    parts, twists = [], scored[samples.history.start].log_twists
    for t, kept in enumerate(states[:-1]):
        twists = scored[t].log_twists if t in scored else twists  # who stands still keeps its own
        until = min(t + levels, last)
        if t + 1 not in scored or (until < last and not (until in scored and _asked(sampler, until))):
            continue
        if estimand == "mean":
            labels = _mean(scored[t + 1])
        else:
            steps = [factors[s] for s in range(t + 1, until + 1) if s in factors]
            labels = target.alpha * (twists + torch.stack(steps).sum(dim=0))
        parts.append(_labelled(kept.flatten(0, 1), t, labels.flatten()))
    return _joined(parts, sampler)


def _mean(children: ScoredCandidates) -> Tensor:
    """(1/M) Σ_m v p_ref/q, (B, K), reward units, float64."""
    values = children.values.double()
    if children.log_ratio is not None:
        weights = children.log_ratio.double().exp()
        values = torch.where(weights > 0, weights * values, 0.0)
    return values.mean(dim=2)


def _check_levels(sampler: Sampler, estimand: str, levels: int) -> None:
    several = f"levels: expected 1 {{}}, got {levels}"
    if sampler.tempering is not None and estimand == "soft" and levels < sampler.reference.num_steps:
        raise ValueError(f"levels: expected None where the value counts by degrees (tempering), got {levels}")
    if levels == 1:
        return
    if estimand == "mean":
        raise ValueError(several.format("for the mean, as what was chosen is not what p_ref draws"))
    if sampler.num_particles > 1:
        raise ValueError(several.format(f"for groups of {sampler.num_particles} particles, of which some die"))
    if not sampler.estimates_normalizer:
        raise ValueError(several.format("of a sampler whose choices have no weights; svdd has them"))


def _scored(samples: Samples) -> list[tuple[int, ScoredCandidates]]:
    """t, and its candidates, where any were drawn."""
    candidates = samples.history.candidates
    if candidates is None:
        raise ValueError("samples: expected those of sampler.sample_candidates, got some without candidates")
    return [(t, each) for t, each in enumerate(candidates, samples.history.start) if each is not None]


def _asked(sampler: Sampler, t: int) -> bool:
    """Whether the value says anything at t."""
    return not isinstance(at_time(sampler.value, t), Zero)


def _labelled(states: State, t: int, labels: Tensor) -> TensorDict:
    moments = torch.full((len(labels),), t, device=device_of_state(states))
    return TensorDict({"states": states, "times": moments, "rewards": labels}, batch_size=[len(labels)])


def _joined(parts: list[TensorDict], sampler: Sampler) -> TensorDict:
    if not parts:
        name = type(sampler.value).__name__
        raise ValueError(f"sampler: expected a value that is asked before T where labels come from, got {name}")
    return concatenate(parts)
