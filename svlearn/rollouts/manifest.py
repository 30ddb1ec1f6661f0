"""The manifest of stored rollouts: what was asked for, and which chunks of it are on the disk."""

import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from svlearn.arguments import as_seed, integer
from svlearn.files import write
from svlearn.rollouts.kept import Times, as_times

FORMAT = 1
MANIFEST = "manifest.json"
MAX_BYTES, MAX_CHUNKS, MAX_FILES = 64 << 20, 1_000_000, 10_000  # of a manifest, of a request, of one store
MAX_TRAJECTORIES, MAX_STEPS = 2**40, 2**31
NAMES = (
    "process_identity",
    "reward",
    "reward_identity",
    "finished_states",
    "proposal",
    "proposal_identity",
    "conditions_identity",
)


@dataclass(frozen=True)
class Request:
    """What was asked for; on one machine, the data are a function of it.

    kind: "process" (rolled out) or "noising" (rolled back from finished states); process: its fingerprint; reward:
    the fingerprint of a module, the name of any other callable, None without a target; finished_states: their
    fingerprint, where the kind is "noising"; proposal: what drew in the place of the process. Of each of the three,
    the name is for people and the identity (`svlearn.identity`) tells them apart; stores of before have none.
    conditions_identity: that of what the conditions were drawn from, None without. times: how many of each trajectory
    are kept, or which; None: all. Chunk i holds rows i · batch_size
    and on.
    Raises ValueError for more than 2^40 trajectories, 2^31 steps or a million chunks.
    """

    kind: str
    num_trajectories: int
    num_steps: int
    batch_size: int
    seed: int
    process: str
    reward: str | None = None
    finished_states: str | None = None
    proposal: str | None = None
    process_identity: str | None = None
    reward_identity: str | None = None
    proposal_identity: str | None = None
    conditions_identity: str | None = None
    times: Times = None

    def __post_init__(self) -> None:
        as_seed(self.seed)
        integer(self.num_trajectories, "num_trajectories", most=MAX_TRAJECTORIES)
        integer(self.num_steps, "num_steps", most=MAX_STEPS)
        integer(self.batch_size, "batch_size")
        object.__setattr__(self, "times", as_times(self.times, self.num_steps))
        if self.num_chunks > MAX_CHUNKS:
            least = -(-self.num_trajectories // MAX_CHUNKS)
            raise ValueError(
                f"batch_size: expected at least {least}, for {MAX_CHUNKS} chunks or fewer of {self.num_trajectories} "
                f"trajectories, got {self.batch_size}"
            )

    @property
    def num_chunks(self) -> int:
        return -(-self.num_trajectories // self.batch_size)

    def rows(self, chunk: int) -> slice:
        """The trajectories of a chunk."""
        return slice(chunk * self.batch_size, min((chunk + 1) * self.batch_size, self.num_trajectories))


@dataclass(frozen=True)
class Manifest:
    """request; complete: the chunks that are on the disk; files: what each file of data must be."""

    request: Request
    complete: tuple[int, ...] = ()
    files: dict[str, int | str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """FileNotFoundError where there is none, ValueError where it is corrupt or has more than 64 MiB."""
        file = path / MANIFEST
        if not file.is_file():
            raise FileNotFoundError(f"{path}: no rollouts there, {MANIFEST} is missing")
        try:
            held = read_json(file)
            if type(held["format"]) is not int or held["format"] != FORMAT:
                raise ValueError(f"format {_brief(held['format'])}")
            request = _request(held["request"])
            return cls(
                request, _complete(held["complete"], request.num_chunks), _files(held["files"], held["complete"])
            )
        except (ValueError, TypeError, KeyError) as error:
            wanted = f"expected a manifest of svlearn rollouts, format {FORMAT}"
            raise ValueError(f"{file}: {wanted}, got a corrupt one ({type(error).__name__}: {error})") from error

    def write(self, path: Path) -> None:
        """Replace the manifest in one step: a reader, or a crash, sees the old one or the new one."""
        request = {name: each for name, each in asdict(self.request).items() if name != "times" or each is not None}
        held = {"format": FORMAT, "request": request, "complete": self.complete, "files": self.files}
        write(path / MANIFEST, json.dumps(held))


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object of a file of at most 64 MiB; ValueError for what is none, however deep or long it is."""
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes, where at most {MAX_BYTES} are read")
    try:
        held = json.loads(file.read_bytes())
    except RecursionError as error:
        raise ValueError("lists in each other without end") from error
    if not isinstance(held, dict):
        raise ValueError(f"{_brief(held)} in the place of an object")
    return held


def _request(held: Any) -> Request:
    unknown = {*held} - {each.name for each in fields(Request)} if isinstance(held, dict) else held
    if unknown:
        raise ValueError(f"request {_brief(unknown)}")
    request = Request(**held)
    for name in ("kind", "process", *NAMES):
        text = getattr(request, name)
        if not isinstance(text, str) and (text is not None or name not in NAMES):
            raise ValueError(f"{name} {_brief(text)}")
    return request


def _complete(held: Any, num_chunks: int) -> tuple[int, ...]:
    if not isinstance(held, list) or len(held) > num_chunks:
        raise ValueError(f"complete {_brief(held)} of {num_chunks} chunks")
    complete = tuple(integer(each, "complete", least=0, most=num_chunks - 1) for each in held)
    if len({*complete}) != len(complete):
        raise ValueError(f"complete {_brief(held)}, a chunk of it twice")
    return complete


def _files(held: Any, complete: list[int]) -> dict[str, int | str]:
    if not isinstance(held, dict) or (complete and not held) or len(held) > MAX_FILES:
        raise ValueError(f"files {_brief(held)}")
    for name, entry in held.items():
        is_length = type(entry) is int and entry >= 0
        is_digest = isinstance(entry, str) and re.fullmatch("[0-9a-f]{64}", entry) is not None
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "\0" in name or not (is_length or is_digest):
            raise ValueError(f"files {_brief(name)}: {_brief(entry)}")
    return held


def _brief(thing: Any) -> str:
    text = repr(thing)
    return text if len(text) <= 80 else f"{text[:80]}..."
