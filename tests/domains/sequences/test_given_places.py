"""Places that a condition gives stay given: in the forward process, in refinement, and in what is noised to train."""

import pytest
import torch
from sequence_toys import ABC, rewards, toy

from svlearn.inference.refinement import refine
from svlearn.inference.samplers import smc, svdd
from svlearn.objectives import MonteCarloRegression
from svlearn.randomness import seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean

TARGET = Target(rewards, 0.7)
GIVEN = ["_c__", "a__b", "___c"]


def keeps(states: torch.Tensor) -> bool:
    """Whether sequences (3, ..., L) have the given letters."""
    start = ABC.encode(GIVEN).view(3, *[1] * (states.dim() - 2), -1)
    return bool(((start == ABC.mask) | (start == states)).all())


def test_the_forward_process_leaves_them():
    reference = toy()
    start = reference.initial(3, condition=GIVEN)
    x = torch.where(start == ABC.mask, 0, start)
    at = lambda t: torch.full((3,), t)  # noqa: E731
    assert torch.equal(reference.noise(x, at(reference.num_steps), at(0), start=start), start)
    assert (reference.noise(x, at(reference.num_steps), at(0)) == ABC.mask).all()


@pytest.mark.parametrize("keep", ["replace", "particle_gibbs"])
def test_refinement_leaves_them(keep):
    sampler = smc(toy(), TARGET, PosteriorMean(TARGET), 4)
    samples = refine(sampler, 2, 1.0, keep).sample(3, condition=GIVEN, generator=seeded("cpu", 0))
    assert keeps(samples.states)


def test_given_samples_are_refined_under_their_condition():
    reference = toy()
    refinement = refine(svdd(reference, TARGET, PosteriorMean(TARGET), 4), 2, 1.0)
    x = ABC.encode(["acaa", "abab", "aaac"])
    assert keeps(refinement.improve(x, condition=GIVEN, generator=seeded("cpu", 0)).states)
    assert not keeps(refinement.improve(x, generator=seeded("cpu", 0)).states)


def test_a_value_is_trained_on_noised_states_that_have_them():
    reference, seen = toy(), []

    class Network(torch.nn.Linear):
        def forward(self, x, t):
            seen.append(x)
            return super().forward(x.to(self.weight.dtype)).squeeze(1)

    objective = MonteCarloRegression(reference, TARGET, Learned(Network(4, 1)), noised=True)
    x0 = reference.initial(3, condition=GIVEN)
    states = torch.stack([x0] * reference.num_steps + [torch.where(x0 == ABC.mask, 0, x0)], dim=1)
    trajectories = roll_out(reference, 3, target=TARGET, generator=seeded("cpu", 0)).apply(lambda leaf: leaf)
    trajectories["states"] = states
    objective.loss(trajectories, seeded("cpu", 1))
    (x,) = seen
    start = x0[torch.arange(3).repeat_interleave(len(x) // 3)]
    assert ((start == ABC.mask) | (x == start)).all() and (x == ABC.mask).any()
