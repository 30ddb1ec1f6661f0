"""What an advice trains: values and surrogates on the pilot's trajectories, policies on their own."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from svlearn.advising import trained_policies, trained_values
from svlearn.advising.account import Account, Record
from svlearn.advising.draws import Drawing
from svlearn.advising.pilot import Pilot
from svlearn.metering import Cost
from svlearn.policies import Policy
from svlearn.process import Reference
from svlearn.surrogates import Surrogate
from svlearn.targets import Target
from svlearn.values import PosteriorMean, Value

Trainable = Value | Policy | Surrogate


@dataclass
class Trainings:
    """prices: by name, what the training of each cost, with the samples that it learned from; files: of those that were
    written; unwritten: why others were not. recipes: of values, where they are known."""

    reference: Reference
    target: Target
    drawing: Drawing
    account: Account
    record: Record
    folder: Path | None
    recipes: Mapping[str, Any]
    prices: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    unwritten: dict[str, str] = field(default_factory=dict)

    def train(
        self,
        name: str,
        thing: Trainable,
        known: Pilot,
        number: int,
        share: float,
        price: Callable[[Mapping[str, float]], float],
        predicts: bool,
    ) -> Value | Policy:
        """A trained copy of a value or a policy; of a surrogate the posterior mean by it.

        number: of the pilot's trajectories, the first, that teach; share: of the budget; price(calls by kind);
        predicts: whether the reference says x̂_T. Raises ValueError where a share is too small, or a surrogate has no
        x̂_T.
        """
        if isinstance(thing, Policy):
            return self._policy(name, thing, known, share, price)
        if isinstance(thing, Surrogate):
            return self._surrogate(name, thing, known, number, predicts)
        return self._value(name, thing, known, number, share)

    def _value(self, name: str, value: Value, known: Pilot, number: int, share: float) -> Value:
        prices, recipe = self.account.prices.per_call, self.recipes.get(name)
        steps = trained_values.steps_for(self.account.budget, share, value, self.reference, self.target, prices)

        def make() -> tuple[Value, dict[str, Any]]:
            rows = known.trajectories.all()[:number]
            options: dict[str, Any] = {"seed": self.drawing.seed, "seconds": self._seconds(share), "steps": steps}
            return trained_values.train(value, self.reference, self.target, rows, known.scores[:number], **options)

        own, spent = self._made(
            name,
            "values",
            make,
            lambda path: trained_values.taken_back(value, path),
            lambda own, path: trained_values.keep(own, path, self.reference, recipe),
        )
        self.prices[name] = number * known.price + spent
        return own

    def _policy(
        self, name: str, policy: Policy, known: Pilot, share: float, price: Callable[[Mapping[str, float]], float]
    ) -> Policy:
        steps = trained_policies.steps_for(self.account.budget, share, self.reference, price)

        def make() -> tuple[Policy, dict[str, Any]]:
            options: dict[str, Any] = {"seed": self.drawing.seed, "seconds": self._seconds(share), "steps": steps}
            options["condition"] = self.drawing.condition
            return trained_policies.train(policy, self.reference, self.target, known.scores, **options)

        own, self.prices[name] = self._made(
            name,
            "policies",
            make,
            lambda path: trained_policies.taken_back(policy, path, self.reference),
            lambda own, path: trained_policies.keep(own, path, self.reference),
        )
        return own

    def _surrogate(self, name: str, surrogate: Surrogate, known: Pilot, number: int, predicts: bool) -> Value:
        """No file holds what it fits, so each run fits it again."""
        if not predicts:
            raise ValueError("the reference predicts no clean sample, of which a surrogate could foresee the reward")
        rows, scores = known.trajectories.all()[:number]["states"][:, -1], torch.from_numpy(known.scores[:number])
        fitted = copy.deepcopy(surrogate)
        part = f"training/{name}"
        self.record.repeat(part, lambda: fitted.fit(rows, scores))
        spent = self.account.prices.price(Cost(**self.record.parts[part]["cost"]))
        self.prices[name] = number * known.price + spent
        return PosteriorMean(Target(fitted, self.target.alpha))

    def _seconds(self, share: float) -> float | None:
        return share if self.account.budget.unit == "seconds" else None

    def _made(
        self,
        name: str,
        kind: str,
        make: Callable[[], tuple[Any, dict[str, Any]]],
        take_back: Callable[[Path], Any],
        keep: Callable[[Any, Path], str | None],
    ) -> tuple[Any, float]:
        """What `make` trains, or what its file under the folder's `kind` holds, and what the training cost."""
        part = f"training/{name}"
        path = None if self.folder is None else self.folder / kind / f"{name}.safetensors"
        kept = take_back(path) if path is not None and part in self.record.parts else None
        fitted: list[Any] = [] if kept is None else [kept]

        def fresh() -> dict[str, Any]:
            own, told = make()
            fitted.append(own)
            return told

        if kept is None:
            self.record.parts.pop(part, None)
        told = self.record.finish(part, fresh)
        if kept is None and path is not None:
            reason = keep(fitted[0], path)
            if reason is not None:
                self.unwritten[name] = reason
        if path is not None and path.is_file() and name not in self.unwritten:
            self.files[name] = str(path)
        return fitted[0], self.account.prices.price(Cost(**told["cost"]))
