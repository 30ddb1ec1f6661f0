"""A causal transformer in one pass, step by step or without a cache; texts that it drew, and a head on features."""

import torch
from causal_toys import PROMPT, PROMPTS, STEPS, TARGET, CausalToy, TeacherForced

from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Head

B, T = 6, STEPS
ONCE = PROMPT + T - 1  # the tokens that all T predictions of a text read
KINDS = {
    "one pass": lambda **o: TeacherForced(cached=False, **o),
    "step by step": lambda **o: CausalToy(**o),
    "anew": lambda **o: CausalToy(cached=False, **o),
}


def moved(policy):
    drawn = seeded("cpu", 5)
    with torch.no_grad():
        for each in policy.trained():
            each.add_(0.2 * torch.randn(each.shape, generator=drawn, dtype=torch.float64))
    return policy


def texts(size=B, **options):
    """Trajectories of the plain toy, with their rewards."""
    toy = CausalToy(cached=False, **options)
    prompts = PROMPTS[torch.arange(size) % len(PROMPTS)]
    return roll_out(toy, size, target=TARGET, generator=seeded("cpu", 7), condition=prompts)


def head(width=8):
    torch.manual_seed(3)
    layers = torch.nn.Sequential(torch.nn.Linear(width, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    return Head(OfFeatures(layers))


class OfFeatures(torch.nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, features, t):
        return self.layers(features).squeeze(1) + 0.1 * t
