"""Which sampler to use for a model, a reward and a budget: measured, and said in plain words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from svlearn import process_group
from svlearn.advising.account import Account, Record
from svlearn.advising.advice import Advice
from svlearn.advising.budget import Budget, Prices
from svlearn.advising.configuration import configuration
from svlearn.advising.decision import decide, front
from svlearn.advising.draws import Drawing
from svlearn.advising.estimates import Baseline
from svlearn.advising.making import DRAWS, LEARNED, POSTERIOR, RACE, Making
from svlearn.advising.pilot import noise_sentence
from svlearn.advising.race import Entry, Terms, final, race
from svlearn.advising.training import Trainable
from svlearn.advising.words import paragraph
from svlearn.arguments import as_seed, expect, integer, real
from svlearn.conditions import as_rows
from svlearn.evaluation.identified import identified
from svlearn.files import writable
from svlearn.fingerprint import fingerprint
from svlearn.identity import identity, identity_of_process
from svlearn.inference.sampler import Sampler
from svlearn.modes import in_evaluation
from svlearn.policies import Policy
from svlearn.process import Reference
from svlearn.surrogates import Surrogate
from svlearn.targets import Target
from svlearn.values import Value

MOST_FINAL, MOST_PLAIN = 4096, 16384
WRITTEN = 256  # samples that the configuration draws at most


@in_evaluation
def advise(
    reference: Reference,
    target: Target,
    *,
    budget: Budget | float | str,
    for_samples: int,
    per_sample: float | None = None,
    prices: Mapping[str, float] | None = None,
    values: Mapping[str, Value] | None = None,
    trainable: Mapping[str, Trainable] | None = None,
    policies: Mapping[str, Reference] | None = None,
    samplers: Mapping[str, Sampler] | None = None,
    condition: Any = None,
    seed: int = 0,
    max_batch: int | None = None,
    folder: str | Path | None = None,
    base: Mapping[str, Any] | None = None,
    progress: bool = False,
    together: bool = False,
) -> Advice:
    """Which sampler gains most over best-of-N at its own price, for N = for_samples samples of p_ref towards a reward.

    A pilot of plain samples gives the baseline, the price of a call, and what rewards are like. Values are the
    posterior mean, those `trainable` (None: a perceptron, where states are one tensor), fitted to the pilot's rewards,
    and those at hand. Of a `surrogates.Surrogate` that is trainable, fitted to the same, the posterior mean is one that
    asks for no reward; a policy that is trainable climbs the ELBO by samples of its own (at α = 0 at a quarter of the
    standard deviation of plain rewards), for as many calls as its share of the budget. Of each value is measured what a
    choice by it gains at every step (`values.selection_gain`); by one that foresees nothing beyond noise no choice is
    made, unless it costs next to nothing. Of the others SVDD with several numbers of candidates, the same at each step
    or where they gain (`candidates_by_step`), the best of several such lineages, handing over, and for α > 0 SMC, and
    guidance of all, race by successive halving. The first of the finalists that, on samples which nobody has chosen by,
    gains over the best of as many plain samples as its own price buys is recommended; else best-of-N is. Training is
    paid by the samples that it learned from and the fit, once.

    budget: what the advice itself may spend, all pilots counted: seconds (a number, "600s", "10m"), or calls
    ("2e5 calls"), with which the same seed gives the same advice. per_sample: the most that a sample may cost, in that
    unit; samplers are then compared at it. None: the price of 16 plain ones or, of a small budget, less, and each is
    compared at its own. prices: by kind of call, see `Prices`: {"reward_calls": 20.0} is a reward that takes 20 seconds
    elsewhere. policies, samplers: others to race, by name. condition: rows that the samples are conditioned on, taken
    in turns. r = -inf counts as a failure, as far below the lowest finite reward as that is below the highest.
    folder: parts are written there as they are done, and a call with the same arguments goes on from them; trained
    values too. base: a configuration of the same reference, reward and values, for `Advice.yaml`.

    together: with the other processes of the open group of torch.distributed, as torchrun starts them, each of which
    makes the same call and is given the same advice: they share the draws of the race and of the final, and make all
    else each for itself. The budget must be in calls, which are those of one process; so is the advice.

    Raises ValueError for a budget below what the pilot needs (it says how much), a reward that is the same, or -inf, on
    all plain samples, names that are taken, and a folder that holds parts of another request; together, for a budget in
    seconds, and where they were given other arguments (it says which); TypeError for what is of another kind.
    """
    expect(reference, Reference, "reference")
    expect(target, Target, "target")
    limit = Budget.of(budget)
    if together:
        _check_together(limit, locals())
    account = Account(limit, Prices.of(limit.unit, prices), progress=progress)
    for_samples, seed = integer(for_samples, "for_samples"), as_seed(seed)
    per_sample = None if per_sample is None else real(per_sample, "per_sample", above=0)
    max_batch = None if max_batch is None else integer(max_batch, "max_batch", optional=True)
    values, policies, samplers = (
        _named(each, kind, name)
        for each, kind, name in (
            (values, Value, "values"),
            (policies, Reference, "policies"),
            (samplers, Sampler, "samplers"),
        )
    )
    trainable = None if trainable is None else _named(trainable, (Value, Policy, Surrogate), "trainable")
    reserved = {POSTERIOR, DRAWS} | ({LEARNED} if trainable is None else set())
    own = reserved | set(values) | set(policies)
    for name in reserved & set(values) | own & set({} if trainable is None else trainable):
        raise ValueError(f"values: expected names of their own, got {name!r}, which is that of another")
    rows = None if condition is None else as_rows(condition)
    path = None if folder is None else writable(folder, "folder")
    request = {} if path is None else _request(reference, target, limit, account, for_samples, per_sample, seed, rows)
    names: dict[str, Any] = {"max_batch": max_batch}
    given = (("values", values), ("policies", policies), ("samplers", samplers), ("trainable", trainable or {}))
    for kind, things in given:
        names[kind] = {} if path is None else {key: identity(each, f"{kind}[{key!r}]") for key, each in things.items()}
    names["default value"] = trainable is None
    record = Record(path, {**request, **names}, account, together)
    recipes = dict((None if base is None else base.get("trainable")) or {})
    making = Making(reference, target, Drawing(seed, rows, max_batch), account, record, path, recipes)
    with account.bar:
        return _advise(making, values, trainable, policies, samplers, for_samples, per_sample, base)


def _advise(
    making: Making,
    values: Mapping[str, Value],
    trainable: Mapping[str, Trainable] | None,
    policies: Mapping[str, Reference],
    samplers: Mapping[str, Sampler],
    for_samples: int,
    per_sample: float | None,
    base: Mapping[str, Any] | None,
) -> Advice:
    account, drawing, record = making.account, making.drawing, making.record
    known = making.pilot(trainable)
    if drawing.turn > len(known.scores):
        raise ValueError(
            f"condition: expected at most {len(known.scores)} rows, as many as this budget has plain samples, got "
            f"{drawing.turn}"
        )
    limit = making.limit(known.price, per_sample)
    making.values, making.policies = dict(values), dict(policies)
    making.add_training_free(known)
    making.measure_rates(known)
    making.train(known, trainable)
    making.measure_rate_of_value(known)
    everything = dict(making.values)
    making.look_ahead(known, limit)
    entries = making.entries(known, limit, samplers)
    _check_names([entry.name for entry in entries])
    terms = Terms(Baseline(known.scores, known.price, drawing.turn), known.failure, for_samples, per_sample)
    spend = min(RACE * account.budget.amount, account.left / 2)
    finalists, behind, failures = race(entries, terms, drawing, account, record, spend)
    plain = Entry(making.shelf(limit).best_of_n(1), known.price)
    finalists, plain, lost = final(finalists, plain, drawing, account, record, (MOST_FINAL, MOST_PLAIN))
    decision = decide(finalists, plain, terms, limit)
    best = making.shelf(limit).best_of_n(decision.best_of)
    chosen = best if decision.winner is None else decision.winner.candidate
    notes = [each for each in (noise_sentence(known),) if each is not None]
    written = [chosen] if chosen is best else [chosen, best]
    return Advice(
        recommended=chosen.name,
        sampler=chosen.sampler,
        text=paragraph(decision, terms, plain, making.foresights, known, account.budget, not entries),
        front=front(finalists, behind, plain, terms, decision, limit),
        gain=None if decision.winner is None else decision.gains[decision.winner.name],
        break_even=decision.break_even,
        gains=pd.concat(making.tables, ignore_index=True) if making.tables else pd.DataFrame(columns=["t", "value"]),
        rates=making.rates,
        skipped={**making.skipped, **failures, **lost},
        notes=tuple(notes),
        spent=account.spent + account.repeated,
        price=account.prices.price(account.spent + account.repeated),
        unit=account.budget.unit,
        configuration=configuration(
            making.reference,
            making.target,
            everything,
            making.policies,
            making.files,
            written,
            min(WRITTEN, for_samples),
            drawing.seed,
            base,
            trained=set(making.trained),
        ),
    )


def _named(things: Mapping[str, Any] | None, kind: type | tuple[type, ...], name: str) -> dict[str, Any]:
    """Things of a kind, or of one of several, by their names; TypeError for others."""
    known = {} if things is None else dict(expect(things, Mapping, name))
    for key, thing in known.items():
        expect(key, str, f"{name}: each name")
        expect(thing, kind, f"{name}[{key!r}]")
    return known


def _check_together(budget: Budget, arguments: dict[str, Any]) -> None:
    """See that all processes were given the same, as far as it can be told."""
    process_group.check_joined("together")
    plain = ("for_samples", "per_sample", "prices", "seed", "max_batch")
    texts = {"budget": budget, "folder": arguments["folder"] is not None} | {name: arguments[name] for name in plain}
    for name in ("reference", "target", "condition"):
        texts[name] = identified(arguments[name], name)
    for name in ("values", "trainable", "policies", "samplers"):
        things = arguments[name]
        texts[name] = sorted(map(str, things)) if isinstance(things, Mapping) else type(things).__name__
        if isinstance(things, Mapping):
            texts |= {f"{name}[{key!r}]": identified(each, str(key)) for key, each in things.items()}
    process_group.agree(texts)
    if budget.unit != "calls":
        raise ValueError(
            f"budget: expected one in calls, which processes that advise together count alike, got {budget.written()}"
        )


def _check_names(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1 or name == "plain samples" or name.startswith("best of "):
            raise ValueError(f"samplers: expected names of their own, got {name!r}, which is that of another")


def _request(
    reference: Reference,
    target: Target,
    budget: Budget,
    account: Account,
    for_samples: int,
    per_sample: float | None,
    seed: int,
    rows: Any,
) -> dict[str, Any]:
    """What a folder's parts are told by."""
    return {
        "reference": [fingerprint(reference), identity_of_process(reference)],
        "target": identity(target, "reward"),
        "budget": [budget.amount, budget.unit],
        "prices": dict(account.prices.per_call),
        "for_samples": for_samples,
        "per_sample": per_sample,
        "seed": seed,
        "condition": None if rows is None else identity(rows, "condition"),
    }
