"""The peak of memory of SMC as its groups grow: of a fresh process for each size.

python -m benchmarks.language_loop.peaks 16     # of groups of 16 particles, as a line of JSON
"""

import argparse
import json
import subprocess
import sys
from typing import Any

import torch

from benchmarks.common.paths import ROOT
from benchmarks.language_loop.problem import PROMPT, TOKENS, process, samplers
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import metered
from svlearn.randomness import seeded

GROUPS = 16


def peak(number: int) -> dict[str, int]:
    """Bytes, of a run in this process: its peak, what it held before, and the keys and values of all particles."""
    torch.set_num_threads(1)
    reference = process()
    samplers(reference, 2)["SMC"].sample(1, condition=[PROMPT], generator=seeded("cpu", 0))
    with metered() as meter:
        pass
    samples = samplers(reference, number)["SMC"].sample(GROUPS, condition=[PROMPT] * GROUPS, generator=seeded("cpu", 0))
    config = reference.model.config
    heads, layers = config.num_key_value_heads, config.num_hidden_layers
    width = len(reference.tokenizer(PROMPT)["input_ids"]) + TOKENS - 1  # the last token is not read
    numbers = 2 * layers * heads * (config.hidden_size // config.num_attention_heads) * width
    return {
        "peak_bytes": samples.cost.peak_memory_bytes,
        "start_bytes": meter.cost.peak_memory_bytes,
        "cache_bytes": numbers * GROUPS * number * reference.model.dtype.itemsize,
    }


def of_a_process(number: int) -> dict[str, Any]:
    """The peak of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.language_loop.peaks", str(number)]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return json.loads(run.stdout) | {"provenance": provenance()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("particles", type=int)
    print(json.dumps(peak(parser.parse_args().particles)))
