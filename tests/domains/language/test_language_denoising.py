"""Texts on the forward process: the next tokens' losses make up the likelihood, and weighted texts teach p*."""

import torch
from language_toys import tiny_reference, wave_of_tokens

from svlearn.objectives import ForwardProcessPolicy
from svlearn.policies import Finetuned
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target

STEPS, PROMPTS = 3, ["ab", "c"]


def test_the_next_tokens_of_a_text_make_up_its_likelihood():
    reference = tiny_reference(STEPS)
    states = roll_out(reference, 6, generator=seeded("cpu", 0), condition=PROMPTS * 3)["states"]
    losses, log_probs = [], []
    for step in range(STEPS):
        t = torch.full((6,), step)
        prediction = reference(states[:, step], t)
        x = reference.noise(states[:, -1], torch.full((6,), STEPS), t)
        losses.append(reference.denoising_loss(states[:, -1], x, t, reference(x, t)))
        log_probs.append(prediction.transition.log_prob(states[:, step + 1]))
    torch.testing.assert_close(sum(losses), -sum(log_probs))


def test_the_gradient_of_all_texts_vanishes_where_none_is_worth_more():
    """At weights alike the expected gradient at p_ref is that of its own likelihood, 0; a reward moves it."""
    reference = tiny_reference(STEPS)
    policy = Finetuned(reference, condition=["ab"])
    slopes = {}
    for scale in (0.0, 1.0):
        objective = ForwardProcessPolicy(
            reference,
            Target(lambda x, scale=scale: scale * wave_of_tokens(x), 0.3),
            policy,
            variant="nft",
            optimality="tilted",
            conditions=PROMPTS,
            batch_size=64,
            num_times=None,
        ).eval()
        objective.loss(objective._trajectories(0, 64, seeded("cpu", 0)), seeded("cpu", 1)).backward()
        slopes[scale] = torch.cat([each.grad.flatten() for each in policy.trained() if each.grad is not None])
        policy.zero_grad()
    assert slopes[0.0].abs().max() < 1e-9 < 1e-3 < slopes[1.0].abs().max()
