"""The best of several guided samples."""

from collections.abc import Sequence

from svlearn.arguments import integer
from svlearn.inference.proposals import Guided
from svlearn.inference.sampler import Sampler
from svlearn.inference.samplers import guidance
from svlearn.process import Reference
from svlearn.targets import Target
from svlearn.values.value import Value


def guided_best_of_n(
    reference: Reference,
    target: Target,
    value: Value,
    n: int,
    scale: float | Sequence[float] = 1.0,
    at: str | None = None,
    *,
    clip: float | None = None,
) -> Sampler:
    """The sample of the largest reward among n of `guidance`; n times its calls. It targets no p*.

    Raises ValueError as `guidance`, and for n < 1.
    """
    one = guidance(reference, target, value, scale, at, clip=clip)
    proposal = Guided(value, scale, at, clip=clip)
    return Sampler(reference, target, one.value, one.selection, proposal=proposal, num_particles=integer(n, "n"))
