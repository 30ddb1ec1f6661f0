"""The results of a study: a JSON file that grows with each part that is finished, so that a second run goes on."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from benchmarks.common import paths
from svlearn.files import write


def nothing(held: dict) -> None:
    """Completes nothing."""


class Results:
    """benchmarks/results/<name>.json.

    empty: what is held before anything is measured. allow_nan: whether a number may be NaN or infinite, which JSON does
    not know and Python's reads.
    """

    def __init__(self, name: str, empty: dict | None = None, *, allow_nan: bool = False):
        self.path = paths.RESULTS / f"{name}.json"
        self.empty = {} if empty is None else empty
        self.allow_nan = allow_nan

    def read(self) -> dict:
        """What has been measured; of a part that the file does not know yet, what is held before."""
        held = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        return held | {name: deepcopy(part) for name, part in self.empty.items() if name not in held}

    def write(self, held: dict) -> None:
        """The whole of it; raises ValueError for a number that the file may not hold."""
        write(self.path, json.dumps(held, indent=1, ensure_ascii=False, allow_nan=self.allow_nan) + "\n")

    def finish(
        self,
        make: Callable[[], Any],
        *keys: str,
        again: bool = False,
        complete: Callable[[dict], None] = nothing,
    ) -> bool:
        """Make the part held[key][...] where it is not there, and write it at once; whether it was made.

        again: make it also where it is there. complete: adds what goes with the parts, before they are written. What is
        held is read again once a part is made, for another run may have finished others meanwhile.
        """
        if not again and keys[-1] in self._parts(self.read(), keys):
            return False
        made = make()
        held = self.read()
        self._parts(held, keys)[keys[-1]] = made
        complete(held)
        self.write(held)
        return True

    def _parts(self, held: dict, keys: tuple[str, ...]) -> dict:
        for key in keys[:-1]:
            held = held[key]
        return held
