"""What exhaustive search finds: the rows of the leaderboards, within the price that a sample may have."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from benchmarks.advice.problems import PROBLEMS
from benchmarks.common.results import Results
from benchmarks.digits.rows import BY_FLOW
from benchmarks.qm9_inference.rows import gather as gather_qm9
from benchmarks.sequences.findings import KINDS as NEEDS
from benchmarks.sequences.findings import gather as gather_sequences
from benchmarks.stories_budget.rows import BUDGETS, TRAINED
from svlearn.metering import KINDS

COUNTED = [kind for kind in KINDS if kind != "value_calls"]


@dataclass(frozen=True)
class Row:
    """A sampler that somebody has tried: its mean reward and the standard error of that, calls a sample, how many
    samples tell it, and whether it needs training."""

    name: str
    reward: float
    error: float
    price: float
    number: int
    trained: bool = False


@dataclass(frozen=True)
class Search:
    """Rows, of which the best is picked; training: the calls of those that learn, as far as they are known."""

    rows: Sequence[Row]
    training: float = 0.0

    @property
    def best(self) -> Row:
        return max(self.rows, key=lambda row: row.reward)

    @property
    def calls(self) -> float:
        """What all rows took, with the training."""
        return sum(row.number * row.price for row in self.rows) + self.training

    def within(self, price: float) -> "Search":
        """The rows of at most this price; nothing is asked of the others, nor are they paid."""
        return Search([row for row in self.rows if row.price <= price], self.training)


def qm9() -> Search:
    """At alpha = 0; 4,000 trajectories for the values of each seed."""
    rows = []
    for row in gather_qm9(Results("qm9_inference").read()):
        if row.alpha == 0:
            price = sum(row.mean(f"{kind}_per_sample") for kind in COUNTED)
            number = sum(int(each["num_samples"]) for each in row.seeds.values())
            rows.append(Row(row.name, *row.reward, price, number, "MC" in row.name or "learned" in row.name))
    return Search(rows, 2 * 4000 * 46.0)


def mrl() -> Search:
    """2,560 trajectories for the values; what the policies drew is not known, and counts as nothing."""
    rows = []
    for row in gather_sequences(Results("sequences").read(), "mrl").values():
        price = sum(row.cost(kind) for kind in COUNTED)
        trained = NEEDS.get(row.name.partition(", M = ")[0]) == "trained"
        rows.append(Row(row.label, *row.mean, price, len(row.rewards), trained))
    plain = next(row.price for row in rows if row.name == "pretrained")
    return Search(rows, 2560 * plain)


def digits() -> Search:
    """At alpha = 1; the models that were told the classes in their own training are other references. 2,000
    trajectories for the values; what the policy drew is not known, and counts as nothing."""
    rows = []
    for key, cell in Results("digits").read()["cells"].items():
        name, alpha = key.rsplit("/", 1)
        if alpha != "1" or name.startswith((BY_FLOW, "class-conditional")):
            continue
        rewards, cost = cell["rewards"], cell["per_image"]
        trained = name.startswith(("SVDD, ", "policy"))
        mean, error = fmean(rewards), stdev(rewards) / len(rewards) ** 0.5
        rows.append(Row(name, mean, error, sum(cost[kind] for kind in COUNTED), len(rewards), trained))
    plain = next(row.price for row in rows if row.name == "pretrained")
    return Search(rows, 2000 * plain)


def stories() -> Search:
    """The sentiment; a price is the token positions, of reference and policy, and a reward for each plain text that
    they would make."""
    held, rows, training = Results("stories_budget").read()["sentiment"], [], 0.0
    for name, own in held.items():
        for budget in BUDGETS if "budgets" in own else ():
            row = own["budgets"][str(budget)]
            price = row["positions"] + budget
            rows.append(Row(f"{name}, {budget}", *row["figure"], price, row["number"], name in TRAINED))
        training += own.get("trained", {}).get("positions", 0.0)
    return Search(rows, training)


def gb1(results: dict[str, Any]) -> Search:
    """The grid of this study's own."""
    held = results["grid"].get("gb1", {})
    return Search([Row(**row) for row in held.get("rows", [])], held.get("training", 0.0))


SEARCHES: dict[str, Callable[[], Search]] = {"qm9": qm9, "mrl": mrl, "digits": digits, "stories": stories}


def searched(name: str, results: dict[str, Any]) -> Search:
    """What a search within the price of a problem's samples finds."""
    whole = gb1(results) if name == "gb1" else SEARCHES[name]()
    return whole.within(PROBLEMS[name].per_sample * (1 + 1e-9))
