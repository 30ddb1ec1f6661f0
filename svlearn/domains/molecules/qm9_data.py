"""QM9: 132,040 molecules of at most nine heavy atoms (C, N, O, F), as graph states and as a LightningDataModule."""

from collections.abc import Iterable
from pathlib import Path

import pytorch_lightning as pl
import torch
from rdkit import Chem
from tensordict import TensorDict
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from svlearn.arguments import as_seed, integer
from svlearn.assets import fetch
from svlearn.domains.molecules.codec import encode
from svlearn.domains.molecules.graph_cache import cached
from svlearn.domains.molecules.smiles_table import KIND, read_smiles
from svlearn.files import existing, sha256_of, user_path
from svlearn.public_files import ASSETS
from svlearn.rollouts.batches import Batches, Shuffled
from svlearn.state import concatenate

NUM_ATOMS = 9
FILE = "molecules/qm9_smiles.csv"


def file(path: str | Path | None = None) -> Path:
    """The CSV at `path`, or the public one, fetched where it is not there yet."""
    return fetch(FILE) if path is None else user_path(path)


def canonical_smiles(path: str | Path | None = None) -> set[str]:
    """All molecules of QM9 as the canonical SMILES of this RDKit, to tell what is new.

    Raises ValueError, with the SMILES, for one that RDKit cannot read.
    """
    source = file(path)
    return {Chem.MolToSmiles(_molecule(text, source)) for text in read_smiles(source)}


def encode_smiles(smiles: Iterable[str], num_atoms: int = NUM_ATOMS) -> TensorDict:
    """Parse SMILES and stack their graphs; raises ValueError with the SMILES that does not fit the vocabulary."""
    return concatenate([encode(Chem.MolFromSmiles(text), num_atoms, name=text) for text in smiles])


class QM9Data(pl.LightningDataModule):
    """Batches of QM9 graphs, in an order fixed by the seed; `num_validation` molecules are held out by it too.

    path: the CSV file (fetched by name where it is None). The encoded graphs are kept in `cache_dir`, in a file that
    belongs to the content of the CSV: another one, or a changed one, is encoded anew, and so is a damaged file.
    Raises ValueError for a CSV without molecules of QM9's kind, for one with too few of them, and where `cache_dir`
    cannot be written.
    """

    def __init__(
        self,
        path: str | None = None,
        batch_size: int = 256,
        num_validation: int = 2000,
        seed: int = 0,
        cache_dir: str = ".cache",
    ):
        super().__init__()
        self.path, self.cache_dir = path, user_path(cache_dir)
        self.batch_size = integer(batch_size, "batch_size")
        self.num_validation = integer(num_validation, "num_validation", 0)
        self.seed = as_seed(seed)

    def prepare_data(self) -> None:
        self._graphs()

    def setup(self, stage: str | None = None) -> None:
        graphs = self._graphs()
        least = self.num_validation + self.batch_size
        if len(graphs) < least:
            raise ValueError(
                f"path: expected at least num_validation + batch_size = {least} molecules, got {len(graphs)} in "
                f"{file(self.path)}"
            )
        order = torch.randperm(len(graphs), generator=self._generator())
        self.validation = graphs[order[: self.num_validation]]
        self.train = graphs[order[self.num_validation :]]

    def train_dataloader(self) -> Batches:
        number = len(self.train)
        return Batches(
            self.train,
            Shuffled(torch.arange(number), self._generator),
            number,
            self.batch_size,
            self,
            drop_last=True,
        )

    def val_dataloader(self) -> DataLoader:
        sampler = SequentialSampler(range(len(self.validation)))
        return self._loader(self.validation, BatchSampler(sampler, self.batch_size, drop_last=False))

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed % 2**63)

    def _graphs(self) -> TensorDict:
        """All graphs of the CSV; the public one need not be there where its graphs are."""
        digest = ASSETS[FILE].sha256 if self.path is None else sha256_of(existing(file(self.path), KIND))
        return cached(self.cache_dir, "qm9_graphs", digest, NUM_ATOMS, self._encoded)

    def _encoded(self) -> TensorDict:
        source = file(self.path)
        smiles = read_smiles(source)
        if not smiles:
            raise ValueError(f"{source}: expected the SMILES of at least one molecule, got none")
        try:
            return encode_smiles(smiles)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error

    @staticmethod
    def _loader(graphs: TensorDict, batches: BatchSampler) -> DataLoader:
        # One indexing operation a batch: the sampler hands the whole list of rows to TensorDict.__getitem__.
        return DataLoader(graphs, sampler=batches, batch_size=None, collate_fn=lambda rows: rows)


def _molecule(text: str, source: Path) -> Chem.Mol:
    molecule = Chem.MolFromSmiles(text)
    if molecule is None:
        raise ValueError(f"{source}: {text}: not a molecule that RDKit can read")
    return molecule
