"""What decides a comparison: its command line, and what the files hold that it names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import svlearn as sv
from svlearn.files import sha256_of
from svlearn.fingerprint import fingerprint
from svlearn.rollouts.manifest import MANIFEST

ASIDE = ("config", "output", "results", "resume")


def identity_of_request(request: dict[str, Any] | None, reference: sv.Reference) -> dict[str, Any]:
    """The request of a partial file: the command line without what only says where files go, the reference's
    fingerprint, and the SHA-256 of each file that is named anywhere in it, of a store of trajectories its manifest."""
    parts = {} if request is None else {key: each for key, each in request.items() if key not in ASIDE}
    sums = {text: each for text in sorted(set(_texts(parts))) if (each := _sum(text)) is not None}
    return {**parts, "reference_fingerprint": fingerprint(reference), "files": sums}


def _texts(thing: Any) -> Iterator[str]:
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, (dict, list)):
        for each in thing.values() if isinstance(thing, dict) else thing:
            yield from _texts(each)


def _sum(text: str) -> str | None:
    try:
        path = Path(text).expanduser()
        path = path / MANIFEST if path.is_dir() else path
        return sha256_of(path) if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # a text that is no path
        return None
