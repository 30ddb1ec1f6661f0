"""What a scorer must know of a kind of states: a cheap key of each, the text of a key, and the object of a text."""

from abc import ABC, abstractmethod
from typing import Any

from svlearn.state import State


class Codec(ABC):
    """State -> key -> text -> object: what is remembered on the way from a state to what a function scores.

    It is sent to worker processes, so it can be pickled.

    noun          what an object is called in errors
    in_workers    whether texts are made in the workers, as where that takes long; else in the process itself
    """

    noun = "object"
    in_workers = True

    @abstractmethod
    def keys(self, states: State) -> list[bytes]:
        """A key of every finished state (B,): cheap, and equal only for states of one text."""

    @abstractmethod
    def text(self, key: bytes) -> str | None:
        """What is scored of a key, in its one canonical form, by which a score is known; None where there is nothing.

        It is not empty.
        """

    def read(self, text: str) -> Any:
        """The object of a text, which the function takes; by default the text itself."""
        return text

    def begin(self) -> None:
        """What a worker does first; by default nothing."""
        return
