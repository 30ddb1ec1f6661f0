"""What policies on the forward process refuse, and what each message says to do."""

import math

import pytest
import torch
from distillation_toys import Table
from forward_toys import EVERY, TILTED, T, denoiser, law, make, reward
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.objectives import ForwardProcessPolicy
from svlearn.policies import Controlled
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition

WRONG = {
    "variant: expected one of reward_weighted, nft, got 'dpo'": dict(variant="dpo"),
    "optimality: expected one of batch, group, tilted, got 'rank'": dict(variant="nft", optimality="rank"),
    "optimality: expected None for 'reward_weighted', got 'batch'": dict(optimality="batch"),
    "beta: expected None for reward_weighted, which does not read it, got 0.5": dict(beta=0.5),
    "decay: expected None for nft with 'tilted', which does not read it": TILTED | dict(decay=0.5),
    "num_rounds: expected None for nft with 'batch', which does not read it": dict(variant="nft", num_rounds=2),
    "group_size: expected None for nft with 'batch', which does not read it": dict(variant="nft", group_size=2),
    "group_size: expected an integer of at least 2 for 'group', got None": dict(variant="nft", optimality="group"),
    "batch_size: expected a multiple of the group_size 3, got 16": dict(
        variant="nft", optimality="group", group_size=3, num_validation=15
    ),
    "steps_per_round: expected an integer, for there are 2 rounds, got None": dict(num_rounds=2),
    "beta: expected a finite number above 0, got 0.0": dict(variant="nft", beta=0),
    "decay: expected a finite number of at least 0 and at most 1, got 2.0": dict(variant="nft", decay=2),
    r"decay: expected a number in \[0, 1\], or \(rate, most\), got 'slow'": dict(variant="nft", decay="slow"),
    "num_times: expected None or an integer from 1 to 5, got 6": dict(num_times=6),
    r"alpha: reward_weighted needs alpha > 0, got 0; 'nft'": dict(target=Target(reward(), 0.0)),
    r"alpha: nft with 'tilted' needs alpha > 0, got 0; 'nft'": TILTED | dict(target=Target(reward(), 0.0)),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_options_are_named(message):
    with pytest.raises(ValueError, match=message):
        make(**WRONG[message])


def test_rewards_of_minus_infinity_weigh_nothing_or_are_refused():
    rewards = torch.tensor([0.0, -math.inf])
    with pytest.raises(ValueError, match="reward: nft with 'batch' takes no -inf; 'reward_weighted' and 'tilted' do"):
        make(variant="nft").pulls(rewards)
    for name in ("weighted", "tilted"):
        with pytest.raises(ValueError, match="reward: every sample of a batch is -inf; give a larger batch_size"):
            make(**EVERY[name]).pulls(rewards[1:])


def test_a_reference_without_noise_and_a_policy_without_a_prediction_are_refused():
    chain = FiniteMarkovChain.random(num_states=3, num_steps=2, seed=0)
    with pytest.raises(
        TypeError, match="reference: expected one with a forward process.* got FiniteMarkovChain wi.*Dis"
    ):
        ForwardProcessPolicy(chain, chain.target(1.0), Table(chain))

    class Zero(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, x, t):
            return self.weight * x

    reference = denoiser()
    with pytest.raises(
        TypeError, match="policy: expected one whose own prediction of x_T is trained.* got a Controlled"
    ):
        make(reference, Controlled(reference, Zero()))


class Noised(Reference):
    """No clean and no clean_law, or a loss of the wrong shape."""

    num_steps = 2

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 1, generator=generator)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(self.weight * x, 1.0))

    def noise(self, x, t_from, t_to, *, generator=None):
        return x


class WrongLoss(Noised):
    def denoising_loss(self, x_T, x_t, t, prediction):
        return (prediction.transition.mean - x_t) ** 2


def test_a_reference_without_a_loss_is_told_what_to_write_and_a_wrong_one_its_shape():
    with pytest.raises(TypeError, match="Noised: expected predictions with a clean_law.*or a denoising_loss"):
        make(Noised())
    with pytest.raises(
        ValueError,
        match=r"WrongLoss.denoising_loss: expected shape \(2,\), .* at step 0, got \(2, 1\)",
    ):
        make(WrongLoss())


def test_a_loss_that_is_no_number_is_named_with_its_step(monkeypatch):
    objective = make(num_times=None).eval()
    monkeypatch.setattr(
        type(objective.reference), "denoising_loss", lambda *given: torch.where(given[3] == 2, math.nan, 1.0)
    )
    batch = TensorDict({"states": law().sample(4 * (T + 1)).view(4, T + 1, 1), "rewards": torch.zeros(4)}, [4])
    with pytest.raises(ValueError, match="MixtureDenoiser.denoising_loss: expected a finite number at step 2, got nan"):
        objective.loss(batch, seeded("cpu", 0))
