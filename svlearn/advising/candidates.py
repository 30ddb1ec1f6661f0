"""The samplers that an advice tries, each as the recipe that builds it and the calls that it will make."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from svlearn.advising.foresight import Foresight
from svlearn.advising.schedule import candidates_by_step
from svlearn.inference.sampler import Sampler
from svlearn.process import Reference
from svlearn.recipes import Context, build
from svlearn.targets import Target
from svlearn.values import PosteriorMean, Value
from svlearn.values.children import reads_candidates
from svlearn.values.switch import best_start

SIZES = (32, 16, 8, 4, 2)  # candidates, particles, or guided samples
SMALLER = 4  # the second size of a family, as a part of the first
LATER = (0.0, 0.5, 0.75)  # of the way from where another value gains more to T: a later hand-over asks it less often
DEAR = 0.2  # of what else a sample costs: where scoring all its last candidates takes more, only one is drawn


@dataclass(frozen=True)
class Candidate:
    """A sampler under its name. recipe: what builds it, as a YAML of `svlearn evaluate` holds it, None of one that was
    handed over; calls: those of each kind that a sample will make, as far as they are known; trained: the name of the
    value or policy in it that was trained, None where nothing was."""

    name: str
    sampler: Sampler
    recipe: dict[str, Any] | None = None
    calls: Mapping[str, float] = field(default_factory=dict)
    trained: str | None = None


@dataclass(frozen=True)
class Shelf:
    """What candidates are made of.

    values: by name; trained: what of these and of policies an advice has trained itself; price(calls): what so many
    calls by kind come to; limit: the most that a sample may cost; refused: why a sampler could not be made, by name.
    """

    reference: Reference
    target: Target
    values: Mapping[str, Value]
    trained: frozenset[str]
    price: Callable[[Mapping[str, float]], float]
    limit: float
    refused: dict[str, str] = field(default_factory=dict)

    def best_of_n(self, n: int) -> Candidate:
        arguments, calls = {"n": n}, self._of_particles(n, None)
        return self._built(f"best of {n}", "svlearn.best_of_n", arguments, (), calls)

    def least(self, name: str) -> float:
        """What a sample costs with two candidates at every step, which are chosen by this value."""
        return self.price(self._of_choices(self.values[name], [2] * self.reference.num_steps + [1]))

    def of_value(self, name: str, foresight: Foresight | None) -> list[Candidate]:
        """What one value can do: svdd with the same number of candidates at each step, and with as many by step as
        choosing gains there; the best of several lineages; where α > 0 smc, guidance and both, as far as they fit the
        limit."""
        found: list[Candidate] = []
        value = self.values[name]
        steps = self.reference.num_steps
        sizes = self._sizes(lambda size: self._of_choices(value, [size] * steps + [size]))
        for size in sizes:
            found += self._svdd(f"SVDD, {name}, {size} candidates", name, [size] * (steps + 1))
        if sizes:
            found += self._lineages(name, sizes[-1])
        if sizes and foresight is not None and foresight.foresees:
            for size in sizes:
                numbers = candidates_by_step(foresight.gains.tolist(), size * steps)
                if len(set(numbers)) > 1:
                    found += self._svdd(f"SVDD, {name}, {size} a step by gain", name, [*numbers, size])
        return found + self._weighted(name) + self.guided(name)

    def of_two(self, early: str, late: str, gains: tuple[Foresight, Foresight]) -> list[Candidate]:
        """One value until the other gains more, then that, with as many candidates as fit; and later, where that pays
        for more of them."""
        first, steps = best_start(*(torch.from_numpy(each.gains.copy()) for each in gains)), self.reference.num_steps
        if first in (0, steps):
            return []
        found, most = list[Candidate](), 0
        for start in sorted({first + round(share * (steps - first)) for share in LATER} - {steps}):
            by_size = {size: self._of_two_choices(early, late, start, size) for size in SIZES}
            size = next((each for each, calls in by_size.items() if self.price(calls) <= self.limit), 0)
            if size > most:
                given = {"early": early, "late": late, "start": start}
                arguments = {"value": {"class_path": "svlearn.values.Switch", "init_args": given}}
                title = f"SVDD, {early} to t = {start}, then {late}, {size} candidates"
                found += self._made(
                    title, "svlearn.svdd", {**arguments, "num_candidates": size}, (early, late), by_size[size]
                )
                most = size
        return found

    def _of_two_choices(self, early: str, late: str, start: int, size: int) -> dict[str, float]:
        """Calls of svdd with so many candidates, by one value before the step and by the other from it on."""
        steps = self.reference.num_steps
        calls = self._of_choices(self.values[early], [size] * start + [0] * (steps - start) + [size])
        rest = self._of_choices(self.values[late], [0] * start + [size] * (steps - start) + [0])
        return {kind: calls[kind] + rest[kind] for kind in calls}

    def of_policy(self, name: str, policy: Reference) -> list[Candidate]:
        """A policy's own samples, and the best of as many as fit."""
        context = Context({"reference": policy, "target": self.target})
        sizes = self._sizes(lambda size: self._of_particles(size, None))[:1]
        found: list[Candidate] = []
        for size in [1, *sizes]:
            recipe = {"class_path": "svlearn.best_of_n", "init_args": {"n": size}}
            sampler = build(recipe, context, name)
            written = {**recipe, "init_args": {"reference": name, "n": size}}
            title = f"policy {name}" if size == 1 else f"policy {name}, best of {size}"
            trained = name if name in self.trained else None
            found.append(Candidate(title, sampler, written, self._of_particles(size, None), trained))
        return found

    def _weighted(self, name: str) -> list[Candidate]:
        found: list[Candidate] = []
        value = self.values[name]
        if not self._can_weigh(value):
            return []
        for size in self._sizes(lambda size: self._of_particles(size, value))[:1]:
            arguments: dict[str, Any] = {"value": name, "num_particles": size}
            calls = self._of_particles(size, value)
            found += self._made(f"SMC, {name}, {size} particles", "svlearn.smc", arguments, (name,), calls)
            tempered = {**arguments, "tempering": {"class_path": "svlearn.inference.tempering.Adaptive"}}
            title = f"SMC, {name}, {size} particles, tempered"
            found += self._made(title, "svlearn.smc", tempered, (name,), calls)
        return found

    def _can_weigh(self, value: Value) -> bool:
        return self.target.alpha > 0 and not value.needs_generator

    def guided(self, name: str) -> list[Candidate]:
        """What the gradient of one value can do, where α > 0. What a choice by a value gains says little of that: a
        gradient leads where no candidate lies."""
        found: list[Candidate] = []
        value = self.values[name]
        if not self._can_weigh(value):
            return []
        guided = {"class_path": "svlearn.proposals.Guided", "init_args": {"value": name}}
        for size in self._sizes(lambda size: self._of_particles(size, value, gradient=True))[:1]:
            calls = self._of_particles(size, value, gradient=True)
            title = f"SMC, guided by {name}, {size} particles"
            arguments = {"value": name, "num_particles": size, "proposal": guided}
            found += self._made(title, "svlearn.smc", arguments, (name,), calls)
            title = f"guidance by {name}, best of {size}"
            path = "svlearn.advising.guided_best_of_n"
            found += self._made(title, path, {"value": name, "n": size}, (name,), calls)
        calls = self._of_particles(1, value, gradient=True)
        if self.price(calls) <= self.limit:
            found += self._made(f"guidance by {name}", "svlearn.guidance", {"value": name}, (name,), calls)
        return found

    def _lineages(self, name: str, size: int) -> list[Candidate]:
        """The best of as many lineages as fit the limit, of the smaller number of candidates: a value that is asked too
        often is taken at its faults, which the reward then sees."""
        value = self.values[name]
        numbers = self._scored(value, [size] * (self.reference.num_steps + 1))
        price = self.price(self._of_choices(value, numbers))
        n = SIZES[0] if price == 0 else min(SIZES[0], int(self.limit / price))
        return [] if n < 2 else self._svdd(f"SVDD, {name}, {size} candidates, best of {n}", name, numbers, n)

    def _scored(self, value: Value, numbers: list[int]) -> list[int]:
        """These numbers of candidates; one at the end where scoring so many takes more than DEAR of all before."""
        before = self.price(self._of_choices(value, [*numbers[:-1], 0]))
        dear = self.price({"reward_calls": numbers[-1]}) > DEAR * max(before, self.price({"reward_calls": 1.0}))
        return [*numbers[:-1], 1 if dear else numbers[-1]]

    def _svdd(self, title: str, name: str, numbers: list[int], n: int = 1) -> list[Candidate]:
        """numbers: of steps 0 ... T, the last as `_scored` has it. Where there is one candidate a value's call is for
        nothing, and is not made. n: lineages, of which the best is kept."""
        value = self.values[name]
        numbers = self._scored(value, numbers)
        chosen = [t for t, number in enumerate(numbers[:-1]) if number > 1]
        held: Any = name
        if len(chosen) < len(numbers) - 1:
            held = {"class_path": "svlearn.values.AtSteps", "init_args": {"value": name, "steps": chosen}}
        same = len(set(numbers)) == 1
        arguments = {"value": held, "num_candidates": numbers[0] if same else numbers}
        calls = {kind: n * each for kind, each in self._of_choices(value, numbers).items()}
        path = "svlearn.svdd" if n == 1 else "svlearn.advising.svdd_best_of_n"
        return self._made(title, path, arguments if n == 1 else {**arguments, "n": n}, (name,), calls)

    def _made(
        self, title: str, path: str, arguments: dict[str, Any], names: tuple[str, ...], calls: Mapping[str, float]
    ) -> list[Candidate]:
        """One, or none where the sampler refuses this reference, as svdd does one whose steps have no noise."""
        try:
            return [self._built(title, path, arguments, names, calls)]
        except (ValueError, TypeError) as error:
            self.refused[title] = str(error)
            return []

    def _built(
        self, title: str, path: str, arguments: dict[str, Any], names: tuple[str, ...], calls: Mapping[str, float]
    ) -> Candidate:
        recipe = {"class_path": path, "init_args": arguments}
        context = Context({"reference": self.reference, "target": self.target}, {Value: self.values.__getitem__})
        trained = next((name for name in names if name in self.trained), None)
        return Candidate(title, build(recipe, context, title), recipe, calls, trained)

    def _sizes(self, calls: Callable[[int], Mapping[str, float]]) -> list[int]:
        """The largest size that fits the limit, and a smaller one; none where none fits."""
        fitting = [size for size in SIZES if self.price(calls(size)) <= self.limit]
        return [] if not fitting else [fitting[0], *[size for size in fitting if size * SMALLER == fitting[0]]]

    def _of_choices(self, value: Value, numbers: list[int]) -> dict[str, float]:
        """Calls of svdd with so many candidates at the steps 0 ... T; at a step of 0 nothing happens, and at one of a
        single candidate no value is asked."""
        asked = [(t, number) for t, number in enumerate(numbers[:-1]) if number > 1]
        reads = sum(number - 1 for t, number in asked if reads_candidates(value, t))
        values = sum(number for _, number in asked)
        return {
            "reference_calls": float(sum(number > 0 for number in numbers[:-1]) + reads),
            "value_calls": float(values),
            "reward_calls": float(numbers[-1] + values * rewards_of(value, self.target)),
        }

    def _of_particles(self, size: int, value: Value | None, gradient: bool = False) -> dict[str, float]:
        """Calls of so many particles, which one value looks at in each step."""
        steps = size * self.reference.num_steps
        looks = 0 if value is None else steps
        return {
            "reference_calls": float(steps),
            "value_calls": float(looks),
            "gradient_calls": float(steps if gradient else 0),
            "reward_calls": float(size + (0 if value is None else looks * rewards_of(value, self.target))),
        }


def rewards_of(value: Value, target: Target) -> int:
    """How often a value asks this target's own reward for one state before the end."""
    inside = [each for each in value.modules() if isinstance(each, PosteriorMean)]
    return sum(
        1 if each.num_samples is None else each.num_samples for each in inside if each.target.reward is target.reward
    )
