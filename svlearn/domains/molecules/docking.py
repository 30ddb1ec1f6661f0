"""Docking as a reward: how well a molecule binds to one of five proteins, by AutoDock Vina in worker processes.

    target = Target(Docking("parp1", cache="runs/docking.sqlite"), alpha=0.0)

It needs the extra `docking` (vina and meeko). The receptors and boxes are those of MOOD (arXiv 2206.07632).
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from svlearn.arguments import integer, is_number
from svlearn.assets import fetch
from svlearn.domains.molecules.docking_vina import Dock, recipe
from svlearn.domains.molecules.rewards import MoleculeReward
from svlearn.files import user_path
from svlearn.scoring import ScoreStore

Vector = tuple[float, float, float]
PROGRAMS = ("vina", "meeko", "rdkit")  # whose versions a score depends on
SHORTEST_EDGE, LONGEST_EDGE = 5.0, 100.0  # of a box, Å: a ligand must find room, and the maps memory
FEW_ATOMS = 20  # in the box of a pocket are hundreds
LARGEST = 2**31 - 1  # number that Vina takes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Receptor:
    """A rigid protein as a PDBQT file, and the box in which a ligand is placed: centre and size, Å.

    The box must hold atoms of the receptor, as one elsewhere scores 0 whatever the molecule is, and its edges must be
    of 5 to 100 Å; few atoms in it are told in a warning.
    Raises ValueError for a file that is not there, is no PDBQT file or has no atoms, and for another box.
    """

    path: Path
    centre: Vector
    size: Vector

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", user_path(self.path).absolute())
        if self.path.suffix != ".pdbqt" or not self.path.is_file():
            raise ValueError(
                f"path: expected a PDBQT file of a receptor, got {self.path}; meeko's mk_prepare_receptor.py makes one"
            )
        for name in ("centre", "size"):
            given = getattr(self, name)
            given = list(given) if isinstance(given, Iterable) else [given]
            numbers = tuple(map(float, given)) if all(map(is_number, given)) else ()
            if len(numbers) != 3 or not np.isfinite(numbers).all() or (name == "size" and min(numbers) <= 0):
                got = numbers or tuple(given)
                raise ValueError(f"{name}: expected three numbers in Å{', above 0' * (name == 'size')}, got {got}")
            object.__setattr__(self, name, numbers)
        if min(self.size) < SHORTEST_EDGE or max(self.size) > LONGEST_EDGE:
            raise ValueError(f"size: expected edges of {SHORTEST_EDGE:g} to {LONGEST_EDGE:g} Å, got {self.size}")
        atoms = positions(self.path)
        inside = int((np.abs(atoms - self.centre) <= np.array(self.size) / 2).all(axis=1).sum())
        if inside == 0:
            low, high = ([round(float(each), 1) for each in edge] for edge in (atoms.min(0), atoms.max(0)))
            raise ValueError(
                f"centre: expected a box that holds atoms of {self.path}, which reaches from {low} to {high}, got none "
                f"of its {len(atoms)} in the box of {self.size} at {self.centre}"
            )
        if inside < FEW_ATOMS:
            logger.warning("the box of %s at %s holds only %d of its atoms", self.path, self.centre, inside)


def positions(path: Path) -> np.ndarray:
    """Where the atoms of a PDBQT file are, (N, 3), Å.

    Raises ValueError, naming the line, where it has none, or one without a place, a charge and an AutoDock type (a PDB
    file by another name has none), and for several models: Vina would fail on each molecule, or end its process.
    """
    found = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        if line.startswith("MODEL"):
            raise ValueError(f"path: expected a PDBQT file of one rigid receptor, got {path} with line {number}: MODEL")
        if line.startswith(("ATOM", "HETATM")):
            try:
                float(line[68:76])
                if not line[77:79].strip():
                    raise ValueError("no AutoDock type")
                found.append([float(line[start : start + 8]) for start in (30, 38, 46)])
            except ValueError as error:
                raise ValueError(f"path: expected a PDBQT file, got {path} with line {number}: {line[:80]}") from error
    if not found or not np.isfinite(found).all():
        raise ValueError(f"path: expected a PDBQT file with the places of atoms, got {path} with {len(found)} of them")
    return np.array(found)


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
    another seed, and with 1 flexible molecules can lack more (benchmarks/docking). seed, from 1 on: of the
    conformer and of the search, so that a molecule has one score.
    cache: a SQLite file that keeps every score, under all that decides it: the receptor's digest, its box, the seed,
    the exhaustiveness, what is done to the molecule (`docking_vina.recipe`) and the programs' versions. correct and
    the codec decide which molecule is docked and not its score; the time limit decides which molecules fail for now,
    and these are not kept (see `Scorer`). A run that was stopped goes on from it. `forget()` leaves it as it is.
    timeout: seconds for one molecule, after which its worker is killed. A molecule that fails (no conformer, an atom
    that Vina does not know, a pose out of the box or with an affinity that no molecule has, too slow) has r = 0, as a
    graph without a molecule; `report()` tells how many did and why. num_workers: of one thread and about 0.5 GB each.

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
        if max(exhaustiveness, seed) > LARGEST:
            raise ValueError(f"exhaustiveness, seed: expected at most {LARGEST}, got {exhaustiveness}, {seed}")
        self.receptor = find_receptor(receptor)
        box = self.receptor.centre, self.receptor.size
        digest = hashlib.sha256(self.receptor.path.read_bytes()).hexdigest()
        function = Dock(str(self.receptor.path), *box, exhaustiveness, seed, digest)
        settings = {**asdict(function), "receptor": "of the digest", **recipe(), **programs}
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
