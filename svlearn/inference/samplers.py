"""The named samplers: one loop, with its parts filled in. All return `Samples`."""

from collections.abc import Sequence

from svlearn.arguments import MAX_INTEGER, expect, integer, integers, is_number, real
from svlearn.inference.beam import Beam
from svlearn.inference.proposals import Guided, Proposal
from svlearn.inference.resampling import scheme
from svlearn.inference.sampler import Sampler
from svlearn.inference.selection import BestAtEnd, Global, Keep, LocalGreedy, LocalSampling, Nested
from svlearn.inference.starts import Start
from svlearn.inference.tempering import Schedule, Tempering
from svlearn.process import Reference
from svlearn.raising import check_steps
from svlearn.schedules import check_noise
from svlearn.targets import Target
from svlearn.values.value import Value, Zero


def ancestral(reference: Reference, target: Target | None = None) -> Sampler:
    """Plain samples of p_ref. T reference calls a sample; a target only adds the rewards. Targets p_ref."""
    return Sampler(_reference(reference), target, Zero(), Keep() if target is None else BestAtEnd())


def best_of_n(reference: Reference, target: Target, n: int) -> Sampler:
    """The sample of the largest reward among n of p_ref, whatever alpha is; n T reference calls a sample.

    It targets no p*: as n grows, the law runs to the largest reward.
    """
    return Sampler(_reference(reference), _target(target), Zero(), BestAtEnd(), num_particles=integer(n, "n"))


def svdd(
    reference: Reference,
    target: Target,
    value: Value,
    num_candidates: int | list[int] = 10,
    proposal: Proposal | None = None,
    *,
    tempering: Tempering | Sequence[float] | None = None,
    start: Start | None = None,
) -> Sampler:
    """Soft value-based decoding (SVDD, arXiv 2408.08252, algorithm 1).

    Each of B lineages draws M candidates at every step, the start x_0 included, and keeps one with probability
    ∝ exp(v_{t+1}(x_{t+1})/α + log p_ref - log q); for α = 0 the one of the largest v, the first on ties. At T the
    candidates are scored by r. num_candidates: M, or one number per step 0 ... T. tempering: as for `smc`; `Adaptive`
    looks at the ESS of a lineage's candidates. start: what draws x_0 in the place of p_0, as `starts.CrankNicolson`.

    Its law tends to p* as M grows, for the exact v. For α > 0 `log_normalizer` holds Σ_t log (1/M) Σ_m of the weight
    increments, unbiased in Z for any v. Reference calls a lineage: T where v reads (x, t) alone, M T where v reads
    the prediction, T + M - 1 where it reads that of the parents. Raises ValueError where candidates are asked for after
    x_0 and no step has noise.
    """
    candidates = _candidates(num_candidates, _reference(reference))
    _check_candidates(reference, candidates)
    return Sampler(
        reference,
        _target(target),
        _value(value),
        LocalSampling() if target.alpha > 0 else LocalGreedy(),
        proposal=_proposal(proposal),
        tempering=_tempering(tempering),
        num_candidates=candidates,
        start=_start(start),
        estimates_normalizer=target.alpha > 0,
    )


def smc(
    reference: Reference,
    target: Target,
    value: Value,
    num_particles: int,
    ess_threshold: float = 0.5,
    resampling: str = "systematic",
    proposal: Proposal | None = None,
    *,
    tempering: Tempering | Sequence[float] | None = None,
    window: tuple[int, int] | None = None,
    by_value: bool = False,
    share: float = 1.0,
    num_candidates: int | list[int] = 1,
    start: Start | None = None,
) -> Sampler:
    """Twisted Sequential Monte Carlo (arXiv 2404.17546; for diffusion, with `proposals.Guided`, TDS 2306.17775).

    A group is resampled ("multinomial", "stratified", "systematic" or "residual") when its ESS falls to
    ess_threshold · K or below: 0 never, 1 always. The weighted particles target p*, and E[exp(log_normalizer)] = Z,
    for any finite v and any q that covers p_ref exp(v/α). A group that died gives -inf; all of them, a ValueError.

    tempering: λ_t, a `Tempering` or T + 1 numbers that end in 1 (DAS). window: resample only at start <= t < stop.
    by_value: sort the particles by their value before, which lowers the variance of schemes with strata. share:
    resample only this share of a group, its heaviest and lightest particles. num_candidates: M > 1 lets each particle
    first choose among M candidates of its own, as svdd does (nested importance sampling); an int, or one per step.
    start: what draws x_0 in the place of p_0, as `starts.CrankNicolson`, which knows the reward; the weights hold.
    Raises ValueError for α = 0, for numbers out of range, and where several particles may be resampled after x_0 and no
    step has noise: copies would stay copies.
    """
    if _target(target).alpha == 0:
        raise ValueError("alpha: smc needs alpha > 0, got 0; use svdd, beam_search or best_of_n")
    ess_threshold, share = _share(ess_threshold, "ess_threshold"), _share(share, "share")
    candidates = _candidates(num_candidates, _reference(reference))
    num_particles = integer(num_particles, "num_particles")
    _check_candidates(reference, candidates)
    window = _window(window)
    if num_particles > 1 and ess_threshold > 0 and (window is None or window[1] > 1):
        check_noise(reference, "particles that were copied would stay copies (ess_threshold=0 only weighs them)")
    between = Global(scheme(resampling), ess_threshold, window=window, by_value=by_value, share=share)
    return Sampler(
        reference,
        target,
        _value(value),
        between if max(candidates) == 1 else Nested(LocalSampling(), between),
        proposal=_proposal(proposal),
        tempering=_tempering(tempering),
        num_particles=num_particles,
        num_candidates=candidates,
        start=_start(start),
        estimates_normalizer=True,
    )


