"""What a Gaussian step moves of a state, as one tensor: one formula then serves tensors, leaves and graphs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import cast

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.state import State, flattened

Name = str | tuple[str, ...]


class Coordinates(ABC):
    """The numbers of a state that a Gaussian step moves, each counted once, (B, ...); all else is a condition.

    A law of states that are no plain tensors and Gaussian in such coordinates has them as `coordinates`, and as `law`
    the `GaussianTransition` over them (see `gaussian_of`).
    """

    @abstractmethod
    def of(self, x: State) -> Tensor:
        """The coordinates of states (B,)."""

    @abstractmethod
    def state(self, coordinates: Tensor, x: State) -> State:
        """The states x (B,) with other coordinates; what they are conditioned on stays."""

    @abstractmethod
    def gradient(self, gradient: State, x: State) -> Tensor:
        """∂f/∂coordinates at states x (B,) of a function f whose gradient in the state is given, in the form that
        `Transition.tilt` takes; a leaf that it lacks counts as 0."""

    @abstractmethod
    def conditions(self, x: State) -> list[Tensor]:
        """What no step changes of states x, (B, ...) each."""


class TensorCoordinates(Coordinates):
    """A tensor is its own coordinates."""

    def of(self, x: Tensor) -> Tensor:
        return x

    def state(self, coordinates: Tensor, x: Tensor) -> Tensor:
        return coordinates

    def gradient(self, gradient: Tensor, x: Tensor) -> Tensor:
        return gradient

    def conditions(self, x: Tensor) -> list[Tensor]:
        return []


class LeafCoordinates(Coordinates):
    """(B, D): those of the named leaves of a TensorDict, one after the other, flattened; all other leaves stay."""

    def __init__(self, parts: Mapping[Name, Coordinates]):
        self.parts = dict(parts)

    def of(self, x: TensorDict) -> Tensor:
        return torch.cat([flattened(part.of(x[name])) for name, part in self.parts.items()], dim=1)

    def state(self, coordinates: Tensor, x: TensorDict) -> TensorDict:
        state = x.copy()
        shapes = {name: part.of(x[name]).shape[1:] for name, part in self.parts.items()}
        pieces = coordinates.split([shape.numel() for shape in shapes.values()], dim=1)
        for (name, part), piece in zip(self.parts.items(), pieces, strict=True):
            state[name] = part.state(piece.reshape(len(piece), *shapes[name]), x[name])
        return state

    def gradient(self, gradient: TensorDict, x: TensorDict) -> Tensor:
        has = set(gradient.keys(include_nested=True))
        gradients = [
            part.gradient(gradient[name], x[name]) if name in has else torch.zeros_like(part.of(x[name]))
            for name, part in self.parts.items()
        ]
        return torch.cat([flattened(each) for each in gradients], dim=1)

    def conditions(self, x: TensorDict) -> list[Tensor]:
        others = x.exclude(*self.parts).values(include_nested=True, leaves_only=True)
        inside = [each for name, part in self.parts.items() for each in part.conditions(x[name])]
        return [*cast(list[Tensor], list(others)), *inside]
