"""The manifest of stored rollouts: what was asked for, and which chunks of it are on the disk."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from svlearn.files import write

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Request:
    """What was asked for; on one machine, the data are a function of it.

    kind: "process" (rolled out) or "noising" (rolled back from finished states); process: its fingerprint; reward:
    the fingerprint of a module, the name of any other callable, None without a target; finished_states: their
    fingerprint, where the kind is "noising"; proposal: what drew in the place of the process. Chunk i holds rows
    i · batch_size and on.
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
        """FileNotFoundError where there is none, ValueError where it is corrupt."""
        file = path / MANIFEST
        if not file.is_file():
            raise FileNotFoundError(f"{path}: no rollouts there, {MANIFEST} is missing")
        try:
            held = json.loads(file.read_bytes())
            if held["format"] != FORMAT:
                raise ValueError(f"format {held['format']!r}")
            manifest = cls(Request(**held["request"]), tuple(held["complete"]), held["files"])
            manifest._check()
        except (ValueError, TypeError, KeyError) as error:
            wanted = f"expected a manifest of svlearn rollouts, format {FORMAT}"
            raise ValueError(f"{file}: {wanted}, got a corrupt one ({type(error).__name__}: {error})") from error
        return manifest

    def write(self, path: Path) -> None:
        """Replace the manifest in one step: a reader, or a crash, sees the old one or the new one."""
        held = {"format": FORMAT, "request": asdict(self.request), "complete": self.complete, "files": self.files}
        write(path / MANIFEST, json.dumps(held))

    def _check(self) -> None:
        request = self.request
        for name in ("num_trajectories", "num_steps", "batch_size"):
            if not isinstance(getattr(request, name), int) or getattr(request, name) < 1:
                raise ValueError(f"{name} {getattr(request, name)!r}")
        if len({*self.complete} & {*range(request.num_chunks)}) != len(self.complete):
            raise ValueError(f"complete {self.complete!r} of {request.num_chunks} chunks")
        if not isinstance(self.files, dict) or (self.complete and not self.files):
            raise ValueError(f"files {self.files!r}")
