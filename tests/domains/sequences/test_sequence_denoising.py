"""Masked diffusion on the forward process, by enumeration: the negative ELBO, and the conditionals of p*."""

import math

import pytest
import torch
from sequence_toys import ABC, LENGTH, all_states, consistent, rewards, toy
from tensordict import TensorDict

from svlearn.domains.sequences.in_order import InOrder
from svlearn.objectives import ForwardProcessPolicy
from svlearn.policies import Finetuned
from svlearn.randomness import seeded
from svlearn.targets import Target

ALPHA = 1.5
FINISHED, STATES = all_states(3), all_states()


def law_of(process):
    """p(x_T) of a consistent process, of all finished sequences: by one place after the other."""
    total = torch.zeros(len(FINISHED), dtype=torch.float64)
    for place in range(LENGTH):
        x = torch.where(torch.arange(LENGTH) < place, FINISHED, ABC.mask)
        law = process(x, torch.full((len(x),), place)).clean_law
        total += law.log_probs[torch.arange(len(x)), place, FINISHED[:, place]].double()
    return total


def test_one_place_a_step_it_sums_to_the_likelihood():
    """Of a consistent law the ELBO is log p(x_T) itself: a sum over t of means over all sets of t places."""
    process = toy("one_place", 4, consistent())
    total = torch.zeros(len(FINISHED), dtype=torch.float64)
    for t in range(LENGTH):
        kept = [mask for mask in all_states(2).bool() if int(mask.sum()) == t]
        for mask in kept:
            x = torch.where(mask, FINISHED, ABC.mask)
            times = torch.full((len(x),), t)
            total += process.denoising_loss(FINISHED, x, times, process(x, times)) / len(kept)
    torch.testing.assert_close(total, -law_of(process))


def test_by_a_schedule_it_is_the_likelihood_times_the_share_of_the_step():
    process = toy("log_linear", 5)
    x, t = torch.tensor([[3, 3, 0, 1]] * 5), torch.arange(5)
    prediction = process(x, t)
    x_T = torch.tensor([[2, 1, 0, 1]] * 5)
    wanted = -prediction.clean_law.log_prob(x_T) / (5 - t)
    torch.testing.assert_close(process.denoising_loss(x_T, x, t, prediction), wanted)


def every_batch(objective, process):
    """The expected loss over x_T ~ p_ref, all t and all that the noise may mask, as one batch of weights."""
    log_probs = law_of(process).detach()
    masks = all_states(2).bool()
    pulls, totals = objective.pulls(rewards(FINISHED))
    total = torch.zeros((), dtype=torch.float64)
    for mask in masks[:-1]:
        x, t = torch.where(mask, FINISHED, ABC.mask), torch.full((len(FINISHED),), int(mask.sum()))
        own, slow = objective.policy(x, t), process(x, t)
        losses = objective.reference.denoising_loss(FINISHED, x, t, own)
        slow_losses = objective.reference.denoising_loss(slow, x, t, own)
        share = 1 / math.comb(LENGTH, int(mask.sum()))
        total = total + share * (log_probs.exp() * (pulls * losses + (totals - pulls) * slow_losses)).sum()
    return total


def tilted():
    """The denoiser of p*, by enumeration: its letters at every state."""
    process = toy("one_place", 4, consistent())
    weights = (law_of(process) + rewards(FINISHED) / ALPHA).softmax(dim=0)
    agrees = ((STATES[:, None] == FINISHED) | (STATES[:, None] == ABC.mask)).all(dim=2)
    shares = torch.einsum("sf,f,flv->slv", agrees.double(), weights, torch.nn.functional.one_hot(FINISHED, 3).double())
    return shares.log(), weights


VARIANTS = {
    "reward-weighted": (dict(variant="reward_weighted"), True),
    "tilted": (dict(variant="nft", optimality="tilted"), True),
    "nft": (dict(variant="nft", optimality="batch", beta=2.0, decay=1.0), False),
}


def made(options):
    process = toy("one_place", 4, consistent())
    policy = Finetuned(process)
    return process, ForwardProcessPolicy(process, Target(rewards, ALPHA), policy, **options).eval()


def put(policy, logits):
    place = (STATES * policy.copy.network.radix).sum(dim=1)
    policy.copy.network.table.data[place] = logits


@pytest.mark.parametrize("name", VARIANTS)
def test_the_expected_gradient_vanishes_at_the_conditionals_of_p_star(name):
    """For nft, with the o of one batch of all, it ends at p_ref(y) + (2/β) Cov(o, 1_y | x_t), a law at β = 2."""
    options, ends_at_p_star = VARIANTS[name]
    process, objective = made(options)
    logits, _ = tilted()
    if not ends_at_p_star:
        logits = of_nft(process, objective)
    table = objective.policy.copy.network.table
    (before,) = torch.autograd.grad(every_batch(objective, process), table)
    put(objective.policy, logits)
    (after,) = torch.autograd.grad(every_batch(objective, process), table)
    assert before.abs().max() > 1e-3
    assert after.abs().max() < 1e-12


def of_nft(process, objective):
    """log(p_ref(y | x_t) + (2/β) Cov(o, 1_y | x_t)), by enumeration."""
    o = objective.pulls(rewards(FINISHED))[0] * objective.beta / 2 + 0.5
    agrees = ((STATES[:, None] == FINISHED) | (STATES[:, None] == ABC.mask)).all(dim=2)
    joint = agrees * law_of(process).exp()
    given = joint / joint.sum(dim=1, keepdim=True)
    letters = torch.nn.functional.one_hot(FINISHED, 3).double()
    means = torch.einsum("sf,flv->slv", given, letters)
    covariances = torch.einsum("sf,f,flv->slv", given, o, letters) - (given @ o)[:, None, None] * means
    return (means + 2 / objective.beta * covariances).log()


@pytest.mark.parametrize("name", ["reward-weighted", "tilted"])
def test_what_it_samples_by_the_conditionals_is_p_star(name):
    """One place a step is the reversal of the noise, so that the policy's own law is p*."""
    process, objective = made(VARIANTS[name][0])
    logits, weights = tilted()
    put(objective.policy, logits)
    torch.testing.assert_close(law_of(objective.policy.copy).exp(), weights)
    slopes = []
    for seed in range(30):  # and so the objective on fresh samples of p_ref stays there, within its noise
        drawn = law_of(process).exp().multinomial(200, replacement=True, generator=seeded("cpu", 1, seed))
        x_T = FINISHED[drawn]
        states = torch.full((200, 5, LENGTH), ABC.mask)
        states[:, -1] = x_T
        objective.zero_grad()
        objective.log_scale.fill_(0.5)
        batch = TensorDict({"states": states, "rewards": rewards(x_T)}, [200])
        objective.loss(batch, seeded("cpu", seed)).backward()
        slopes.append(objective.policy.copy.network.table.grad.clone())
    drawn = torch.stack(slopes).flatten(1)
    directions = torch.randn(drawn.shape[1], 20, generator=seeded("cpu", 0), dtype=torch.float64)
    seen = drawn @ directions
    assert (seen.mean(dim=0).abs() < 4 * seen.std(dim=0) / math.sqrt(len(seen))).all()


def test_in_another_order_the_default_serves():
    process = InOrder(toy("one_place", 4, consistent()), [2, 0, 3, 1])
    x_T = FINISHED[5:7]
    t = torch.tensor([1, 3])
    x = process.noise(x_T, torch.tensor([4, 4]), t)
    prediction = process(x, t)
    torch.testing.assert_close(process.denoising_loss(x_T, x, t, prediction), -prediction.clean_law.log_prob(x_T))
