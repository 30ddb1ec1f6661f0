"""Plain texts of stories260k after one prompt."""

from tensordict import TensorDict

import svlearn as sv
from svlearn.domains.language import CausalLM
from svlearn.randomness import seeded
from svlearn.state import concatenate

PROMPT = "Once upon a time, there was a"


def condition(number: int) -> list[str]:
    return [PROMPT] * number


def plain_texts(reference: CausalLM, number: int, at_once: int, seed: int) -> TensorDict:
    """Finished texts (number,) of p_ref, drawn `at_once` at a time."""
    sampler, generator = sv.ancestral(reference), seeded("cpu", seed)
    parts = [
        sampler.sample(at_once, condition=condition(at_once), generator=generator).states[:, 0]
        for _ in range(number // at_once)
    ]
    return concatenate(parts)
