"""The authors' pretrained processes by name: what `svlearn.load` calls."""

from functools import partial
from pathlib import Path

from svlearn.assets import fetch
from svlearn.domains.molecules.gdss.reference import GDSS
from svlearn.domains.molecules.gdss.vectors import VectorGDSS


def load(asset: str, path: Path | None = None) -> GDSS:
    """The process of a checkpoint at 200 predictor steps, each corrected; of the named public file for None."""
    return GDSS.from_checkpoint(fetch(asset) if path is None else path)


def predictor_alone(num_steps: int = 200, asset: str = "gdss/gdss_zinc250k.pth") -> VectorGDSS:
    """The process of a checkpoint without its corrector, over vectors: what adjoint objectives can train a policy of.

    Its molecules are worse for it: a mean QED of 0.39 at 200 steps, where the corrected process has 0.62
    (benchmarks/gdss_baseline.py).
    """
    return VectorGDSS(GDSS.from_checkpoint(fetch(asset), num_steps=num_steps, corrector=False))


zinc250k = partial(load, "gdss/gdss_zinc250k.pth")
zinc250k_v2 = partial(load, "gdss/gdss_zinc250k_v2.pth")
qm9 = partial(load, "gdss/gdss_qm9.pth")
