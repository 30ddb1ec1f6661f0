"""The same constraint, model and particles by svlearn and by genlm-control: log Z against the exact one, and speed."""

import json
import math
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.constraint_bias.problem import PROMPT
from svlearn.domains.language import CausalLM, stories
from svlearn.domains.language.constraints import Completable, Grammar
from svlearn.domains.language.texts import TEXT, with_continuations
from svlearn.evaluation.report.provenance import provenance
from svlearn.process import predict
from svlearn.randomness import seeded

PATTERN, END, LENGTH = r" (dog|cat|bear|little girl|big tree)", ".", 20
PARTICLES, RUNS, AT_ONCE = (16, 64), 200, 4096
SCRIPT = Path(__file__).with_name("genlm_script.py")


@cache
def reference() -> CausalLM:
    """Texts that end with a full stop, by either of the tokens that write one."""
    tokenizer = stories.load(max_new_tokens=1).tokenizer
    ends = [token for token in range(len(tokenizer)) if tokenizer.convert_ids_to_tokens(token) in (END, "<0x2E>")]
    return stories.load(max_new_tokens=LENGTH, end_tokens=ends)


@cache
def grammar() -> Grammar:
    """No text is as long as the buffer, so that all of them end with the full stop."""
    return Grammar.regex(PATTERN, reference())


def exact() -> dict[str, Any]:
    """What is known without a draw."""
    log_normalizer, ways = summed(grammar())
    return {"log_normalizer": log_normalizer, "ways": ways, "runs": RUNS, "length": LENGTH}


def summed(language: Grammar) -> tuple[float, int]:
    """log Z, nats, and of how many ways to write the texts in tokens it is the sum."""
    ends = reference().ends
    rows: list[list[int]] = [[]]
    log_probs, total, number = torch.zeros(1, dtype=torch.float64), 0.0, 0
    for t in range(LENGTH):
        law = torch.cat([_log_probs(rows[start : start + AT_ONCE], t) for start in range(0, len(rows), AT_ONCE)])
        law = law + log_probs[:, None]
        whole = torch.tensor([language.accepts(row) for row in rows])
        total += float(law[whole][:, ends].exp().sum())
        number += int(whole.sum())
        law[:, ends] = -torch.inf
        may = torch.stack([language.next_tokens(row) for row in rows]) & (law > -torch.inf)
        longer = [[*rows[row], token] for row, token in may.nonzero().tolist()]
        if not longer:
            break
        rows, log_probs = longer, law[may]
    return math.log(total), number


def svlearn(number: int) -> dict[str, Any]:
    """Runs of `number` particles, one after the other, and all at once; nothing of the model is kept between them."""
    value = Completable(grammar())
    proposal = sv.proposals.Exact(value, last="value")
    sampler = sv.smc(reference(), sv.targets.constraint(grammar()), value, number, proposal=proposal)
    sampler.sample(1, condition=[PROMPT], generator=seeded("cpu", 0))  # what is made once
    estimates, tokens, start = [], 0, clock()
    for run in range(RUNS):
        samples = sampler.sample(1, condition=[PROMPT], generator=seeded("cpu", 1, run))
        estimates.append(float(samples.log_normalizer))
        tokens += int(samples.states[TEXT][..., -1].sum())
    alone, start = since(start), clock()
    samples = sampler.sample(RUNS, condition=[PROMPT] * RUNS, generator=seeded("cpu", 2))
    together = since(start)
    return summary(
        estimates, tokens, alone, samples.log_normalizer.tolist(), int(samples.states[TEXT][..., -1].sum()), together
    ) | {"provenance": provenance()}


def genlm(interpreter: str, number: int, exact_proposal: bool) -> dict[str, Any]:
    """The same by genlm-control, in an interpreter of its own; its proposal the exact product of model and expression,
    as ours is, or by adaptive weighted rejection (AWRS)."""
    with TemporaryDirectory() as folder:
        reference().model.save_pretrained(folder)
        reference().tokenizer.save_pretrained(folder)
        asked = {
            "folder": folder,
            "prompt": PROMPT,
            "pattern": PATTERN,
            "end": END,
            "length": LENGTH,
            "particles": number,
            "runs": RUNS,
            "exact": exact_proposal,
        }
        command = [interpreter, str(SCRIPT), json.dumps(asked)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"genlm: {interpreter} failed: {answer.stderr[-2000:]}")
    measured = json.loads(answer.stdout.splitlines()[-1])
    return summary(**measured["runs"]) | {"versions": measured["versions"], "provenance": provenance()}


def summary(
    estimates: list[float],
    tokens: int,
    alone: dict[str, float],
    estimates_together: list[float],
    tokens_together: int,
    together: dict[str, float],
) -> dict[str, Any]:
    """log Z of the mean of Z over all runs with its standard error, and tokens of the final texts a second."""
    ratios = torch.tensor(estimates + estimates_together, dtype=torch.float64).exp()
    mean = float(ratios.mean())
    return {
        "log_normalizer": math.log(mean),
        "standard_error": float(ratios.std()) / math.sqrt(len(ratios)) / mean,
        "spread": float(ratios.std()) / mean,
        "tokens": tokens,
        "alone": {**alone, "tokens_per_second": tokens / alone["cpu_seconds"]},
        "together": {**together, "tokens_per_second": tokens_together / together["cpu_seconds"]},
    }


def _log_probs(rows: list[list[int]], t: int) -> Tensor:
    process = reference()
    x = with_continuations(process.initial(len(rows), condition=[PROMPT] * len(rows)), rows)
    return predict(process, x, t).transition.laws[TEXT].log_probs.double()
