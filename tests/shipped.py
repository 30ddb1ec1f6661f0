"""Whether a generated page or picture is the shipped one: by what it says and shows, not by its bytes.

Another processor, font or library rounds the last digit of a number, and the place of a line on the paper, otherwise.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

DECIMAL = re.compile(r"-?\d[\d,]*\.\d+(?:e[+-]?\d+)?")
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")
TOLERANCE = 1e-3  # of the width or height of a panel, which is a third of a pixel
LOOKS = ("fill", "stroke", "stroke-width", "stroke-dasharray")


def check_shipped(path: Path, text: str, study: str) -> None:
    """Fail, with the first difference and the command that writes it anew, unless the file says and shows the same."""
    read = shown if path.suffix == ".svg" else words_of
    for number, (expected, actual) in enumerate(zip_longest(read(path.read_text(encoding="utf-8")), read(text))):
        assert expected is not None and expected.is_like(actual), (
            f"{path.name}: part {number}: expected {expected!s:.300}, got {actual!s:.300}; run "
            f"python -m benchmarks {study} --quote"
        )


@dataclass(frozen=True)
class Words:
    """Text between two decimal numbers, and the number after it."""

    text: str
    number: str

    def is_like(self, other: Any) -> bool:
        """The same words, and a number of as many places that differs by at most one in its last place."""
        if not isinstance(other, Words) or self.text != other.text:
            return False
        if self.number == other.number:
            return True
        mine, theirs = places(self.number), places(other.number)
        return mine == theirs and abs(value(self.number) - value(other.number)) <= 1.001 * 10.0**-mine


def places(number: str) -> int:
    """Digits after the point, those of the exponent counted: 3 for 0.125, 1 for 1.25e+01."""
    digits, _, exponent = number.partition("e")
    return len(digits.partition(".")[2]) - int(exponent or 0)


def value(number: str) -> float:
    return float(number.replace(",", ""))


def words_of(page: str) -> Iterator[Words]:
    """The words and decimal numbers of a page; numbers without a point are words."""
    end = 0
    for match in DECIMAL.finditer(page):
        yield Words(page[end : match.start()], match[0])
        end = match.end()
    yield Words(page[end:], "0.0")


@dataclass(frozen=True)
class Mark:
    """A text, or a line or a marker of a panel: its kind, how it looks, and its points in parts of the panel's box."""

    kind: str
    look: tuple[str, ...]
    points: tuple[float, ...] = ()

    def is_like(self, other: Any) -> bool:
        """The same kind and look, at the same points within the tolerance."""
        if not isinstance(other, Mark) or (self.kind, self.look) != (other.kind, other.look):
            return False
        pairs = zip(self.points, other.points)
        return len(self.points) == len(other.points) and all(abs(a - b) <= TOLERANCE for a, b in pairs)


def shown(picture: str) -> Iterator[Mark]:
    """What an SVG of matplotlib shows: all texts, what legends look like, and the lines and markers of each panel."""
    root = ElementTree.fromstring(picture)
    shapes = {each.get("id"): each.get("d", "") for each in root.iter() if tag(each) == "path" and each.get("id")}
    yield from marks(root, shapes, None)


def marks(element: ElementTree.Element, shapes: dict, box: tuple[float, ...] | None) -> Iterator[Mark]:
    if str(element.get("id")).startswith("axes_"):
        box = corners(next(each for each in element.iter() if tag(each) == "path").get("d", ""))
    for child in element:
        kind = tag(child)
        if kind == "text":
            yield Mark("text", ("".join("".join(child.itertext()).split()),))
        elif kind == "path":
            d = child.get("d", "")
            yield Mark(f"path {commands(d)}", look(child), placed(numbers(d), box))
        elif kind == "use":
            shape = shapes.get(child.get("{http://www.w3.org/1999/xlink}href", "")[1:], "")
            at = [float(child.get(name, "0")) for name in "xy"]
            yield Mark(f"marker {commands(shape)}", look(child), placed(at, box))
        elif kind != "defs":
            yield from marks(child, shapes, box)


def tag(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def numbers(d: str) -> list[float]:
    return [float(each) for each in NUMBER.findall(d)]


def commands(d: str) -> str:
    return "".join(each for each in d if each.isalpha() and each != "e")


def corners(d: str) -> tuple[float, ...]:
    """The left, right, top and bottom of a path."""
    coordinates = numbers(d)
    return min(coordinates[::2]), max(coordinates[::2]), min(coordinates[1::2]), max(coordinates[1::2])


def placed(points: list[float], box: tuple[float, ...] | None) -> tuple[float, ...]:
    """x and y by turns, in parts of the box; what stands in no panel has no place that counts."""
    if box is None:
        return ()
    left, right, top, bottom = box
    return tuple(
        (each - (top if place % 2 else left)) / ((bottom - top) if place % 2 else (right - left))
        for place, each in enumerate(points)
    )


def look(element: ElementTree.Element) -> tuple[str, ...]:
    style = dict(re.findall(r"([\w-]+): ([^;]+)", element.get("style", "")))
    return tuple(style.get(name, "") for name in LOOKS)
