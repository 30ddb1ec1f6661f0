"""How fast sequences are drawn, with and without the calls of empty steps, and what the loop adds to the network."""

from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.sequences.problems import process
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.evaluation.report.provenance import provenance
from svlearn.randomness import seeded

NUMBER, REPEATS = 64, 3


class ReadsTime(nn.Module):
    """The same network, said to read the time: it is called at every step."""

    reads_time = True

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        return self.network(x, moments)


def speed(name: str) -> dict[str, Any]:
    """Processor seconds for 64 sequences, the median of three runs in turn."""
    reference = process(name)
    every = MaskedDiffusion(
        ReadsTime(reference.network), reference.alphabet, reference.length, reference.num_steps, reference.schedule
    ).eval()
    samplers = {"skipping": sv.ancestral(reference), "every step": sv.ancestral(every)}
    seconds: dict[str, list[float]] = {kind: [] for kind in (*samplers, "bare loop")}
    calls = {}
    for repeat in range(REPEATS):
        for kind, sampler in samplers.items():
            start = clock()
            samples = sampler.sample(NUMBER, generator=seeded("cpu", repeat))
            seconds[kind].append(since(start)["cpu_seconds"])
            calls[kind] = samples.cost.reference_calls / NUMBER
        start = clock()
        bare(every, NUMBER, seeded("cpu", repeat))
        seconds["bare loop"].append(since(start)["cpu_seconds"])
    return {
        "cpu_seconds": {kind: median(each) / NUMBER for kind, each in seconds.items()},
        "reference_calls": calls,
        "letters": int((reference.fixed == reference.alphabet.mask).sum()),
        "provenance": provenance(),
    }


@torch.no_grad()
def bare(reference: MaskedDiffusion, number: int, generator: torch.Generator) -> Tensor:
    """MDLM's own loop: the network at every step, a letter at each place that a coin unmasks."""
    x, mask = reference.initial(number), reference.alphabet.mask
    for t in range(reference.num_steps):
        logits = reference.network(x, torch.full((number,), t / reference.num_steps))
        letters = torch.multinomial(logits.softmax(dim=-1).flatten(0, 1), 1, generator=generator).view(x.shape)
        unmasked = torch.rand(x.shape, generator=generator) < reference.probabilities[t]
        x = torch.where((x == mask) & unmasked, letters, x)
    return x
