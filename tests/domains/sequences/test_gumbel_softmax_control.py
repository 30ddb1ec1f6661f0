"""Control through soft sequences of three letters and four places: its loss, gradient and optimum by enumeration."""

import math

import pytest
import torch
from sequence_toys import Enumerated, SoftRewards, consistent, exact_elbo, toy
from torch.nn import functional as F

from svlearn import policies
from svlearn.objectives import GumbelSoftmaxControl
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded
from svlearn.targets import Target

ALPHA = 1.5
TARGET = Target(SoftRewards(), ALPHA)
STEPS = {"one_place": 4, "log_linear": 5}


def moved(schedule):
    """A reference and a policy some way from it."""
    reference = toy(schedule, STEPS[schedule])
    policy = policies.Finetuned(reference)
    table = policy.copy.network.table
    with torch.no_grad():
        table += 0.3 * torch.randn(table.shape, generator=seeded("cpu", 5), dtype=torch.float64)
    return reference, policy, table


def losses(objective, number, size):
    for k in range(number):
        generator = seeded("cpu", 7, k)
        yield objective.loss(objective._trajectories(0, size, generator), generator)


def control(reference, policy, **options):
    return GumbelSoftmaxControl(reference, TARGET, policy, batch_size=8, **options)


@pytest.mark.parametrize("schedule", STEPS)
def test_the_loss_of_hard_tokens_is_the_elbo_and_that_of_soft_ones_tends_to_it(schedule):
    reference, policy, _ = moved(schedule)
    with torch.no_grad():
        wanted = float(exact_elbo(reference, policy.copy, ALPHA))
        hard = -torch.stack(list(losses(control(reference, policy), 24, 256)))
        soft = {
            temperature: -torch.stack(
                list(losses(control(reference, policy, estimator="soft", temperature=temperature), 24, 256))
            )
            for temperature in (1.0, 0.1)
        }
    assert abs(float(hard.mean()) - wanted) < 4 * float(hard.std()) / math.sqrt(24)
    biases = [float((soft[temperature] - hard).mean()) for temperature in (1.0, 0.1)]  # of the same noise
    assert abs(biases[1]) < 0.3 * abs(biases[0])


@pytest.mark.parametrize("schedule", STEPS)
@pytest.mark.parametrize(
    "options",
    [
        dict(estimator="straight_through", temperature=0.5),
        dict(estimator="soft", temperature=0.2),
        dict(estimator="straight_through", temperature=0.5, truncation=2),
    ],
    ids=["straight through", "soft", "truncated"],
)
def test_the_gradient_points_where_that_of_enumeration_does(options, schedule):
    """Of 8192 paths, whose own noise leaves the cosine of two halves at 0.95 and more. The estimate is
    shorter, by a third at τ = 1."""
    reference, policy, table = moved(schedule)
    elbo = exact_elbo(reference, policy.copy, ALPHA, options.get("truncation"))
    (wanted,) = torch.autograd.grad(elbo, table)
    objective = control(reference, policy, **options)
    slopes = torch.stack([torch.autograd.grad(-each, table)[0] for each in losses(objective, 8, 1024)]).flatten(1)
    mean, noise = slopes.mean(dim=0), slopes.var(dim=0).sum() / len(slopes)
    alike = F.cosine_similarity(mean, wanted.flatten(), dim=0)
    assert noise < 0.1 * mean.square().sum()
    assert alike > 0.95
    assert 0.7 < float(mean.norm() / wanted.norm()) < 1.1


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["straight_through", "soft"])
def test_the_trained_policy_is_near_the_optimum(estimator):
    """α ELBO = E_q[r] - α KL of a reference whose class of copies holds p*, so that the largest is α log Z."""
    network = consistent()
    network.table.data.clamp_(min=-20.0)  # what soft one-hots mix must be finite
    reference = toy("one_place", network=network)
    policy = policies.Finetuned(reference)
    temperature = 0.5 if estimator == "straight_through" else (1.0, 0.2)
    objective = GumbelSoftmaxControl(
        reference,
        TARGET,
        policy,
        estimator=estimator,
        temperature=temperature,
        learning_rate=4e-2,
        batch_size=128,
        num_validation=8,
    )
    fit(objective, max_steps=220, enable_progress_bar=False)
    known = Enumerated(reference, ALPHA)
    with torch.no_grad():
        before, after = (float(exact_elbo(reference, each, ALPHA)) for each in (reference, policy.copy))
    assert known.log_normalizer - after < 0.05 * (known.log_normalizer - before)
    assert known.log_normalizer - after < 0.02 * abs(known.log_normalizer)
