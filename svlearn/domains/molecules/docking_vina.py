"""One docking: a molecule to a conformer, to a ligand, to Vina's affinity. It runs in a worker process."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

ELEMENTS = frozenset(("H", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I"))  # that a ligand of Vina may have
MAX_FORCE_FIELD_STEPS = 500
STRONGEST, WEAKEST = -30.0, 1000.0  # kcal/mol: twice what any ligand reaches; Vina's own penalty for want of room
TOLERANCE = 2.0  # Å that an atom of a pose may stick out: Vina rounds a box up to its grid
SCORING_FUNCTION = "vina"
VERSION = 2  # of all that is done to a molecule here, and of what counts as a failure: raise it with either
MAX_EMBEDDINGS = 50  # of either kind: RDKit's own number keeps a strained cage for tens of seconds, mostly for nothing


@dataclass(frozen=True)
class Dock:
    """max(0, -affinity) of a molecule in a box of a receptor, kcal/mol; centre and size in Å; see `docking.Docking`.

    digest: the SHA-256 of the receptor's file, where it must not change while it is docked against.
    Raises ValueError where there is no pose: none in the box, none that touches the receptor, or of an affinity that
    no molecule has. An affinity of 0 to 1000 kcal/mol is one that does not bind.
    """

    receptor: str
    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    exhaustiveness: int
    seed: int
    digest: str | None = None

    def __call__(self, molecule: Chem.Mol) -> float:
        ligand = ligand_of(conformer_of(molecule, self.seed))
        engine = _engine(self.receptor, self.centre, self.size, self.seed, self.digest)
        engine.set_ligand_from_string(ligand)
        engine.dock(exhaustiveness=self.exhaustiveness, n_poses=1)
        affinity, between = (float(energy) for energy in engine.energies(n_poses=1)[0][:2])
        if not STRONGEST <= affinity <= WEAKEST:
            raise ValueError(f"no pose: an affinity of {affinity:g} kcal/mol")
        if between == 0:
            raise ValueError("no pose: it touches no atom of the receptor")
        outside = np.abs(engine.poses(n_poses=1, coordinates_only=True)[0] - self.centre) - np.array(self.size) / 2
        if not outside.max() <= TOLERANCE:
            raise ValueError(f"no pose: it lies {outside.max():.1f} Å out of the box")
        return max(0.0, -affinity)


def recipe() -> dict[str, Any]:
    """All that decides a score beside the molecule, the fields of `Dock` and the programs' versions."""
    return {
        "version": VERSION,
        "scoring_function": SCORING_FUNCTION,
        "rings": "rigid",
        "embeddings": MAX_EMBEDDINGS,
        "force_field_steps": MAX_FORCE_FIELD_STEPS,
        "affinities": [STRONGEST, WEAKEST],
        "tolerance": TOLERANCE,
    }


def conformer_of(molecule: Chem.Mol, seed: int) -> Chem.Mol:
    """The molecule with hydrogens and one conformer, by ETKDGv3, relaxed by MMFF94 where it has the parameters.

    Raises ValueError where none is found, from random coordinates either, and for atoms that Vina cannot dock.
    """
    elements = {atom.GetSymbol() for atom in molecule.GetAtoms()}
    if elements <= {"H"} or not elements <= ELEMENTS:
        raise ValueError(f"Vina docks no {', '.join(sorted(elements - ELEMENTS)) or 'hydrogen'}")
    molecule = Chem.AddHs(molecule)
    options: Any = rdDistGeom.ETKDGv3()  # RDKit's stubs have the wrong types for its fields
    options.randomSeed, options.maxIterations = seed, MAX_EMBEDDINGS
    if rdDistGeom.EmbedMolecule(molecule, options) < 0:
        options.useRandomCoords = True
        if rdDistGeom.EmbedMolecule(molecule, options) < 0:
            raise ValueError("no conformer")
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=MAX_FORCE_FIELD_STEPS)
    return molecule


def ligand_of(molecule: Chem.Mol) -> str:
    """The PDBQT text of a molecule with a conformer, its rotatable bonds found; raises ValueError where it has none.

    Rings stay as the conformer has them, as from Open Babel, which MOOD uses. Meeko's default opens those of seven
    atoms and more: a short search does not close them again, so that macrocycles score kcal/mol too low, and takes
    several times as long.
    """
    from meeko import MoleculePreparation, PDBQTWriterLegacy  # it takes over RDKit's log: in the workers only

    (setup,) = MoleculePreparation(rigid_macrocycles=True).prepare(molecule)
    text, good, why = PDBQTWriterLegacy.write_string(setup)
    if not good:
        raise ValueError(f"no ligand: {why.strip().splitlines()[0]}")  # meeko has a line for every atom
    return text


@lru_cache(maxsize=1)
def _engine(receptor: str, centre: tuple, size: tuple, seed: int, digest: str | None = None) -> Any:
    """Vina with the receptor's maps of every atom type, made once a process."""
    from vina import Vina

    if digest is not None and hashlib.sha256(Path(receptor).read_bytes()).hexdigest() != digest:
        raise OSError(f"{receptor} is another file than it was when the docking was set up")  # no molecule's failure
    engine = Vina(sf_name=SCORING_FUNCTION, cpu=1, seed=seed, verbosity=0)
    try:
        engine.set_receptor(receptor)
    except Exception as error:  # an atom of a type that it does not know, say; no molecule's failure either
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise OSError(f"{receptor}: expected a receptor that Vina reads, got another: {why}") from error
    engine.compute_vina_maps(center=list(centre), box_size=list(size))
    return engine
