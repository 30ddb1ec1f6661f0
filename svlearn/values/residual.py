"""A value that is another one and what that is wrong by: what is known need not be learned."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from svlearn.values.combined import Combined
from svlearn.values.value import Value


class Residual(Combined):
    """v_t(x_t) = base_t(x_t) + correction_t(x_t), (B,), reward units.

    For what the training-free value foresees and what it is wrong by:

        value = Residual(PosteriorMean(target), Learned(network))
        fit(MonteCarloRegression(reference, target, value), max_steps=1000)

    An objective of the sum fits the correction to r - r(x̂_T(x_t)), where without a base it would fit a network to r.
    The minimum is the same: v', and v for the soft estimand. What differs is what is left to learn: the targets vary
    by E[Var[r | x_t]] + Var[v'_t - r(x̂_T(x_t))], and without a base by E[Var[r | x_t]] + Var[v'_t]. Where r is
    quadratic and x_T Gaussian given x_t, the correction is one number at each t. A network that ends in zeros begins at
    the base. A base that can be trained is trained too, unless its parameters require no gradient.

    It asks for what its parts ask: with a `PosteriorMean` the reference's prediction of every candidate. Raises
    TypeError for what is no `Value`.
    """

    def __init__(self, base: Value, correction: Value):
        super().__init__(base=base, correction=correction)

    @property
    def base(self) -> Value:
        return cast(Value, self.values[0])

    @property
    def correction(self) -> Value:
        return cast(Value, self.values[1])

    def combine(self, said: Sequence[Tensor]) -> Tensor:
        base, correction = said
        return base + correction
