"""The authors' pretrained processes by name: what `svlearn.load` calls."""

from functools import partial
from pathlib import Path

from svlearn.assets import fetch
from svlearn.domains.molecules.gdss.reference import GDSS


def load(asset: str, path: Path | None = None) -> GDSS:
    """The process of a checkpoint at 200 predictor steps, each corrected; of the named public file for None."""
    return GDSS.from_checkpoint(fetch(asset) if path is None else path)


zinc250k = partial(load, "gdss/gdss_zinc250k.pth")
zinc250k_v2 = partial(load, "gdss/gdss_zinc250k_v2.pth")
qm9 = partial(load, "gdss/gdss_qm9.pth")
