"""The rows of the table of GDSS: their batches put together, their figures, and how far apart two of them are."""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np
from rdkit import Chem

from benchmarks.common.estimates import apart, gap
from svlearn.domains.molecules import metrics
from svlearn.evaluation.divergence import best_of_kl
from svlearn.evaluation.report.numbers import between, plain, with_error
from svlearn.evaluation.summary import reward_figures

LEARNED, FREE, FAMILY, ELSEWHERE = "SVDD-MC", "SVDD-PM", "SVDD, ", "chosen at the predictor"
UNDENOISED, SEVERAL, LATELY, THEN_FREE = "SVDD by r(x_t)", "best of 5", "late", "then SVDD-PM"
LATE, NUM_STEPS = 280, 400  # from this t on rows choose that do so late
STARTS = (120, 200, 240, LATE, 320, 340, 360)  # from which SVDD-PM goes on after the contrastive twist


@dataclass(frozen=True)
class Drawn:
    """The batches of a row, of one seed."""

    reward: str
    name: str
    batches: list[dict]

    @cached_property
    def rewards(self) -> np.ndarray:
        return np.array([each for batch in self.batches for each in batch["rewards"]])

    @cached_property
    def figures(self) -> dict[str, float]:
        return reward_figures(self.rewards[None], np.random.default_rng(0))

    @property
    def mean(self) -> tuple[float, float]:
        return self.figures["mean_reward"], self.figures["mean_reward_standard_error"]

    @property
    def label(self) -> str:
        strength = self.batches[0].get("strength")
        return self.name if strength is None else f"{self.name}, strength {strength:g}"

    def cost(self, name: str) -> float:
        return fmean(batch["per_molecule"][name] for batch in self.batches)

    @property
    def kl(self) -> float | None:
        """What KL(q || p_ref) is at most, nats: of M candidates so often, and of N runs. That of guidance is the mean
        of its log q/p_ref, or None where a batch has not recorded it.

        Who has one candidate at a step asks the value once, so that the value calls tell how often there were M. Of
        the best of N such runs nothing is known but that each choice multiplies a density by M at most.
        """
        if "strength" in self.batches[0]:
            return fmean(batch["kl"] for batch in self.batches) if all("kl" in each for each in self.batches) else None
        number, runs = number_in(r"M = (\d+)", self.name, 10), number_in(r"best.of.(\d+)", self.name, 1)
        choices = max(0.0, self.cost("value_calls") / runs - NUM_STEPS) / (number - 1)
        chosen = best_of_kl([number] * round(choices)) if runs == 1 else round(choices) * math.log(number)
        return chosen + best_of_kl([runs])

    @property
    def kl_in_words(self) -> str:
        return "–" if self.kl is None else plain(self.kl, 3) if self.kl < 1000 else f"{self.kl:,.0f}"

    def quantile(self, level: int) -> str:
        low, high = (self.figures[f"reward_quantile_{level}_{end}"] for end in ("low", "high"))
        return f"{self.figures[f'reward_quantile_{level}']:.3f} ({between(low, high)})"

    @cached_property
    def molecules(self) -> dict[str, float]:
        smiles = [text for batch in self.batches for text in batch["smiles"]]
        molecules = [None if text is None else Chem.MolFromSmiles(text) for text in smiles]
        return {
            "Valid": fmean(each for batch in self.batches for each in batch["valid"]),
            "One piece": fmean(batch["one_piece"] for batch in self.batches),
            "Distinct": metrics.uniqueness(molecules),
            "Diversity": metrics.internal_diversity(molecules),
        }


def gather(held: dict) -> dict[str, dict[str, Drawn]]:
    """The rows by reward and name; what only a strength was chosen by is not among them."""
    batches: dict[str, dict[str, list[dict]]] = {}
    for key, batch in held["batches"].items():
        reward, name, *_ = key.split("/")
        if ", strength " not in name:
            batches.setdefault(reward, {}).setdefault(name, []).append(batch)
    return {reward: {name: Drawn(reward, name, own) for name, own in rows.items()} for reward, rows in batches.items()}


def number_in(pattern: str, name: str, other: int) -> int:
    match = re.search(pattern, name)
    return other if match is None else int(match[1])


def handover(first: str, start: int) -> str:
    """The name of a row of which SVDD-PM has the steps from `start` on."""
    return f"{first}, {THEN_FREE}" + ("" if start == LATE else f" from {start}")


def start_of(name: str) -> int:
    """From when on SVDD-PM has the steps of a row of such a name."""
    return number_in(r" from (\d+)", name, LATE)


def below(one: Drawn, other: Drawn) -> bool:
    """Whether the mean of one is lower at 95 %."""
    return one.mean[0] < other.mean[0] and apart(one.mean, other.mean)


def difference(one: Drawn, other: Drawn, short: bool = False) -> str:
    """How far apart two means are, and whether at 95 %."""
    text = with_error(*gap(one.mean, other.mean), sign=True)
    if not apart(one.mean, other.mean):
        text += ", not told apart at 95 %"
    return text if short else f"the difference is {text}"


def leading(rows: dict[str, Drawn]) -> str:
    """The row of the largest mean beside SVDD-PM, and at which share of its seconds."""
    best = max(rows.values(), key=lambda row: row.mean[0])
    text = f"the largest mean is that of {best.label}, {with_error(*best.mean)}"
    if FREE not in rows or best.name == FREE:
        return text
    share = plain(best.cost("cpu_seconds") / rows[FREE].cost("cpu_seconds"), 2)
    return f"{text}; against SVDD-PM {difference(best, rows[FREE])}, at {share} times its seconds"
