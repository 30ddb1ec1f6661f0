"""v_0/α of x_0 in the coordinates of its law, with its gradient there."""

from collections.abc import Callable

import torch
from torch import Tensor

from svlearn.deferred_checks import check_finite
from svlearn.metering import count, current_max_batch
from svlearn.process import Reference, predict
from svlearn.state import State, flattened, take
from svlearn.targets import Target, refuses_gradient
from svlearn.transitions import Coordinates
from svlearn.values.value import Value, at_time, evaluate


class Tilted:
    """v_0/α, nats, float64, of states x_0 (N, ...) with other coordinates, and its gradient in these.

    drift "gradient" asks for it, "none" does not, None asks once and no more where there is none.
    """

    def __init__(
        self, reference: Reference, target: Target, value: Value, coordinates: Coordinates, x: State, drift: str | None
    ):
        self.reference, self.target, self.value = reference, target, at_time(value, 0)
        self.coordinates, self.x = coordinates, x
        self.drift = drift

    def __getitem__(self, index: Tensor) -> "Tilted":
        chosen = Tilted(self.reference, self.target, self.value, self.coordinates, take(self.x, index), self.drift)
        return chosen

    def state(self, places: Tensor) -> State:
        """x_0 of coordinates (N, ...)."""
        return self.coordinates.state(places, self.x)

    def __call__(self, places: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Of coordinates (N, ...): v_0/α (N,), and its gradient (N, ...), None where there is none."""
        if self.drift == "none":
            return self._twists(self.state(places), generator), None
        try:
            twists, slopes = zip(*[self._with_slopes(places, rows, generator) for rows in self._cuts(len(places))])
        except (RuntimeError, BufferError) as error:
            if self.drift == "gradient" or not refuses_gradient(error):
                raise
            self.drift = "none"
            return self._twists(self.state(places), generator), None
        has_slopes = all(each is not None for each in slopes)
        if self.drift == "gradient" and not has_slopes:
            name = type(self.value).__name__
            raise ValueError(f"drift: expected 'none' for {name}, which has no gradient in x_0, got 'gradient'")
        self.drift = "gradient" if has_slopes else "none"
        return torch.cat(twists), torch.cat(slopes) if has_slopes else None

    def _twists(self, x: State, generator: torch.Generator) -> Tensor:
        prediction = predict(self.reference, x, 0) if self.value.reads(0) else None
        return evaluate(self.value, x, 0, prediction, generator=generator).double() / self.target.alpha

    def _cuts(self, size: int) -> list[slice]:
        limit = current_max_batch() or size
        return [slice(start, min(start + limit, size)) for start in range(0, size, limit)]

    def _with_slopes(self, places: Tensor, rows: slice, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        with torch.inference_mode(False), torch.enable_grad():
            point = places[rows].detach().clone().requires_grad_()
            twists = self._twists(self.coordinates.state(point, take(self.x, rows)), generator)
            if not twists.requires_grad:
                return twists, None
            count("gradient_calls", len(point))
            (slopes,) = torch.autograd.grad(twists.sum(), point, materialize_grads=True)
        check_finite(slopes.sum(), _refusal(slopes))
        return twists.detach(), slopes.detach()


def _refusal(slopes: Tensor) -> Callable[[], None]:
    def look() -> None:
        bad = ~flattened(slopes).isfinite().all(dim=1)
        if bool(bad.any()):
            raise ValueError(
                f"value: expected a finite gradient at t = 0, got another at index {int(bad.nonzero()[0])}"
            )

    return look
