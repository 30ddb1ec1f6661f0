"""Words as states, known by their letters in order; an F makes one invalid. And functions to score them."""

import faulthandler
import os
import time
from pathlib import Path

import torch

from svlearn.scoring import Codec

LETTERS = "_CFNO"  # "_" is a place without a letter
CHAIN = ["C" * length for length in range(1, 9)]


class Words(Codec):
    """States (B, L) of places in `LETTERS`."""

    noun = "word"

    def keys(self, states):
        return [bytes(row) for row in states.tolist()]

    def text(self, key):
        word = "".join(LETTERS[place] for place in sorted(key) if place)
        return word if word and "F" not in word else None


def states_of(*words: str, size: int = 9):
    return torch.tensor([[LETTERS.index(letter) for letter in word.ljust(size, "_")] for word in words])


def length(word: str) -> float:
    return len(word)


def counted(path: Path, word: str) -> float:
    """The number of letters; every call leaves a line in the file."""
    with open(path, "a") as file:
        file.write(word + "\n")
    return len(word)


def calls(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def raises_on_cc(word: str) -> float:
    if word == "CC":
        raise KeyError("no CC")
    return len(word)


def raises_always(word: str) -> float:
    raise KeyError("wrong from the start")


def dies_on_cc(path: Path, word: str, number: int) -> float:
    """By a signal, until the file is there."""
    if word == "CC" and not path.exists():
        faulthandler.disable()  # pytest's, which would print the stack
        os.kill(os.getpid(), number)
        time.sleep(60)
    return len(word)


def fails_on_cc(path: Path, word: str, error: Exception) -> float:
    """Until the file is there."""
    if word == "CC" and not path.exists():
        raise error
    return len(word)


def leaves_on_cc(kind: type[BaseException], word: str) -> float:
    if word == "CC":
        raise kind("it says")
    return len(word)
