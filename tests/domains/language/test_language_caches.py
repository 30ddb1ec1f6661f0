"""Every sampler draws with the model's cache what it draws without, and computes one position a token."""

import pytest
import torch
from language_toys import PROMPTS, random_twists, tiny_llama, tiny_reference, wave_of_tokens

from svlearn.domains.language import CausalLM
from svlearn.inference import proposals
from svlearn.inference.samplers import ancestral, beam_search, best_of_n, smc, svdd
from svlearn.policies import Finetuned
from svlearn.targets import Target
from svlearn.values import MonteCarlo, Zero

STEPS = 4
TARGET = Target(wave_of_tokens, 0.7)


class Uncached(CausalLM):
    """The same, which keeps nothing."""

    def forward(self, x, t, previous=None):
        said = super().forward(x, t)
        return said.__class__(said.transition, features=said.features, features_before=said.features_before)


def uncached():
    plain = tiny_reference(STEPS)
    return Uncached(tiny_llama(), plain.tokenizer, STEPS).requires_grad_(False)


def moved_policy(reference):
    policy = Finetuned(reference, condition=reference.prompts(["ab"]))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in policy.trained():
            each.add_(0.05 * torch.randn(each.shape, generator=generator, dtype=each.dtype))
    return policy.requires_grad_(False)


TWISTS = random_twists()
SAMPLERS = {
    "ancestral": lambda r: ancestral(r, TARGET),
    "best of n": lambda r: best_of_n(r, TARGET, 3),
    "smc": lambda r: smc(r, TARGET, TWISTS, 4),
    "twisted smc": lambda r: smc(r, TARGET, TWISTS, 4, proposal=proposals.Exact(TWISTS, last="value")),
    "smc, exact": lambda r: smc(r, TARGET, TWISTS, 4, proposal=proposals.Exact(TWISTS)),
    "svdd": lambda r: svdd(r, TARGET, TWISTS, 3),
    "roll-outs": lambda r: smc(r, TARGET, MonteCarlo(r, TARGET, 2), 3),
    "beam search": lambda r: beam_search(r, TARGET, TWISTS, 2, 3),
    "policy": lambda r: smc(r, TARGET, Zero(), 4, proposal=proposals.Policy(moved_policy(r))),
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("max_batch", [None, 5])
def test_the_cache_changes_no_weight(name, max_batch):
    drawn = []
    for reference in (tiny_reference(STEPS), uncached()):
        sampler, generator = SAMPLERS[name](reference), torch.Generator().manual_seed(4)
        options = {"condition": PROMPTS * 3, "generator": generator, "max_batch": max_batch}
        drawn.append(sampler.sample(12, **options))
    cached, plain = drawn
    assert bool((cached.states["text"][..., -1] == plain.states["text"][..., -1]).all())
    for one, other in ((cached.log_weights, plain.log_weights), (cached.rewards, plain.rewards)):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_resampled_particles_compute_one_position_a_token():
    reference = tiny_reference(STEPS, end_tokens=[])
    smc(reference, TARGET, TWISTS, 6, ess_threshold=0.99).sample(
        2, condition=["abc", "abc"], generator=torch.Generator().manual_seed(0)
    )
    assert reference.positions == 3 + 12 * (STEPS - 1)
