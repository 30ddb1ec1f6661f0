"""QM9: 132,040 molecules of at most nine heavy atoms (C, N, O, F), as graph states and as a LightningDataModule."""

import csv
from collections.abc import Iterable
from pathlib import Path

import pytorch_lightning as pl
import torch
from rdkit import Chem
from tensordict import TensorDict
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from svlearn.assets import fetch
from svlearn.domains.molecules.codec import encode
from svlearn.rollouts.batches import Batches, Shuffled
from svlearn.state import concatenate

NUM_ATOMS = 9
FILE = "molecules/qm9_smiles.csv"


def read_smiles(path: str | Path) -> list[str]:
    """The SMILES of the file, in its order."""
    with open(path, newline="") as file:
        return [row["smiles"] for row in csv.DictReader(file)]


def file(path: str | None = None) -> Path:
    """The CSV at `path`, or the public one, fetched where it is not there yet."""
    return fetch(FILE) if path is None else Path(path)


def canonical_smiles(path: str | None = None) -> set[str]:
    """All molecules of QM9 as the canonical SMILES of this RDKit, to tell what is new."""
    return {Chem.MolToSmiles(Chem.MolFromSmiles(text)) for text in read_smiles(file(path))}


def encode_smiles(smiles: Iterable[str], num_atoms: int = NUM_ATOMS) -> TensorDict:
    """Parse SMILES and stack their graphs; raises ValueError with the SMILES that does not fit the vocabulary."""
    return concatenate([encode(Chem.MolFromSmiles(text), num_atoms, name=text) for text in smiles])


class QM9Data(pl.LightningDataModule):
    """Batches of QM9 graphs, in an order fixed by the seed; `num_validation` molecules are held out by it too.

    path: the CSV file (fetched by name where it is None); the encoded graphs are cached in `cache_dir`.
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
        self.path, self.batch_size, self.num_validation, self.seed = path, batch_size, num_validation, seed
        self.cache = Path(cache_dir) / "qm9_graphs"

    def prepare_data(self) -> None:
        if not self.cache.exists():
            graphs = encode_smiles(read_smiles(file(self.path)))
            graphs.memmap(self.cache)

    def setup(self, stage: str | None = None) -> None:
        graphs = TensorDict.load_memmap(self.cache)
        order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(self.seed))
        self.validation = graphs[order[: self.num_validation]]
        self.train = graphs[order[self.num_validation :]]

    def train_dataloader(self) -> Batches:
        number = len(self.train)
        order = Shuffled(torch.arange(number), lambda: torch.Generator().manual_seed(self.seed))
        return Batches(self.train, order, number, self.batch_size, self, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        sampler = SequentialSampler(range(len(self.validation)))
        return self._loader(self.validation, BatchSampler(sampler, self.batch_size, drop_last=False))

    @staticmethod
    def _loader(graphs: TensorDict, batches: BatchSampler) -> DataLoader:
        # One indexing operation a batch: the sampler hands the whole list of rows to TensorDict.__getitem__.
        return DataLoader(graphs, sampler=batches, batch_size=None, collate_fn=lambda rows: rows)
