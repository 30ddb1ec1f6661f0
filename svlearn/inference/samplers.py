"""The named samplers: one loop, with its parts filled in. All return `Samples`."""

from svlearn.inference.proposals import Proposal
from svlearn.inference.resampling import scheme
from svlearn.inference.sampler import Sampler
from svlearn.inference.selection import BestAtEnd, Global, Keep, LocalGreedy, LocalSampling
from svlearn.process import Reference
from svlearn.targets import Target
from svlearn.values.value import Value, Zero


def ancestral(reference: Reference, target: Target | None = None) -> Sampler:
    """Plain samples of p_ref. T reference calls a sample; a target only adds the rewards. Targets p_ref."""
    return Sampler(_reference(reference), target, Zero(), Keep() if target is None else BestAtEnd())


def best_of_n(reference: Reference, target: Target, n: int) -> Sampler:
    """The sample of the largest reward among n of p_ref, whatever alpha is; n T reference calls a sample.

    It targets no p*: as n grows, the law runs to the largest reward.
    """
    return Sampler(_reference(reference), _target(target), Zero(), BestAtEnd(), num_particles=_at_least_one(n, "n"))


def svdd(
    reference: Reference,
    target: Target,
    value: Value,
    num_candidates: int | list[int] = 10,
    proposal: Proposal | None = None,
) -> Sampler:
    """Soft value-based decoding (SVDD, arXiv 2408.08252, algorithm 1).

    Each of B lineages draws M candidates at every step, the start x_0 included, and keeps one with probability
    ∝ exp(v_{t+1}(x_{t+1})/α + log p_ref - log q); for α = 0 the one of the largest v, the first on ties. At T the
    candidates are scored by r. num_candidates: M, or one number per step 0 ... T.

    Its law tends to p* as M grows, for the exact v. For α > 0 `log_normalizer` holds Σ_t log (1/M) Σ_m of the weight
    increments, unbiased in Z for any v. Reference calls a lineage: T where v reads (x, t) alone, M T where v reads
    the prediction.
    """
    steps = _reference(reference).num_steps + 1
    candidates = num_candidates if isinstance(num_candidates, (list, tuple)) else [num_candidates] * steps
    if len(candidates) != steps:
        raise ValueError(f"num_candidates: expected {steps} numbers, one per step 0 ... T, got {len(candidates)}")
    return Sampler(
        reference,
        _target(target),
        _value(value),
        LocalSampling() if target.alpha > 0 else LocalGreedy(),
        proposal=_proposal(proposal),
        num_candidates=[_at_least_one(m, "num_candidates") for m in candidates],
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
) -> Sampler:
    """Twisted Sequential Monte Carlo (arXiv 2404.17546; for diffusion 2306.17775): B groups of K particles.

    A group is resampled ("multinomial", "stratified", "systematic" or "residual") when its ESS falls to
    ess_threshold · K or below: 0 never, 1 always. The weighted particles target p*, and E[exp(log_normalizer)] = Z,
    for any finite v and any q that covers p_ref exp(v/α). A group that died gives -inf; all of them, a ValueError.
    Raises ValueError for α = 0.
    """
    if _target(target).alpha == 0:
        raise ValueError("alpha: smc needs alpha > 0, got 0; use svdd, beam_search or best_of_n")
    if not 0 <= ess_threshold <= 1:
        raise ValueError(f"ess_threshold: expected a number in [0, 1], got {ess_threshold}")
    return Sampler(
        _reference(reference),
        target,
        _value(value),
        Global(scheme(resampling), ess_threshold),
        proposal=_proposal(proposal),
        num_particles=_at_least_one(num_particles, "num_particles"),
        estimates_normalizer=True,
    )


def _at_least_one(number: int, name: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{name}: expected an integer of at least 1, got {number!r}")
    return number


def _expect(thing, kind: type, name: str):
    if not isinstance(thing, kind):
        raise TypeError(f"{name}: expected a {kind.__name__}, got {type(thing).__name__}")
    return thing


def _reference(reference: Reference) -> Reference:
    return _expect(reference, Reference, "reference")


def _target(target: Target) -> Target:
    return _expect(target, Target, "target")


def _value(value: Value) -> Value:
    return _expect(value, Value, "value")


def _proposal(proposal: Proposal | None) -> Proposal | None:
    return None if proposal is None else _expect(proposal, Proposal, "proposal")
