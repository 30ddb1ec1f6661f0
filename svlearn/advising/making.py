"""An advice in the making: what is measured, in its order, and what each part may cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tensordict import TensorDict

from svlearn.advising import foresight, rates, trained_values
from svlearn.advising.account import Account, Record
from svlearn.advising.candidates import Candidate, Shelf, rewards_of
from svlearn.advising.draws import Drawing
from svlearn.advising.estimates import Baseline
from svlearn.advising.foresight import Foresight
from svlearn.advising.pilot import Pilot, pilot
from svlearn.advising.race import Entry
from svlearn.advising.training import Trainable, Trainings
from svlearn.evaluation.outcome import as_text
from svlearn.inference.sampler import Sampler
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import device_of
from svlearn.targets import Target
from svlearn.values import PosteriorMean, Value

PLAIN = 16  # plain samples' price: what a sample may cost where the caller does not say
GAINS, TRAINING, RACE = 0.12, 0.12, 0.3  # of the budget; the pilot has a share of its own, and the final what is left
FEWEST_FINAL = 24  # samples of a finalist that the budget must have room for
DEAR = 2  # plain samples: a value whose choices cost no more is tried also where its gain is within the noise
JUDGED = 4  # one in so many of the pilot's trajectories trains no value, and judges all
POSTERIOR, DRAWS, LEARNED = "posterior mean", "posterior draws", "learned"
NUM_DRAWS = 4  # of x_T, for a value of tokens


@dataclass
class Making:
    """What an advice is made of and has found so far; skipped: why something was not tried, by name."""

    reference: Reference
    target: Target
    drawing: Drawing
    account: Account
    record: Record
    folder: Path | None
    recipes: Mapping[str, Any] = field(default_factory=dict)  # of values to train, where they are known
    skipped: dict[str, str] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    policies: dict[str, Reference] = field(default_factory=dict)
    trained: dict[str, float] = field(default_factory=dict)  # by name, what the training of a value or a policy cost
    files: dict[str, str] = field(default_factory=dict)
    foresights: dict[str, Foresight] = field(default_factory=dict)
    blind: set[str] = field(default_factory=set)  # values that nothing is chosen by
    tables: list[pd.DataFrame] = field(default_factory=list)
    rates: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=rates.COLUMNS))

    def pilot(self, trainable: Mapping[str, Trainable] | None) -> Pilot:
        """Plain trajectories, more of them where a value or a surrogate learns from them."""
        self.account.say("plain samples")
        learns = trainable is None or any(not isinstance(each, Policy) for each in trainable.values())
        return pilot(self.reference, self.target, self.drawing, self.account, self.record, learns)

    def limit(self, price: float, per_sample: float | None) -> float:
        """What a sample may cost: what the caller says, else the price of PLAIN plain ones, but no more than leaves
        room for a final of a few of them, nor less than that of two."""
        if per_sample is not None:
            return per_sample
        room = RACE * self.account.budget.amount / 2 / FEWEST_FINAL
        return min(PLAIN * price, max(2 * price, room))

    def measure_rates(self, known: Pilot) -> None:
        """Seconds a call of the reference and of the reward, where the budget is in seconds."""
        self._add_rates("rates", known, None)

    def measure_rate_of_value(self, known: Pilot) -> None:
        """Of the first value of (x, t) too, one that was trained or is at hand."""
        value = next((each for each in self.values.values() if not each.needs_prediction), None)
        if value is not None:
            self._add_rates("rates/value", known, value)

    def _add_rates(self, part: str, known: Pilot, value: Value | None) -> None:
        if self.account.budget.unit != "seconds":
            return

        def make() -> dict[str, Any]:
            states = known.trajectories.all()["states"]
            limit = rates.SHARE * self.account.budget.amount
            options: dict[str, Any] = {"limit": limit, "max_batch": self.drawing.max_batch}
            options["prices"] = self.account.prices.per_call
            return rates.measure(self.reference, self.target, states, value, **options)

        self.account.say("what calls cost")
        table = pd.DataFrame(self.record.finish(part, make)["table"], columns=rates.COLUMNS)
        self.rates = table if not len(self.rates) else pd.concat([self.rates, table], ignore_index=True)

    def price(self, calls: Mapping[str, float]) -> float:
        """What so many calls by kind come to."""
        return self.account.prices.of_calls(calls, rates.fastest(self.rates) if len(self.rates) else {})

    def add_training_free(self, known: Pilot) -> None:
        """The values that the reference's own prediction gives."""
        prediction = self._prediction(known)
        if prediction.clean is None:
            self.skipped[POSTERIOR] = "the reference predicts no clean sample"
        else:
            self.values[POSTERIOR] = PosteriorMean(self.target)
        if prediction.clean_law is not None and known.failed == 0 and not _has_floats(known.trajectories.all()):
            self.values[DRAWS] = PosteriorMean(self.target, NUM_DRAWS)

    def _prediction(self, known: Pilot) -> Prediction:
        states = known.trajectories.all()["states"][:2, 0].to(device_of(self.reference))
        with torch.no_grad():
            return self.record.repeat("prediction", lambda: predict(self.reference, states, 0))

    def train(self, known: Pilot, trainable: Mapping[str, Trainable] | None) -> None:
        """Train what can be trained on three quarters of the pilot's trajectories, each by the same part of a share."""
        number = len(known.rewards) - len(known.rewards) // JUDGED
        if trainable is None:
            rows = known.trajectories.all()[:number]
            value = trained_values.default_value(rows, torch.from_numpy(known.scores[:number]), self.drawing.seed)
            if value is None:
                self.skipped[LEARNED] = "no network of svlearn's own for such states; give trainable={name: a Value}"
            trainable = {} if value is None else {LEARNED: value}
        share = TRAINING * self.account.budget.amount / max(1, len(trainable))
        predicts = POSTERIOR in self.values
        own = Trainings(self.reference, self.target, self.drawing, self.account, self.record, self.folder, self.recipes)
        for name, thing in trainable.items():
            self.account.say(f"training {name}")
            try:
                trained = own.train(name, thing, known, number, share, self.price, predicts)
            except Exception as error:  # whatever a user's network may raise: the others go on
                self.skipped[name] = as_text(error)
                continue
            held: dict[str, Any] = self.policies if isinstance(trained, Policy) else self.values
            held[name] = trained
        self.trained, self.files = own.prices, own.files
        self.skipped |= {f"the file of {name}": reason for name, reason in own.unwritten.items()}

    def look_ahead(self, known: Pilot, limit: float) -> None:
        """What a choice by each value gains, on the trajectories that trained none; a value that would cost more than
        the limit with two candidates is left out; nothing is chosen by one that foresees nothing, and that is dear or
        surely of no use."""
        judged = len(known.rewards) // JUDGED
        share = GAINS * self.account.budget.amount / max(1, len(self.values))
        steps = self.reference.num_steps
        for name, value in list(self.values.items()):
            shelf = self.shelf(limit)
            least = shelf.least(name)
            if least > limit:
                self.skipped[name] = (
                    f"with two candidates a sample would cost {self.account.budget.written(least)}, over the limit of "
                    f"{self.account.budget.written(limit)}"
                )
                del self.values[name]
                continue
            calls = foresight.calls_of_gains(steps, value.needs_prediction, rewards_of(value, self.target))
            number = min(judged, int(share / max(1e-300, self.price(calls))))
            if number < foresight.FEWEST:
                continue  # nothing is known of it but that it is cheap enough: the race tells
            self._look_ahead(name, value, known, number, least)

    def _look_ahead(self, name: str, value: Value, known: Pilot, number: int, least: float) -> None:
        def make() -> dict[str, Any]:
            rows = known.trajectories.all()[-number:]
            options: dict[str, Any] = {"seed": self.drawing.seed, "max_batch": self.drawing.max_batch}
            if self.drawing.turn > 1:  # the x_0 of another trajectory is one of another condition
                options["steps"] = foresight.steps_of(self.reference.num_steps)[1:]
            scores = known.scores.copy()
            for place in range(self.drawing.turn):  # what conditions differ by tells no choice
                scores[place :: self.drawing.turn] -= scores[place :: self.drawing.turn].mean()
            return foresight.measure(name, value, self.reference, rows, scores[-number:], **options)

        self.account.say(f"what {name} foresees")
        number = self.record.finish(f"gains/size/{name}", lambda: {"number": number})["number"]
        try:
            table = pd.DataFrame(self.record.finish(f"gains/{name}", make)["table"])
        except Exception as error:  # whatever a user's value may raise: the others go on
            self.skipped[name] = as_text(error)
            del self.values[name]
            return
        self.tables.append(table)
        self.foresights[name] = foresight.foresight_of(table, self.reference.num_steps)
        plain = Baseline(known.scores, known.price, self.drawing.turn)
        rival = plain.at(least)[0] - plain.at(known.price)[0]
        own = self.foresights[name]
        if not own.foresees and (least >= DEAR * known.price or own.at_most <= rival):
            self.skipped[name] = own.sentence(name)
            self.blind.add(name)

    def shelf(self, limit: float) -> Shelf:
        return Shelf(self.reference, self.target, self.values, frozenset(self.trained), self.price, limit)

    def entries(self, known: Pilot, limit: float, samplers: Mapping[str, Sampler]) -> list[Entry]:
        """All samplers that are to race."""
        shelf = self.shelf(limit)
        candidates = self.record.repeat("samplers", lambda: self._candidates(shelf))  # each looks for noise
        self.skipped |= shelf.refused
        entries = [self._entry(each, self.price(each.calls)) for each in candidates]
        for name, sampler in samplers.items():
            copies = sampler.num_particles * float(np.mean(sampler.num_candidates))
            entries.append(self._entry(Candidate(name, sampler), copies * known.price))
        return entries

    def _candidates(self, shelf: Shelf) -> list[Candidate]:
        candidates = list[Candidate]()
        for name in self.values:
            blind = name in self.blind
            candidates += shelf.guided(name) if blind else shelf.of_value(name, self.foresights.get(name))
        seen = self.values.keys() & self.foresights.keys() - self.blind
        for early in self.values:
            late = POSTERIOR if POSTERIOR in seen else DRAWS
            if not self.values[early].needs_prediction and {early, late} <= seen:
                candidates += shelf.of_two(early, late, (self.foresights[early], self.foresights[late]))
        for name, policy in self.policies.items():
            candidates += shelf.of_policy(name, policy)
        return candidates

    def _entry(self, candidate: Candidate, price: float) -> Entry:
        trained = candidate.trained
        return Entry(candidate, price, 0.0 if trained is None else self.trained[trained])


def _has_floats(trajectories: TensorDict) -> bool:
    states: Any = trajectories["states"]
    leaves = [states] if isinstance(states, torch.Tensor) else states.values(True, True)
    return any(leaf.is_floating_point() for leaf in leaves)
