"""The model of the study, and the loops that draw from it."""

import torch

import svlearn as sv
from svlearn.domains.language import CausalLM, stories
from svlearn.values import Learned

TOKENS, PARTICLES, PROMPT = 100, 16, "Once upon a time"


class OfLastToken(torch.nn.Module):
    """A fixed number of each last token, so that particles have weights that cost nothing."""

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        text = x["text"]
        last = text.gather(1, (text[:, -1:] - 1).clamp(min=0))[:, 0]
        return 1.5 * torch.sin(last.float())


def process() -> CausalLM:
    return stories.load(max_new_tokens=TOKENS, end_tokens=[])


def samplers(reference: CausalLM, particles: int) -> dict[str, sv.Sampler]:
    value = Learned(OfLastToken())
    target = sv.Target(lambda x: torch.zeros(len(x)), 1.0)
    return {"ancestral": sv.ancestral(reference), "SMC": sv.smc(reference, target, value, particles)}
