"""Run by an interpreter that has genlm-control: its SMC, by the exact product of model and expression or by AWRS.

    PYTHON genlm_script.py '{"folder": ..., "prompt": ..., ...}'

The answer is the last line of what it prints, JSON. It imports nothing of svlearn.
"""

import asyncio
import json
import sys
import time
from importlib.metadata import version

import numpy as np
import torch
from genlm.control import AWRS, SMC, BoolFSA, PromptedLLM, direct_token_sampler


def spent(start):
    """Wall seconds and those of the processor since then."""
    now = (time.perf_counter(), time.process_time())
    return dict(zip(("seconds", "cpu_seconds"), (after - before for after, before in zip(now, start))))


def summed(results):
    """log Z of each run, and the tokens of all final texts, the end counted."""
    estimates = [float(each.log_total) - np.log(len(each.contexts)) for each in results]
    return estimates, sum(len(context) for each in results for context in each.contexts)


async def main(asked):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  the library draws from both
    model = PromptedLLM.from_name(asked["folder"], backend="hf", eos_byte_strings=[asked["end"].encode()])
    model.prompt_ids = list(model.model.tokenizer(asked["prompt"])["input_ids"])
    expression = BoolFSA.from_regex(asked["pattern"]).coerce(model, f=b"".join)
    proposal = direct_token_sampler(model * expression) if asked["exact"] else AWRS(model, expression)
    smc = SMC(proposal)

    async def run(alone=True):
        if alone:
            model.model.clear_cache()  # else a run reads the logits of the runs before
        return await smc(
            n_particles=asked["particles"],
            ess_threshold=0.5,
            max_tokens=asked["length"],
            resampling_method="systematic",
        )

    await run()  # what is made once
    start = (time.perf_counter(), time.process_time())
    estimates, tokens = summed([await run() for _ in range(asked["runs"])])
    alone = spent(start)
    model.model.clear_cache()
    start = (time.perf_counter(), time.process_time())
    others, others_tokens = summed(await asyncio.gather(*(run(False) for _ in range(asked["runs"]))))
    runs = {
        "estimates": estimates,
        "tokens": tokens,
        "alone": alone,
        "estimates_together": others,
        "tokens_together": others_tokens,
        "together": spent(start),
    }
    versions = {name: version(name) for name in ("genlm-control", "genlm-backend", "transformers", "torch")}
    print(json.dumps({"runs": runs, "versions": versions}))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
