"""Parts of an advice that several processes make at a time, each some of them, before they are asked for in turn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from svlearn import process_group
from svlearn.metering import KINDS, Cost, count, metered

Make = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """What one of the processes has made: the content of a part, or the type and the text of what was raised, and what
    had been spent by then."""

    content: dict[str, Any] | None
    error: tuple[str, str] | None = None
    cost: Cost = field(default_factory=Cost)

    def __call__(self) -> dict[str, Any]:
        """As if it were made now: it costs what it cost, and raises what was raised."""
        if self.content is not None:
            return self.content
        for kind in KINDS:
            count(kind, getattr(self.cost, kind))
        name, text = self.error or ("RuntimeError", "")
        raise type(name, (RuntimeError,), {})(text)


def made_ahead(jobs: Mapping[str, Make]) -> dict[str, Make]:
    """The same jobs, done: the i-th by the process i mod n, and told to all. All must make the same call.

    Raises ValueError in each where they have other jobs.
    """
    process_group.agree({"what is to be drawn next": list(jobs)})
    own = list(jobs)[process_group.number() :: process_group.size()]
    everyone = process_group.gathered({name: _made(jobs[name]) for name in own})
    done = {name: made for part in everyone for name, made in part.items()}
    return {name: done[name] for name in jobs}


def _made(make: Make) -> Made:
    with metered() as meter:
        try:
            return Made(make())
        except Exception as raised:  # whatever a user's value, policy or reward may raise
            error = (type(raised).__name__, str(raised))
    return Made(None, error, meter.cost)