def guidance(
    reference: Reference,
    target: Target,
    value: Value,
    scale: float | Sequence[float] = 1.0,
    at: str | None = None,
    *,
    clip: float | None = None,
) -> Sampler:
    """Single samples moved by the gradient of a value: classifier guidance, DPS; α > 0. See `proposals.Guided`.

    Nobody is weighed or selected, so its law is that of the guided steps, which is p* only where each is p*'s own.
    The same proposal inside `svdd` and `smc` keeps p* exact. Raises ValueError where no step has noise: the gradient is
    taken times std².
    """
    check_noise(_reference(reference), "guidance moves a step by std² times a gradient")
    proposal = Guided(_value(value), scale, at, clip=clip)
    return Sampler(reference, _target(target), Zero(), BestAtEnd(), proposal=proposal)


def beam_search(
    reference: Reference,
    target: Target,
    value: Value,
    beam_width: int,
    num_candidates: int | list[int],
    proposal: Proposal | None = None,
) -> Sampler:
    """Keep the K = beam_width best by value of the K · M candidates of a group at every step, and by reward at T.

    It targets no p*: it looks for the largest reward, whatever α is. Discrete states are kept once each while others
    are left. The particles of a group come best first, and `Samples.draw` gives the best: no finished candidate of the
    group had a larger reward. M = num_candidates, an int, or one per step 0 ... T. Reference calls a group: K T where v
    reads (x, t) alone, K M T where v reads the prediction. Raises ValueError as `svdd`.
    """
    candidates = _candidates(num_candidates, _reference(reference))
    _check_candidates(reference, candidates)
    return Sampler(
        reference,
        _target(target),
        _value(value),
        Beam(),
        proposal=_proposal(proposal),
        num_particles=integer(beam_width, "beam_width"),
        num_candidates=candidates,
    )


def _share(number: float, name: str) -> float:
    share = real(number, name)
    if not 0 <= share <= 1:
        raise ValueError(f"{name}: expected a number in [0, 1], got {number}")
    return share


def _window(window: Sequence[int] | None) -> tuple[int, int] | None:
    if window is None:
        return None
    ends = integers(window, "window", -MAX_INTEGER)
    if len(ends) != 2 or not 0 <= ends[0] < ends[1]:
        raise ValueError(f"window: expected None or (start, stop) with 0 <= start < stop, got {window}")
    return ends[0], ends[1]


def _candidates(number: int | Sequence[int], reference: Reference) -> list[int]:
    steps = reference.num_steps + 1
    if is_number(number):
        return [integer(number, "num_candidates")] * steps
    candidates = integers(number, "num_candidates")
    if len(candidates) != steps:
        raise ValueError(f"num_candidates: expected {steps} numbers, one per step 0 ... T, got {len(candidates)}")
    return candidates


def _check_candidates(reference: Reference, candidates: list[int]) -> None:
    if max(candidates[1:]) > 1:
        need = "the candidates of a step would be copies (num_candidates=[M, 1, ..., 1] chooses x_0 alone)"
        check_noise(reference, need)


def _tempering(tempering: Tempering | Sequence[float] | None) -> Tempering | None:
    return tempering if tempering is None or isinstance(tempering, Tempering) else Schedule(tempering)


def _reference(reference: Reference) -> Reference:
    check_steps(expect(reference, Reference, "reference"))
    return reference


def _target(target: Target) -> Target:
    return expect(target, Target, "target")


def _value(value: Value) -> Value:
    return expect(value, Value, "value")


def _proposal(proposal: Proposal | None) -> Proposal | None:
    return None if proposal is None else expect(proposal, Proposal, "proposal")


def _start(start: Start | None) -> Start | None:
    return None if start is None else expect(start, Start, "start")
