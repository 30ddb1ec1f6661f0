"""The studies of digits: the reward of the rare event, its estimates, and the policy that is trained."""

import math

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import nn

from benchmarks.digits_policies.steering import BLURS, RADIUS, Steered, blur
from benchmarks.rare_digits.page import of_plain, of_row
from benchmarks.rare_digits.problem import LittleInk
from svlearn.domains.images import DiffusersReference
from svlearn.policies import Policy
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target


class Logits(nn.Module):
    """0, 1 and 2 times the sum of the pixels."""

    def forward(self, images):
        return images.flatten(1).sum(dim=1, keepdim=True) * torch.arange(3.0)


def test_little_ink_is_the_probability_of_the_event():
    images = torch.rand(5, 1, 4, 4, generator=seeded("cpu", 0))
    rewards = LittleInk(Logits(), 1, ink=0.4, width=0.1)(images)
    for image, reward in zip(images, rewards, strict=True):
        total, mean = float(image.sum()), float(image.mean())
        of_class = math.exp(total) / sum(math.exp(k * total) for k in range(3))
        assert math.exp(reward) == pytest.approx(of_class / (1 + math.exp((mean - 0.4) / 0.1)), rel=1e-4)


def test_log_z_of_plain_samples_is_that_of_all_at_once():
    """Batches of 1,000, and one of all of them: the mean, its error, and the effective number."""
    weights = torch.rand(3_000, generator=seeded("cpu", 0), dtype=torch.float64) ** 4
    batches = {
        str(place): {"number": len(part), "mean": part.mean().item(), "mean_square": part.square().mean().item()}
        for place, part in enumerate(weights.split(1_000))
    }
    (log_z, error), number, effective = of_plain({"plain": batches})
    mean = weights.mean()
    assert number == 3_000 and log_z == pytest.approx(math.log(mean))
    assert error == pytest.approx(float(weights.std() / mean / math.sqrt(3_000)))
    assert effective == pytest.approx(float(weights.sum() ** 2 / weights.square().sum()))


def test_log_z_of_groups_is_of_the_mean_and_not_the_mean_of_logs():
    logs = [-800.0, -801.0, -799.5]
    estimate, error = of_row({"log_normalizers": logs})
    weights = torch.tensor([math.exp(each + 800) for each in logs], dtype=torch.float64)
    assert estimate == pytest.approx(-800 + math.log(weights.mean()))
    assert error == pytest.approx(float(weights.std() / weights.mean() / math.sqrt(3)))


@pytest.fixture
def steered():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            block_out_channels=(8, 8),
            layers_per_block=1,
            num_class_embeds=11,
            norm_num_groups=4,
            down_block_types=("DownBlock2D",) * 2,
            up_block_types=("UpBlock2D",) * 2,
        ).eval()
    reference = DiffusersReference(network, 4, scheduler=DDPMScheduler(), reads_class=False, null_class=10)
    return Steered(reference, Target(lambda x: x["class"] * x["sample"].square().sum(dim=(1, 2, 3)), 0.5))


def laws(policy: Policy, t: int):
    x = roll_out(policy.reference, 3, generator=seeded("cpu", 0), condition=torch.arange(3))["states"][:, t]
    with torch.no_grad():
        own, other = (each(x, torch.full((3,), t)) for each in (policy, policy.reference))
    return own.transition.law, other.transition.law, other.clean["sample"]


def test_the_policy_of_the_study_starts_as_the_reference(steered):
    own, other, _ = laws(steered, 1)
    assert torch.equal(own.mean, other.mean) and torch.equal(own.std, other.std)


def test_it_moves_by_the_blurred_gradient_of_the_reward(steered):
    """Of r = class · |x|²: 2 class x̂_T/α, times its gains, with the reference's std."""
    t, place = 1, BLURS.index(0.0)
    steered.gains.data[t, place] = 0.3
    own, other, clean = laws(steered, t)
    control = 0.3 * 2 * torch.arange(3.0)[:, None] * clean.flatten(1) / 0.5
    torch.testing.assert_close(own.mean, other.mean + other.std**2 * control, rtol=1e-4, atol=1e-5)
    assert torch.equal(own.std, other.std)
    last, reference, _ = laws(steered, 3)
    assert torch.equal(last.mean, reference.mean)


def test_blurs_keep_the_sum():
    for std in BLURS:
        assert blur(std).sum() == pytest.approx(1.0)
        assert blur(std)[RADIUS, RADIUS] == blur(std).max()
    assert blur(0.0)[RADIUS, RADIUS] == 1
