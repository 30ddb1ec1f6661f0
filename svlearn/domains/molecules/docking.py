"""Docking as a reward: how well a molecule binds to one of five proteins, by AutoDock Vina in worker processes.

    target = Target(Docking("parp1", cache="runs/docking.sqlite"), alpha=0.0)

It needs the extra `docking` (vina and meeko). The receptors and boxes are those of MOOD (arXiv 2206.07632).
"""

import hashlib
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from svlearn.arguments import integer
from svlearn.assets import fetch
from svlearn.domains.molecules.docking_vina import MAX_EMBEDDINGS, Dock
from svlearn.domains.molecules.rewards import MoleculeReward
from svlearn.domains.molecules.score_store import ScoreStore

Vector = tuple[float, float, float]
PROGRAMS = ("vina", "meeko", "rdkit")  # whose versions a score depends on


@dataclass(frozen=True)
class Receptor:
    """A rigid protein as a PDBQT file, and the box in which a ligand is placed: centre and size, Å.

    Raises ValueError for a file that is not there and for a box that has no volume.
    """

    path: Path
    centre: Vector
    size: Vector

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.path.suffix != ".pdbqt" or not self.path.is_file():
            raise ValueError(
                f"path: expected a PDBQT file of a receptor, got {self.path}; meeko's mk_prepare_receptor.py makes one"
            )
        for name in ("centre", "size"):
            numbers = tuple(float(number) for number in getattr(self, name))
            if len(numbers) != 3 or not all(map(math.isfinite, numbers)) or (name == "size" and min(numbers) <= 0):
                raise ValueError(f"{name}: expected three numbers in Å{', above 0' * (name == 'size')}, got {numbers}")
            object.__setattr__(self, name, numbers)


BOXES: dict[str, tuple[Vector, Vector]] = {
    "parp1": ((26.413, 11.282, 27.238), (18.521, 17.479, 19.995)),
    "fa7": ((10.131, 41.879, 32.097), (20.673, 20.198, 21.362)),
    "5ht1b": ((-26.602, 5.277, 17.898), (22.5, 22.5, 22.5)),
    "braf": ((84.194, 6.949, -7.081), (22.032, 19.211, 14.106)),
    "jak2": ((114.758, 65.496, 11.345), (19.033, 17.929, 20.283)),
}


class Docking(MoleculeReward):
    """r = max(0, -E), kcal/mol: E is Vina's affinity of the best pose that it finds in the receptor's box.

    receptor: a name of `BOXES`, or a `Receptor`. exhaustiveness: how many searches Vina makes for one molecule, to
    which the seconds are proportional; with 2 the scores are as near to those with 8 as these are to themselves with
    another seed, and with 1 flexible molecules can lack more (benchmarks/docking.py). seed, from 1 on: of the
    conformer and of the search, so that a molecule has one score.
    cache: a SQLite file that keeps every score, under the receptor, its box, the seed, the exhaustiveness and the
    programs' versions; a run that was stopped goes on from it. `forget()` leaves it as it is.
    timeout: seconds for one molecule, after which its worker is killed. A molecule that fails (no conformer, an atom
    that Vina does not know, too slow) has r = 0, as a graph without a molecule; `report()` tells how many did and why.
    num_workers: of one thread and about 0.5 GB each.

    An affinity above 0 counts as 0, and so do failures, as in the scorer of MOOD (arXiv 2206.07632), which docks by
    QuickVina 2 with exhaustiveness 1, from conformers of Open Babel. The molecule is docked uncharged, as it is drawn,
    and its rings stay as its conformer has them.
    Raises ImportError where vina or meeko is missing, ValueError for bad options and receptors.
    """

    def __init__(
        self,
        receptor: str | Receptor = "parp1",
        exhaustiveness: int = 2,
        seed: int = 1,
        cache: str | Path | None = None,
        *,
        correct: bool = False,
        num_workers: int | None = None,
        timeout: float = 100.0,
        **options: Any,
    ):
        programs = versions()
        exhaustiveness, seed = integer(exhaustiveness, "exhaustiveness"), integer(seed, "seed")
        self.receptor = find_receptor(receptor)
        function = Dock(str(self.receptor.path), self.receptor.centre, self.receptor.size, exhaustiveness, seed)
        settings = {
            **asdict(function),
            "rings": "rigid",
            "embeddings": MAX_EMBEDDINGS,
            "receptor": hashlib.sha256(self.receptor.path.read_bytes()).hexdigest(),
            **programs,
        }
        self.settings = settings
        store = None if cache is None else ScoreStore(cache, json.dumps(settings, sort_keys=True))
        super().__init__(
            function, correct=correct, num_workers=num_workers, timeout=timeout, store=store, per_task=1, **options
        )

    def _function(self) -> dict[str, Any]:
        return self.settings  # with the receptor's digest in the place of its path

    def report(self) -> dict[str, int]:
        """How many molecules were asked for, docked and taken from the cache; how many failed, and of what."""
        counts, failures = self.scorer.counts, dict(self.scorer.failures)
        asked = {"asked": counts.asked, "docked": counts.scored, "cached": counts.stored, "failed": len(failures)}
        return {**asked, **Counter(failures.values())}


def find_receptor(receptor: str | Receptor) -> Receptor:
    """A receptor by its name, its file fetched where it is not there yet.

    Raises ValueError for an unknown name, listing the known ones, and what `assets.fetch` raises.
    """
    if isinstance(receptor, Receptor):
        return receptor
    if receptor not in BOXES:
        raise ValueError(f"receptor: expected one of {', '.join(BOXES)} or a Receptor, got {receptor!r}")
    return Receptor(fetch(f"docking/{receptor}.pdbqt"), *BOXES[receptor])


def versions() -> dict[str, str]:
    """Of the programs on which a score depends; raises ImportError, saying what to install, where one is missing."""
    try:
        return {name: version(name) for name in PROGRAMS}
    except PackageNotFoundError as error:
        raise ImportError(
            f"docking needs {error.name}, which is not installed: pip install 'svlearn[docking]'"
        ) from error
