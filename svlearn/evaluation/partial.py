"""The outcomes of a comparison's samplers in a file, each as soon as it is done: what a stop leaves to go on from."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import svlearn
from svlearn.evaluation.curves import COLUMNS
from svlearn.evaluation.findings import Gallery
from svlearn.evaluation.outcome import Outcome
from svlearn.evaluation.report.tables import strict_json
from svlearn.files import user_path, write


class Partial:
    """A JSON file of finished samplers, for `compare`.

    path: the file. request: all that decides the samples besides what `compare` is given (which reference, reward,
    values and policies, by names and checksums), as JSON holds it: a sampler cannot tell it, its caller must. resume:
    take finished samplers from a file that is there; without, it is written anew.

    A file of another request is refused (ValueError) and left as it is. Pictures are not kept: a sampler that is taken
    from the file has none, text samples apart.
    """

    def __init__(self, path: str | Path, request: Mapping[str, Any], *, resume: bool = True):
        self.path, self.request, self.resume = user_path(path), dict(request), resume
        self._header: dict[str, Any] = {}
        self._samplers: dict[str, Any] = {}

    def read(self, settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Outcome]:
        """The outcomes of the named samplers that are there. asked: the seeds, the numbers of samples and the like."""
        header = {"svlearn": svlearn.__version__, **settings, **self.request}
        self._header = json.loads(strict_json(header))
        self._samplers = {}
        if not self.resume or not self.path.is_file():
            return {}
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            saved_request, samplers = dict(content["request"]), dict(content["samplers"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{self.path}: expected the partial file of a comparison, got another ({error})"
            ) from error
        for key in [*self._header, *saved_request]:
            if saved_request.get(key) != self._header.get(key):
                raise ValueError(
                    f"{self.path}: expected outcomes of this request, got those of one with another {key} "
                    f"({json.dumps(saved_request.get(key))}, here {json.dumps(self._header.get(key))}); start "
                    "without resume"
                )
        self._samplers = samplers
        try:
            return {name: _outcome(samplers[name]) for name in names if name in samplers}
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{self.path}: expected outcomes of samplers, got a broken one ({error!r})") from error

    def add(self, name: str, outcome: Outcome) -> None:
        """Write one sampler more."""
        self._samplers[name] = _entries_of(outcome)
        try:
            write(self.path, strict_json({"request": self._header, "samplers": self._samplers}))
        except OSError as error:  # a full disk costs what is kept, not what is done
            warnings.warn(f"{self.path} was not written: {error}", stacklevel=2)


def _entries_of(outcome: Outcome) -> dict[str, Any]:
    entries = {
        "rewards": outcome.rewards,
        "figures": outcome.figures,
        "curves": outcome.curves.to_dict("list"),
        "diagnosis": outcome.diagnosis,
        "texts": _texts(outcome.gallery),
        "notes": list(outcome.notes),
    }
    parts = {label: _entries_of(part) for label, part in outcome.by_condition.items()}
    return {**entries, "by_condition": parts} if parts else entries


def _texts(gallery: Gallery | None) -> dict[str, list] | None:
    if gallery is None or not all(isinstance(each, str) for each, _ in [*gallery.best, *gallery.random]):
        return None
    return {"best": gallery.best, "random": gallery.random}


def _outcome(entries: dict[str, Any]) -> Outcome:
    texts = entries["texts"]
    frame = pd.DataFrame({column: _floats(entries["curves"][column]) for column in COLUMNS})
    return Outcome(
        np.array(_floats(entries["rewards"]), dtype=np.float64),
        {str(name): _float(figure) for name, figure in entries["figures"].items()},
        frame.astype({"t": int}),
        [str(each) for each in entries["diagnosis"]],
        None if texts is None else Gallery(_picked(texts["best"]), _picked(texts["random"]), None),
        tuple(str(each) for each in entries["notes"]),
        {str(label): _outcome(part) for label, part in entries.get("by_condition", {}).items()},
    )


def _picked(pairs: list) -> list[tuple[str, float]]:
    return [(str(text), _float(reward)) for text, reward in pairs]


def _floats(values: list) -> list[float]:
    return [_float(value) for value in values]


def _float(value: Any) -> float:
    """What `strict_json` writes: NaN is null, an infinity a string."""
    return np.nan if value is None else value if isinstance(value, int) else float(value)
