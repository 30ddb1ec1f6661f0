"""What an advice has spent of its budget, and what it has found so far, in a file that a stopped one goes on from."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import svlearn
from svlearn import process_group
from svlearn.advising.ahead import Make, made_ahead
from svlearn.advising.budget import Budget, Prices
from svlearn.evaluation.report.tables import strict_json
from svlearn.files import user_path, write
from svlearn.metering import Cost, Meter, metered
from svlearn.progress import progress as progress_of

FILE = "parts.json"


class Account:
    """A budget, the prices of its unit, and what is spent of it; `repeated`: what was drawn again by one that goes on
    from its parts, which is paid too, but decides no size, so that it goes on as it would have."""

    def __init__(self, budget: Budget, prices: Prices, *, progress: bool = False):
        self.budget, self.prices, self.spent, self.repeated = budget, prices, Cost(), Cost()
        self.bar = progress_of(total=round(budget.amount), unit=budget.unit[:-1], desc="advising", disable=not progress)

    def add(self, cost: Cost) -> None:
        """Spend it."""
        before, self.spent = self.price, self.spent + cost
        most = round(self.budget.amount)
        self.bar.update(min(most, round(self.price)) - min(most, round(before)))

    @property
    def price(self) -> float:
        """What is spent, in the budget's unit."""
        return self.prices.price(self.spent)

    @property
    def left(self) -> float:
        return max(0.0, self.budget.amount - self.price)

    def say(self, what: str) -> None:
        """What is done now, before the bar."""
        self.bar.set_description(what)


class Record:
    """Parts of an advice by their names, each written to <folder>/parts.json as soon as it is done; in memory alone
    where the folder is None.

    request: all that decides the parts, as JSON holds it. A file of another request is refused (ValueError) and left.
    together: of several processes, each of which holds the same record, the first alone reads and writes the file.
    """

    def __init__(self, folder: str | Path | None, request: Mapping[str, Any], account: Account, together: bool = False):
        self.together = together
        self.path = None if folder is None else user_path(folder) / FILE
        self.account = account
        self.request = json.loads(strict_json({"svlearn": svlearn.__version__, **request}))
        self.parts = process_group.from_first(self._known) if together else self._known()
        if together and process_group.number() > 0:
            self.path = None

    def ahead(self, jobs: Mapping[str, Make]) -> dict[str, Make]:
        """What makes parts, by their names: of several processes those that are not there are made now, each by one."""
        missing = {name: make for name, make in jobs.items() if name not in self.parts}
        return {**jobs, **made_ahead(missing)} if self.together else dict(jobs)

    def finish(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The content of a part, as JSON holds it: that which is there, or what `make` gives now. What it costs, a
        `Cost` under "cost", is spent either way."""
        if name not in self.parts:
            content = self._made(make)
            content["cost"] = asdict(content.get("cost", Cost()))
            self.parts[name] = json.loads(strict_json(content))
            if self.path is not None:
                write(self.path, strict_json({"request": self.request, "parts": self.parts}))
        content = self.parts[name]
        self.account.add(Cost(**content["cost"]))
        return content

    def repeat(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, which no file holds and each run makes; the cost of the first time is the part's."""
        with metered() as meter:
            thing = make()
        if name in self.parts:
            self.account.repeated += meter.cost
        self.finish(name, lambda: {"cost": meter.cost})
        return thing

    def _made(self, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `make` gives; where it raises, what it has cost until then is spent."""
        meter = Meter()
        try:
            with metered() as meter:
                return make()
        except BaseException:
            self.account.add(meter.cost)
            raise

    def _known(self) -> dict[str, Any]:
        return {} if self.path is None or not self.path.is_file() else self._read(self.path)

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            request, parts = dict(content["request"]), dict(content["parts"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}: expected the parts of an advice, got another file ({error})") from error
        for key in [*self.request, *request]:
            if request.get(key) != self.request.get(key):
                raise ValueError(
                    f"{path}: expected the parts of this request, got those of one with another {key} "
                    f"({json.dumps(request.get(key))}, here {json.dumps(self.request.get(key))}); give another folder"
                )
        return parts
