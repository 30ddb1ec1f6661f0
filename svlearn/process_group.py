"""The processes that work on one thing together, as torchrun starts them: what each must know of the others.

They talk by torch.distributed, whose group the caller has opened, or `joined` opens where torchrun's variables are set.
All of these functions but `size` and `number` are calls that every process of the group must make.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from torch import distributed

Thing = TypeVar("Thing")
LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets
PATIENCE = timedelta(days=7)  # for the slowest of them; one that dies ends the others at once
LONGEST = 120  # letters of an argument in an error


def launched() -> bool:
    """Whether torchrun, or a launcher that sets its variables, has started this process, be it alone."""
    return distributed.is_available() and all(os.environ.get(name) for name in LAUNCHED)


def size() -> int:
    """How many there are; 1 of a process alone."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def number() -> int:
    """Which of them this one is, 0 of a process alone."""
    return distributed.get_rank() if size() > 1 else 0


@contextmanager
def joined() -> Iterator[bool]:
    """Open the group that torchrun has started, over gloo, while the block runs; yields whether there is more than one.

    Where no launcher has set its variables, or a group is open already, nothing is opened.
    """
    opens = launched() and not distributed.is_initialized()
    if opens:
        distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield size() > 1
    finally:
        if opens:
            distributed.destroy_process_group()


def check_joined(name: str) -> None:
    """Raise ValueError, naming the argument that asks for them, where no group is open."""
    if not (distributed.is_available() and distributed.is_initialized()):
        raise ValueError(
            f"{name}: expected a process group of torch.distributed, got none; start with torchrun and call "
            'torch.distributed.init_process_group("gloo") first'
        )


def gathered(thing: Thing) -> list[Thing]:
    """What each has given, by rank, the same list in all of them; it travels by pickle among them alone."""
    if size() == 1:
        return [thing]
    everyone: list[Any] = [None] * size()
    distributed.all_gather_object(everyone, thing)
    return everyone


def from_first(make: Callable[[], Thing]) -> Thing:
    """What `make` gives in the first, in all of them. What it raises is raised there, and as a ValueError of the same
    text in the others."""
    thing: Any = None
    error: Exception | None = None
    if number() == 0:
        try:
            thing = make()
        except Exception as raised:
            error = raised
    made, text = gathered((thing, None if error is None else str(error)))[0]
    if error is not None:
        raise error
    if text is not None:
        raise ValueError(text)
    return made


def agree(arguments: Mapping[str, Any]) -> None:
    """See that all were given the same; values are compared as the texts that `repr` makes of them.

    Raises ValueError in every one of them that names each argument which differs, and who was given what.
    """
    everyone = gathered({name: repr(value) for name, value in arguments.items()})
    names = dict.fromkeys(name for each in everyone for name in each)
    differ = {name: [each.get(name, "nothing") for each in everyone] for name in names}
    parts = [f"{name}: {_who(values)}" for name, values in differ.items() if len(set(values)) > 1]
    if parts:
        raise ValueError(f"expected the same arguments on every rank, got {'; '.join(parts)}")


def _who(values: Sequence[str]) -> str:
    by_value: dict[str, list[int]] = {}
    for rank, value in enumerate(values):
        by_value.setdefault(value, []).append(rank)
    return ", ".join(
        f"{value if len(value) <= LONGEST else value[:LONGEST] + '...'} on rank{'s' * (len(ranks) > 1)} "
        f"{', '.join(map(str, ranks))}"
        for value, ranks in by_value.items()
    )
