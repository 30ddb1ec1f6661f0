"""What every policy is: a process that starts as its reference does, and moves by a law that can be trained."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.process import Prediction, Reference, counted, has, predict
from svlearn.state import State, device_of_state, times
from svlearn.transitions import Transition


class Policy(Reference, ABC):
    """q(x_0) = p_ref(x_0); q(x_{t+1} | x_t) is trained. A subclass writes `steer` and `trained`.

    It is a `Reference`, so it plugs in wherever one does: it can be sampled, rolled out, and guided in its turn. As
    a proposal (`proposals.Policy`) it is given the reference's prediction, which costs no second call of it.
    """

    def __init__(self, reference: Reference):
        super().__init__()
        if not isinstance(reference, Reference):
            raise TypeError(f"reference: expected a Reference, got {type(reference).__name__}")
        self.reference = reference
        self.num_steps = reference.num_steps

    @property
    def corrects(self) -> bool:
        """Whether `steer` reads the reference's prediction; a policy with a network of its own does not."""
        return True

    @abstractmethod
    def steer(self, prediction: Prediction, x: State, t: Tensor) -> Transition:
        """q(· | x_t) for states (B, ...) at t (B,), given what the reference predicts for them."""

    @abstractmethod
    def trained(self) -> Iterable[nn.Parameter]:
        """The parameters that an objective trains; the reference's are not among them."""

    def law_of(self, own: Prediction, prediction: Prediction) -> Transition:
        """q(· | x_t) of what the policy predicted by a network of its own, where the reference predicts as given: a
        policy that leaves some of a step to the reference takes that from there, so that it is the same to the bit."""
        return own.transition

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> State:
        options = {} if condition is None else {"condition": condition}
        return self.reference.initial(batch_size, generator=generator, **options)

    def initial_law(self, x: State) -> Transition:
        return self.reference.initial_law(x)

    def forward(self, x: State, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """The reference's prediction with q in the place of its transition: x̂_T stays the reference's."""
        prediction = predict(self.reference, x, t, previous)
        return replace(prediction, transition=self.steer(prediction, x, t))

    def finished(self, x: State) -> Tensor:
        return self.reference.finished(x)

    def along(self, trajectory: State) -> Iterable[Prediction]:
        """As `forward`, of what the reference predicts along the trajectory."""
        in_one_pass = has(self.reference, "along")  # else each step is counted where it is made
        for t, prediction in enumerate(self.reference.along(trajectory)):
            x = trajectory[:, t]
            if in_one_pass:
                prediction = counted("reference_calls", prediction, len(x))
            law = self.steer(prediction, x, times(t, len(x), device_of_state(x)))
            yield replace(prediction, transition=law, evaluations=None)

    def aligned(self, conditions: Any) -> Any:
        return self.reference.aligned(conditions)

    def denoising_loss(self, x_T: State | Prediction, x_t: State, t: Tensor, prediction: Prediction) -> Tensor:
        return self.reference.denoising_loss(x_T, x_t, t, prediction)

    def decode(self, x: State) -> list:
        return self.reference.decode(x)

    def describe(self, objects: list) -> dict[str, float]:
        return self.reference.describe(objects)

    def draw(self, objects: list, captions: list[str]) -> str | None:
        return self.reference.draw(objects, captions)

    def overview(self, objects: list) -> str | None:
        return self.reference.overview(objects)

    def defines(self, method: str) -> bool:
        own, policy = getattr(type(self), method), getattr(Policy, method)
        handed_on = own is policy and policy is not getattr(Reference, method)  # not noise(), which no policy has
        return has(self.reference, method) if handed_on else super().defines(method)
