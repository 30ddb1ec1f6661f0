"""A reward of states, by the images that they are to a reference: r(x_T) = r'(images(x_T))."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import expect
from svlearn.domains.images.rewards.checks import check_images
from svlearn.objectives.state_gradients import frozen
from svlearn.placement import modules_of
from svlearn.process import Reference
from svlearn.reference_reward import ReferenceReward
from svlearn.state import State


class OnImages(ReferenceReward):
    """r(x_T) = r'(reference.images(x_T)), (B,), of finished states (B, ...), in the units of r'.

    reference: has `images(x) -> (B, C, H, W)`, floats in [0, 1], of finished states. It is shared, never copied, and no
    gradient of its parameters is recorded here; that of the states passes where r' has one.
    reward: r', a callable of images (B, C, H, W) -> (B,), or a dict {r': weight} or `WeightedSum` of such, for which
    the images are made once. One that has a `leaf`, a name, also reads what its sample is conditioned on: it is called
    with that leaf of the state, (B, ...), as second argument.
    It is asynchronous where one of them is, and forgets what they remember.
    Raises TypeError for a reference without `images` and for what is not callable; a call ValueError where the state
    lacks the leaf, and what `check_images` raises of the reference's images.
    """

    def __init__(self, reference: Reference, reward: Callable | Mapping[Callable, float]):
        if not callable(getattr(expect(reference, Reference, "reference"), "images", None)):
            raise TypeError(
                "reference: expected one with images(x) -> (B, C, H, W) in [0, 1], got a "
                f"{type(reference).__name__} without"
            )
        super().__init__(reference, reward)

    def __call__(self, x: State) -> Tensor:
        with self._frozen(x):
            images = self.reference.images(x)  # type: ignore[operator]
            check_images(images, self)
            if self.single is not None:
                return _reward_of(self.single, images, x)
            parts = [weight * _reward_of(reward, images, x) for weight, reward in self._sum.terms if weight != 0]
        return torch.stack(parts).sum(dim=0) if parts else images.new_zeros(len(images))

    @contextmanager
    def _frozen(self, x: State) -> Iterator[None]:
        """Record no gradient of the reference's parameters and of the rewards' where one of the states is recorded."""
        leaves = [x] if isinstance(x, Tensor) else x.values(True, True)
        with ExitStack() as held:
            if torch.is_grad_enabled() and any(leaf.requires_grad for leaf in leaves):
                for module in (self.reference, *modules_of([reward for _, reward in self._sum.terms])):
                    held.enter_context(frozen(module))
            yield


def _reward_of(reward: Callable, images: Tensor, x: State) -> Tensor:
    """r'(images), or r'(images, leaf) of one that reads a leaf of the states."""
    leaf = getattr(reward, "leaf", None)
    if leaf is None:
        return reward(images)
    held = list(map(str, x.keys())) if isinstance(x, TensorDict) else []
    if leaf not in held:
        came = f"one of {', '.join(held)}" if held else "a tensor without conditions"
        raise ValueError(
            f"reward: {type(reward).__name__} reads the {leaf} of each state, and expected a TensorDict with it, "
            f"got {came}; give the reward its own {leaf}"
        )
    return reward(images, x[leaf])
