"""Graphs of SMILES, an invalid one and an empty one, as states of QM9's reference; and functions to score them."""

from pathlib import Path

import torch
from rdkit import Chem

from svlearn.domains.molecules.graph import graph_state, num_pairs
from svlearn.domains.molecules.qm9_data import encode_smiles

CHAIN = ["C" * length for length in range(1, 9)]


def graphs_of(*smiles: str, size: int = 9):
    return encode_smiles(smiles, num_atoms=size)


def invalid_graph(size: int = 9):
    """Difluoride with a double bond."""
    graphs = graphs_of("FF", size=size)
    graphs["bonds"][0, 0] = 2
    return graphs


def empty_graph(size: int = 9):
    return graph_state(
        torch.zeros(1, size, dtype=torch.long),
        torch.zeros(1, num_pairs(size), dtype=torch.long),
        torch.zeros(1, size, dtype=torch.bool),
    )


def num_atoms(molecule: Chem.Mol) -> float:
    return molecule.GetNumAtoms()


def counted(path: Path, molecule: Chem.Mol) -> float:
    """The number of atoms; every call leaves a line in the file."""
    with open(path, "a") as file:
        file.write(Chem.MolToSmiles(molecule) + "\n")
    return molecule.GetNumAtoms()


def calls(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def raises_on_ethane(molecule: Chem.Mol) -> float:
    if Chem.MolToSmiles(molecule) == "CC":
        raise KeyError("no ethane")
    return molecule.GetNumAtoms()


def raises_always(molecule: Chem.Mol) -> float:
    raise KeyError("wrong from the start")
