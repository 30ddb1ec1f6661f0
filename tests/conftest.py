"""What every test may rely on: one thread, a fixed global seed, assets that skip where they are absent, and a
process whose values are known, a Gaussian random walk that can decode, describe and draw. shipped.py is on the path."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent))

import pytest
import torch
from torch import nn

from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import Learned


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes are named by their number, not their content: that of a packed file holds the second it was packed in, and
    workers that named a test differently by a second ran none."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_initial_weights() -> None:
    """New modules draw their weights from the global generator; nothing in svlearn does."""
    torch.manual_seed(0)


@pytest.fixture
def generator() -> torch.Generator:
    """A CPU generator with a fixed seed."""
    return seeded("cpu", 0)


def find_asset(name: str) -> Path:
    """The named public file in the folder of SVLEARN_ASSETS; skips the test, with the reason, where it is absent."""
    folder = os.environ.get("SVLEARN_ASSETS")
    if not folder:
        pytest.skip(f"needs the asset {name}: SVLEARN_ASSETS is not set")
    path = Path(folder) / name
    if not path.is_file():
        pytest.skip(f"needs the asset {name}: no such file in {folder}, the folder in SVLEARN_ASSETS")
    return path


@pytest.fixture
def assets() -> Callable[[str], Path]:
    """assets("molecules/qm9_smiles.csv") is the file's path, or a skip."""
    return find_asset


class Walk(Reference):
    """x_0 = 0, x_{t+1} = x_t + N(0, 1), T = 4: E[x_T | x_t] = x_t, so x_T ~ N(0, 4)."""

    num_steps = 4

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 1, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(x, 1.0), clean=x)

    def decode(self, x):
        return x.squeeze(1).tolist()

    def describe(self, objects):
        return {"positive": sum(each > 0 for each in objects) / len(objects)}

    def draw(self, objects, captions):
        texts = "".join(f"<text y='{20 * place}'>{caption}</text>" for place, caption in enumerate(captions))
        return f"<?xml version='1.0'?>\n<svg width='100' height='200'>{texts}</svg>"


class First(nn.Module):
    def forward(self, x, t):
        return x.squeeze(1)


@pytest.fixture
def walk():
    return Walk()


@pytest.fixture
def target():
    return Target(lambda x: x.squeeze(1), alpha=1.0)


@pytest.fixture
def value():
    return Learned(First())
