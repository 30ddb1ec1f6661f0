"""A process without noise is told by a look at it, and refused where nothing could be steered."""

import pytest
import torch
from torch import nn

from svlearn.inference import samplers
from svlearn.inference.proposals import Guided
from svlearn.objectives import (
    AdjointMatching,
    DerivativeFreeAdjointMatching,
    DistributionalPolicyGradient,
    PolicyGradient,
    StochasticControl,
)
from svlearn.policies import Controlled
from svlearn.process import Prediction, Reference
from svlearn.targets import Target
from svlearn.transitions import CategoricalTransition, GaussianTransition, Transition
from svlearn.values import PosteriorMean, Zero


class Euler(Reference):
    """A flow along straight lines to 0: no step has noise, unless one is told to have it."""

    num_steps = 4

    def __init__(self, noisy=None, law="gaussian"):
        super().__init__()
        self.noisy, self.law, self.calls = noisy, law, 0

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator)

    def forward(self, x, t, previous=None):
        self.calls += len(x)
        mean = x - x / 4
        std = 1.0 if int(t[0]) == self.noisy else 0.0
        law = GaussianTransition(mean, std) if self.law == "gaussian" else Own(mean, std)
        return Prediction(law, clean=mean)


class Own(Transition):
    """A user's law, which says its noise by its draws alone."""

    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def sample(self, *, generator=None):
        return self.mean + self.std * torch.randn(self.mean.shape, generator=generator)

    def log_prob(self, x_next):
        return torch.zeros(len(x_next))

    def __getitem__(self, index):
        return Own(self.mean[index], self.std)


class Push(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x, t):
        return self.weight * x


TARGET = Target(lambda x: x[:, 0], 1.0)
NO_NOISE = "reference: expected noise at some step t < 4, got Euler without any: .*gaussian_steps with eta > 0"


@pytest.mark.parametrize("law", ["gaussian", "own"])
@pytest.mark.parametrize(
    "make",
    [
        lambda euler: samplers.svdd(euler, TARGET, PosteriorMean(TARGET), 4),
        lambda euler: samplers.svdd(euler, TARGET, PosteriorMean(TARGET), 4, Guided(PosteriorMean(TARGET))),
        lambda euler: samplers.smc(euler, TARGET, PosteriorMean(TARGET), 4),
        lambda euler: samplers.smc(euler, TARGET, PosteriorMean(TARGET), 1, num_candidates=3),
        lambda euler: samplers.guidance(euler, TARGET, PosteriorMean(TARGET)),
        lambda euler: samplers.beam_search(euler, TARGET, PosteriorMean(TARGET), 2, 3),
    ],
)
def test_what_needs_noise_says_at_construction_that_there_is_none(make, law):
    with pytest.raises(ValueError, match=NO_NOISE):
        make(Euler(law=law))
    euler = Euler(noisy=2, law=law)
    make(euler)
    assert euler.calls == 0


@pytest.mark.parametrize(
    "kind",
    [
        StochasticControl,
        AdjointMatching,
        DerivativeFreeAdjointMatching,
        DistributionalPolicyGradient,
        PolicyGradient,
    ],
)
def test_objectives_that_train_a_policy_need_noise(kind):
    euler = Euler()
    with pytest.raises(ValueError, match=NO_NOISE):
        kind(euler, TARGET, Controlled(euler, Push()))


def test_what_acts_without_noise_is_taken():
    """x_0 alone is chosen, particles are only weighed, or nothing is asked of a step."""
    euler, value = Euler(), PosteriorMean(TARGET)
    samplers.svdd(euler, TARGET, value, [4, 1, 1, 1, 1]).sample(3)
    samplers.smc(euler, TARGET, value, 4, ess_threshold=0).sample(3)
    samplers.smc(euler, TARGET, value, 4, window=(0, 1)).sample(3)
    samplers.smc(euler, TARGET, value, 1).sample(3)
    samplers.best_of_n(euler, TARGET, 4).sample(3)
    samplers.ancestral(euler, TARGET).sample(3)


@pytest.mark.parametrize("kind", ["tokens", "prompts"])
def test_a_process_that_cannot_be_judged_is_taken(kind):
    """Of tokens two draws may be equal by chance; a process that starts from a prompt is not looked at."""

    class Certain(Reference):
        num_steps = 2

        def initial(self, batch_size, *, condition=None, generator=None):
            if kind == "prompts":
                raise ValueError("condition: expected prompts, got none")
            return torch.zeros(batch_size, 1, dtype=torch.long)

        def forward(self, x, t, previous=None):
            return Prediction(CategoricalTransition(torch.tensor([[[-1e4, 0.0]]]).expand(len(x), -1, -1)))

    samplers.svdd(Certain(), TARGET, Zero(), 4)


def test_what_a_look_meets_is_left_to_the_run_to_say():
    class Broken(Euler):
        def forward(self, x, t, previous=None):
            return x

    sampler = samplers.svdd(Broken(), TARGET, PosteriorMean(TARGET), 4)
    with pytest.raises(TypeError, match="expected a Prediction, got Tensor"):
        sampler.sample(2)
