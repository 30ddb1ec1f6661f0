"""Whether decoded samples can be shown: `decode`, `describe`, `draw` and `overview` of a reference, tried on a few."""

from typing import Any

import torch

from svlearn.modes import evaluating
from svlearn.placement import at_home
from svlearn.process import Reference, has
from svlearn.state import State
from svlearn.testing.findings import Findings
from svlearn.testing.walk import walk


@torch.no_grad()
def check_presentation(reference: Reference, states: State | None = None, *, condition: Any = None) -> None:
    """Try `decode`, `describe`, `draw` and `overview`, where a reference has them, on finished states, or on two drawn
    ones: under two rows of condition, where there are any.

    Raises ValueError that names the method, and what it gave or raised, from what it raised.
    """
    if not has(reference, "decode"):
        return
    name, findings = type(reference).__name__, Findings()
    if states is None:
        with evaluating(reference), at_home(reference):
            *_, (_, _, _, states) = walk(reference, condition, 2)
    objects = findings.attempt(f"{name}.decode", lambda: reference.decode(states))
    listed = hasattr(objects, "__len__") and not isinstance(objects, (str, bytes, dict))
    if not findings.errors and not (listed and len(objects) == len(states)):
        actual = (
            f"{len(objects)} in a {type(objects).__name__}" if hasattr(objects, "__len__") else type(objects).__name__
        )
        findings.wrong(f"{name}.decode: expected a list of {len(states)} objects, got {actual}")
    if not findings.errors:
        objects = list(objects)
        figures = findings.attempt(
            f"{name}.describe", lambda: {k: float(v) for k, v in reference.describe(objects).items()}
        )
        if figures is not None and not all(isinstance(key, str) for key in figures):
            findings.wrong(f"{name}.describe: expected a dict of names and numbers, got keys {list(figures)}")
        pictures = {
            "draw": lambda: reference.draw(objects, [""] * len(objects)),
            "overview": lambda: reference.overview(objects),
        }
        for method, draw in pictures.items():
            picture = findings.attempt(f"{name}.{method}", draw)
            if picture is not None and not isinstance(picture, str):
                findings.wrong(f"{name}.{method}: expected SVG or <img> markup, or None, got {type(picture).__name__}")
    if findings.errors:
        raise ValueError("\n".join(findings.errors)) from findings.first
