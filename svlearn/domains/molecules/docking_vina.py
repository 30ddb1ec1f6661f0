"""One docking: a molecule to a conformer, to a ligand, to Vina's affinity. It runs in a worker process."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

ELEMENTS = frozenset(("H", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I"))  # that a ligand of Vina may have
MAX_FORCE_FIELD_STEPS = 500
MAX_EMBEDDINGS = 50  # of either kind: RDKit's own number keeps a strained cage for tens of seconds, mostly for nothing


@dataclass(frozen=True)
class Dock:
    """max(0, -affinity) of a molecule in a box of a receptor, kcal/mol; centre and size in Å; see `docking.Docking`."""

    receptor: str
    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    exhaustiveness: int
    seed: int

    def __call__(self, molecule: Chem.Mol) -> float:
        ligand = ligand_of(conformer_of(molecule, self.seed))
        engine = _engine(self.receptor, self.centre, self.size, self.seed)
        engine.set_ligand_from_string(ligand)
        engine.dock(exhaustiveness=self.exhaustiveness, n_poses=1)
        return max(0.0, -float(engine.energies(n_poses=1)[0][0]))


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
def _engine(receptor: str, centre: tuple, size: tuple, seed: int) -> Any:
    """Vina with the receptor's maps of every atom type, made once a process."""
    from vina import Vina

    engine = Vina(sf_name="vina", cpu=1, seed=seed, verbosity=0)
    engine.set_receptor(receptor)
    engine.compute_vina_maps(center=list(centre), box_size=list(size))
    return engine
